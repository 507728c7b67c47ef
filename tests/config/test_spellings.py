"""config/spellings.py: files and command lines from before tasks and encoders had sections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.errors import InputError
from config.evaluations import data_of
from config.keys import ANY_NAME, walk
from config.load import LoadedConfig, load_config
from config.schema import Config
from config.spellings import OLD_SPELLINGS, respelled
from config.yaml_text import to_yaml
from tasks.encoder_settings import HierarchySettings
from tasks.hierarchical_settings import HierarchicalSettings
from tasks.supervised_settings import SupervisedSettings


def load(*overrides: str, file: str = "", folder: Path) -> LoadedConfig:
    path = folder / "own.yaml"
    path.write_text(file)
    return load_config(str(path), overrides)


def refused(*overrides: str, file: str = "", folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(*overrides, file=file, folder=folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def loss_of(loaded: LoadedConfig) -> dict[str, Any]:
    return loaded.config.section(HierarchicalSettings).loss.model_dump()


def test_every_old_key_has_its_place_today() -> None:
    known = {key.dotted for key in walk(Config)}
    for place in OLD_SPELLINGS.values():
        new = place.replace("evaluations.knn", f"evaluations.{ANY_NAME}")
        assert new in known or any(key.startswith(f"{new}.") for key in known), new


@pytest.mark.parametrize("old", [key for key in OLD_SPELLINGS if key not in ("loss_params", "augment_training")])
def test_both_spellings_of_a_key_are_the_same_config(old: str, tmp_path: Path) -> None:
    value: Any = load_config("quickstart").merged
    for key in OLD_SPELLINGS[old].split("."):
        value = value[key]
    by_old = load(f"{old}={to_yaml(value)}", folder=tmp_path)
    by_new = load(f"{OLD_SPELLINGS[old]}={to_yaml(value)}", folder=tmp_path)
    in_file = load(file=nested(old, value), folder=tmp_path)
    assert by_old == by_new
    assert by_old.config == in_file.config
    assert "command line" in by_old.source.values()


def nested(dotted: str, value: Any) -> str:
    """The key in a file."""
    outer, _, last = dotted.rpartition(".")
    line = f"{last}: {to_yaml(value)}\n"
    return f"{outer}:\n  {line}" if outer else line


def test_what_a_script_of_then_says_is_understood(tmp_path: Path) -> None:
    commands = (
        "groups=[space,time]",
        "frames_per_clip=8",
        "patch_size=6",
        "architecture_time={layers: 7}",
        "architecture_time.dropout=0.5",
        "loss_weights.space.invariance=3",
        "predictor={standardize: false, pred_aside: 2}",
        "isolation=end2end",
    )
    config = load(*commands, folder=tmp_path).config
    hierarchy, settings = config.section(HierarchySettings), config.section(HierarchicalSettings)
    assert (hierarchy.patch_size, hierarchy.time.layers, hierarchy.time.dropout) == (6, 7, 0.5)
    assert settings.weights_of("space").invariance == 3
    assert settings.isolation == "end2end"
    assert (settings.standardize_predictors, config.predictor.pred_aside) == (False, 2)
    supervised = load("task=supervised", "augment_training=true", folder=tmp_path).config
    assert supervised.section(SupervisedSettings).augment


# -------------------------------------------------------------------------------------- loss_fn and loss_params


@pytest.mark.parametrize(
    ("file", "overrides", "loss"),
    [
        ("", ["loss_fn=smooth_l1", "loss_params={beta: 2}"], {"name": "smooth_l1", "beta": 2.0}),
        ("", ["loss_params={beta: 2}", "loss_fn=smooth_l1"], {"name": "smooth_l1", "beta": 2.0}),
        ("", ["loss_params.beta=2", "loss_fn=smooth_l1"], {"name": "smooth_l1", "beta": 2.0}),
        ("", ["loss_fn=smooth_l1"], {"name": "smooth_l1", "beta": 1.0}),
        # The two keys knew nothing of each other: a file's loss_params stay when the command line has another loss_fn.
        ("loss_params: {beta: 2}", ["loss_fn=smooth_l1"], {"name": "smooth_l1", "beta": 2.0}),
        ("loss_fn: smooth_l1", ["loss_params={beta: 2}"], {"name": "smooth_l1", "beta": 2.0}),
        ("loss_fn: smooth_l1\nloss_params: {beta: 2}", ["loss_params={}"], {"name": "smooth_l1", "beta": 2.0}),
        # A new name in today's spelling replaces the whole.
        ("loss_fn: smooth_l1\nloss_params: {beta: 2}", ["hierarchical.loss.name=mse"], {"name": "mse"}),
        ("hierarchical: {loss: {name: smooth_l1}}", ["loss_params.beta=2"], {"name": "smooth_l1", "beta": 2.0}),
    ],
)
def test_the_loss_of_old_keys_is_what_it_was(
    file: str, overrides: list[str], loss: dict[str, Any], tmp_path: Path
) -> None:
    assert loss_of(load(*overrides, file=file, folder=tmp_path)) == loss


def test_parameters_of_another_loss_are_refused_as_they_were(tmp_path: Path) -> None:
    said = "unknown key hierarchical.loss.beta (command line); it belongs to hierarchical.loss.name=smooth_l1"
    assert refused("loss_params={beta: 2}", folder=tmp_path) == said
    file = "loss_fn: smooth_l1\nloss_params: {beta: 2}"
    assert "unknown key hierarchical.loss.beta" in refused("loss_fn=mse", file=file, folder=tmp_path)


# ------------------------------------------------------------------------------------------- both in one layer


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["patch_size=8", "hierarchy.patch_size=8"], "patch_size and hierarchy.patch_size are two spellings"),
        (["hierarchy={patch_size: 8}", "patch_size=8"], "patch_size and hierarchy.patch_size are two spellings"),
        (
            ["loss_weights.time.up=1", "hierarchical.loss_weights={time: {up: 2}}"],
            "loss_weights.time.up and hierarchical.loss_weights.time.up are two spellings",
        ),
        (["loss_fn=mse", "hierarchical.loss.name=mse"], "loss_fn and hierarchical.loss.name are two spellings"),
        (
            ["loss_params.beta=1", "hierarchical.loss={name: smooth_l1, beta: 2}"],
            "loss_params.beta and hierarchical.loss.beta are two spellings",
        ),
        (["hierarchical=3", "isolation=strict"], "hierarchical (command line): expected a mapping; isolation is a key"),
    ],
)
def test_a_key_in_both_spellings_is_refused(overrides: list[str], said: str, tmp_path: Path) -> None:
    assert refused(*overrides, folder=tmp_path).startswith(said)


def test_both_spellings_of_different_keys_are_taken_and_a_later_layer_wins_whatever_its_spelling(
    tmp_path: Path,
) -> None:
    loaded = load("loss_weights.time.up=2", "hierarchical.loss_weights.time.down=3", folder=tmp_path)
    weights = loaded.config.section(HierarchicalSettings).weights_of("time")
    assert (weights.up, weights.down) == (2, 3)
    for file, override in (
        ("patch_size: 6", "hierarchy.patch_size=12"),
        ("hierarchy: {patch_size: 6}", "patch_size=12"),
    ):
        assert load(override, file=file, folder=tmp_path).config.section(HierarchySettings).patch_size == 12


def test_respelling_changes_nothing_that_is_spelled_as_today() -> None:
    layer = {"hierarchy": {"patch_size": 8}, "predictor": {"pred_aside": 1}, "vicreg": 3}
    assert respelled(layer, "own.yaml") == (layer, set())
    assert respelled({"predictor": {"standardize": True}}, "own.yaml")[0] == {
        "hierarchical": {"standardize_predictors": True}
    }


# --------------------------------------------------------------------------------------------- unused sections


def test_values_of_sections_that_are_not_used_are_told_with_their_source(tmp_path: Path) -> None:
    loaded = load("task=vicreg", "encoder=s3d", "patch_size=7", file="svt: {out_dim: 12}\n", folder=tmp_path)
    assert loaded.unused == {"hierarchy.patch_size": "command line", "svt.out_dim": f"{tmp_path}/own.yaml"}
    (note,) = loaded.notes()
    assert note == (
        f"task vicreg with encoder s3d does not use hierarchy.patch_size (command line), svt.out_dim "
        f"({tmp_path}/own.yaml)"
    )
    assert load(folder=tmp_path).notes() == []
    many = load(file="svt: {out_dim: 12, hidden_dim: 8, local_views: 1}\n", folder=tmp_path)
    assert many.notes()[0].endswith(f" does not use 3 keys of svt ({tmp_path}/own.yaml)")


def test_wrong_values_of_sections_that_are_not_used_are_still_wrong(tmp_path: Path) -> None:
    assert refused("svt.out_dim=many", folder=tmp_path).startswith(
        "svt.out_dim (command line): expected a whole number"
    )


# ------------------------------------------------------------------------------------------------- window.spread


def test_spread_is_another_spelling_of_uniform_sampling(tmp_path: Path) -> None:
    spread = load("window.spread=true", folder=tmp_path)
    assert spread.config == load("window.sampling=uniform", folder=tmp_path).config
    assert spread.source["window.sampling"] == "command line"
    assert "spread" not in spread.merged["window"]
    dense = load("window.spread=false", file="window: {spread: true, length: 4}", folder=tmp_path)
    assert (dense.config.window.sampling, dense.config.window.length) == ("dense", 4)
    in_file = load(file="window: {spread: true}", folder=tmp_path)
    assert in_file.config.window.sampling == "uniform"


def test_windows_of_stages_and_of_other_data_are_spread_as_well(tmp_path: Path) -> None:
    evaluation = "evaluations.other={protocol: knn, data: {window: {spread: true}}}"
    config = load(evaluation, folder=tmp_path).config
    other = config.evaluations["other"]
    assert other is not None
    assert other.data == {"window": {"sampling": "uniform"}}
    assert data_of(config, other.data).window.sampling == "uniform"
    stages = load_config("curriculum.yaml", ["curriculum.step_2.window.spread=true"]).stages
    assert [stage.config.window.sampling for stage in stages][1] == "uniform"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("window={spread: true, sampling: dense}", "window.spread and window.sampling are two spellings of one key"),
        ("window.spread=maybe", "window.spread (command line): expected true or false, got maybe"),
        ("window.spread=1", "window.spread (command line): expected true or false, got 1"),
        ("window={spread: true, frequency_fps: 5.0}", "window.sampling and window.frequency_fps disagree"),
        (
            "evaluations.knn.data={window: {spread: 2}}",
            "evaluations.knn.data.window.spread (command line): expected true or false, got 2",
        ),
    ],
)
def test_what_spread_cannot_be(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(override, folder=tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize(("value", "protocol"), [("probe", "linear_probe"), ("ftune", "finetune")])
def test_test_type_stands_for_an_evaluation_at_the_end(value: str, protocol: str, tmp_path: Path) -> None:
    off = "evaluations: {linear_probe: null}\n"
    assert protocol not in load(file=off, folder=tmp_path).config.evaluations or protocol == "linear_probe"
    for given in (
        load(f"test_type={value}", file=off, folder=tmp_path),
        load(file=f"test_type: {value}\n", folder=tmp_path),
    ):
        evaluation = given.config.evaluations[protocol]
        assert evaluation is not None
        assert (evaluation.protocol, evaluation.when) == (protocol, ["test"])


def test_test_type_adds_to_what_is_said_of_that_evaluation(tmp_path: Path) -> None:
    own = load("test_type=ftune", "evaluations.finetune.settings.epochs=7", folder=tmp_path)
    evaluation = own.config.evaluations["finetune"]
    assert evaluation is not None
    assert evaluation.settings.epochs == 7
    later = load(
        "test_type=ftune", file="evaluations: {finetune: {protocol: finetune, when: [validation]}}", folder=tmp_path
    )
    kept = later.config.evaluations["finetune"]
    assert kept is not None
    assert kept.when == ["validation"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["test_type=finetuning"],
            "expected probe (an evaluation linear_probe) or ftune (an evaluation finetune), got",
        ),
        (["test_type=[ftune]"], "got ['ftune']"),
        (["test_type=null"], "got None"),
        (["test_type=ftune", "evaluations.finetune=null"], "test_type=ftune and evaluations.finetune=null disagree"),
        (["test_type=ftune", "evaluations.finetune.protocol=knn"], "two spellings of one key"),
    ],
)
def test_a_test_type_that_says_nothing_clear_is_refused(overrides: list[str], said: str, tmp_path: Path) -> None:
    assert said in refused(*overrides, folder=tmp_path)
