"""Evaluations in a config: any number, each with its protocol, data, labels; older spellings; what cannot be done."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.earlier import read_earlier
from config.errors import InputError
from config.evaluations import TAKEN, choosing, data_of, default_evaluations
from config.load import load_config, restore_config
from config.schema import Config
from protocols.knn import KNNSettings, knn_settings

ROOT = Path(__file__).resolve().parents[2]
MakeConfig = Callable[..., Config]


def evaluations(*overrides: str) -> dict[str, Any]:
    return dict(load_config("quickstart", overrides).config.evaluations)


def test_the_default_file_says_what_the_schema_says() -> None:
    config = load_config("quickstart").config
    values = config.model_dump()
    del values["evaluations"], values["choose_by"]
    assert Config.model_validate(values) == config
    assert list(config.evaluations) == list(default_evaluations()) == ["knn", "linear_probe", "supervised"]


def test_an_evaluation_is_added_changed_and_switched_off_key_by_key() -> None:
    found = evaluations(
        "evaluations={near: {protocol: knn, when: [validation], settings: {k: 1}}}",
        "evaluations.knn.settings.k=7",
        "evaluations.linear_probe=null",
    )
    assert found["near"].settings == KNNSettings(k=1, bank=1200, temperature=0.07)
    assert (found["near"].when, found["near"].levels, found["near"].labels) == (["validation"], None, "all")
    assert found["knn"].settings.k == 7
    assert found["knn"].when == ["validation", "test"]
    assert found["linear_probe"] is None


def test_another_protocol_replaces_the_whole_evaluation() -> None:
    found = evaluations("evaluations.knn={protocol: linear_probe, when: [validation]}")
    assert (found["knn"].protocol, found["knn"].settings.max_iter) == ("linear_probe", 300)


def test_the_examples_of_the_documentation_are_configs(tmp_path: Path) -> None:
    page = (ROOT / "docs/evaluation.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 2
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.yaml"
        file.write_text(block)
        loaded = load_config(str(file))
        if number == 0:
            assert loaded.config.evaluations == load_config("quickstart").config.evaluations
    overrides = re.findall(r"quickstart\.yaml '(.*)'", page)
    assert load_config("quickstart", overrides).config.evaluations.keys() > {"nearest"}


# ------------------------------------------------------------------------------------------------ older spellings


def test_older_keys_set_the_settings_of_knn(tmp_path: Path) -> None:
    file = tmp_path / "old.yaml"
    file.write_text("knn_k: 15\nknn_bank: 100\n")
    config = load_config(str(file), ["knn_temperature=0.1", "knn_bank=50"]).config
    assert knn_settings(config.evaluations) == KNNSettings(k=15, bank=50, temperature=0.1)
    with pytest.raises(InputError, match=r"^evaluations\.knn\.settings\.k \(command line\): expected a whole number"):
        load_config("quickstart", ["knn_k=0"])
    with pytest.raises(InputError, match=r"^knn_k and evaluations\.knn\.settings\.k are two spellings of one key"):
        load_config("quickstart", ["knn_k=3", "evaluations.knn.settings.k=3"])
    with pytest.raises(InputError, match=r"^evaluations\.knn \(command line\): expected a mapping; knn_k is a key"):
        load_config("quickstart", ["knn_k=3", "evaluations.knn=null"])
    assert load_config(str(file), ["evaluations.knn=null"]).config.evaluations["knn"] is None


def test_what_is_no_mapping_is_left_to_the_schema() -> None:
    for wrong in ("evaluations=3", "evaluations.knn=3", "evaluations.knn.settings=3"):
        with pytest.raises(InputError, match="expected a mapping"):
            load_config("quickstart", ["knn_k=3", wrong])


def older(config: Config) -> dict[str, Any]:
    """What a version without evaluations would have written."""
    values = config.model_dump()
    del values["evaluations"], values["choose_by"]
    return values | {"knn_k": 5, "knn_bank": 1200, "knn_temperature": 0.07}


def test_a_config_of_an_older_version_is_the_same_config(tiny_config: MakeConfig) -> None:
    config = tiny_config()
    assert restore_config(older(config), "encoder.json") == config
    same, other = (read_earlier(older(config) | {"knn_k": k}, "encoder.json").values for k in (5, 6))
    assert choosing(same)["evaluations"] == choosing(config.model_dump())["evaluations"]
    assert choosing(other)["evaluations"] != choosing(config.model_dump())["evaluations"]


def test_a_run_may_get_further_evaluations_as_long_as_the_same_one_chooses(tiny_config: MakeConfig) -> None:
    more = tiny_config("evaluations={near: {protocol: knn}}", "evaluations.linear_probe=null")
    assert choosing(more.model_dump()) == choosing(tiny_config().model_dump())
    for other in ("choose_by=null", "evaluations.knn.labels=null", "evaluations.knn=null"):
        assert choosing(tiny_config(other).model_dump()) != choosing(tiny_config().model_dump())


# ---------------------------------------------------------------------------------------------- what cannot be done


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("evaluations.knn.settings.kk=3", "unknown key evaluations.knn.settings.kk (command line); did you mean"),
        ("evaluations.x={protocol: knm}", "evaluations.x.protocol (command line): expected 'knn', "),
        ("evaluations.x={when: [test]}", "evaluations.x.protocol is missing (command line)"),
        ("evaluations.x={protocol: knn, when: []}", "evaluations.x.when (command line): expected at least 1 values"),
        (
            "evaluations.x={protocol: knn, levels: [backbone]}",
            "there is no backbone; the encoder has space, time",
        ),
        ("evaluations.x={protocol: knn, data: {patch_size: 3}}", "patch_size is not a key of data_config.yaml"),
        ("evaluations.x={protocol: knn, data: {window: {frquency: 3}}}", "did you mean window.frequency?"),
        (
            "evaluations.x={protocol: knn, data: {frame_size: [45, 45]}}",
            "the encoder takes [36, 36] alone",
        ),
        ("evaluations.x={protocol: knn, data: {window: {length: 12}}}", "the encoder takes 8 alone: leave it out"),
        ("evaluations.loss={protocol: knn}", "evaluations.loss: this name is taken"),
        ("evaluations.a/b={protocol: knn}", "evaluations.a/b: this name is taken or cannot name a figure"),
        ("choose_by=near", "there is no evaluation near; evaluations has knn, linear_probe, supervised"),
        ("choose_by=linear_probe", "evaluations.linear_probe.when=[validation, test] would fit, or choose_by=null"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(override: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        load_config("quickstart", [override])
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_names_that_figures_and_summaries_have_themselves_are_taken() -> None:
    from runs.reporting.embedding import METHODS
    from runs.reporting.report.pictures import CHARTS, PICTURES

    assert {*PICTURES, *CHARTS, *METHODS} <= TAKEN


# ---------------------------------------------------------------------------------------------------- other data


def test_data_is_laid_over_the_runs_own(tiny_config: MakeConfig) -> None:
    config = tiny_config("evaluations={slow: {protocol: knn, data: {window: {frequency: 2}}}}")
    slow = config.evaluations["slow"]
    assert slow is not None
    data = data_of(config, slow.data)
    assert (data.window.frequency, data.window.length, data.dataset) == (2, config.window.length, config.dataset)
    assert data.evaluations == {}
    assert (data.mean, data.std) == (config.mean, config.std)


def test_another_dataset_has_nothing_of_the_runs(tiny_config: MakeConfig) -> None:
    own = "dataset={name: catalog, root: here, labels: {space: a, time: b, clip: c}}"
    other = "evaluations={x: {protocol: knn, data: {dataset: {root: there, name: catalog}}}}"
    relabelled = "evaluations={y: {protocol: knn, data: {dataset: {labels: {clip: d}}}}}"
    config = tiny_config(own, other, relabelled)
    found = {}
    for name in ("x", "y"):
        evaluation = config.evaluations[name]
        assert evaluation is not None
        found[name] = data_of(config, evaluation.data).dataset.model_dump()
    assert (found["x"]["root"], found["x"]["labels"]) == ("there", None)
    assert (found["y"]["root"], found["y"]["labels"]) == ("here", {"space": "a", "time": "b", "clip": "d"})


# ------------------------------------------------------------------------------------------------ a new protocol

TOY = """
from pydantic import Field
from config.section import Positive, Section
from protocols import PROTOCOLS
from protocols.protocol import Protocol, Score, Subject

class ToySettings(Section):
    factor: Positive = Field(default=2, description="what the number of videos is multiplied by")

class Toy(Protocol[ToySettings]):
    Settings = ToySettings
    title, heading, note, needs_labels = "toy", "Toys", "Counts.", False
    def score(self, subject: Subject) -> list[Score]:
        videos = len(subject.data.split(subject.split).rows)
        return [Score("clip", None, "videos", self.settings.factor * videos, unit="toys")]

PROTOCOLS["toy"] = Toy  # the one line

import json, sys
from pathlib import Path
import main
from config.describe import describe
assert "| `evaluations.NAME.settings.factor` (`protocol: toy`) | whole number \u2265 1 | `2` |" in describe()
toy = "{protocol: toy, when: [validation, test], settings: {factor: 3}}"
status = main.main([sys.argv[1], f"evaluations.count={toy}"])
assert status == 0
run = Path("outputs/small")
summary = json.loads((run / "summary.json").read_text())
assert summary["count"] == {"clip": {"videos": 36, "random_init": 36}}, summary["count"]
assert "Toys (count)" in (run / "report.html").read_text()
assert (run / "figures" / "count.png").exists()
"""


def test_a_new_protocol_needs_its_own_file_and_one_line(
    tmp_path: Path, tiny_config: MakeConfig, tiny_dataset: Path
) -> None:
    values = tiny_config("num_epochs=1", "figures=[]", root=tiny_dataset).model_dump()
    (tmp_path / "small.yaml").write_text(json.dumps(values | {"model_name": None}))
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{TOY}", "small.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "test, toy (count), toys" in done.stdout
