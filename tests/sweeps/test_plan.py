"""The config of every run: what it says, and that it is what the combination means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config.errors import InputError
from config.load import load_config
from sweeps.definition import read_definition
from sweeps.plan import PlannedRun, config_text, plan_runs, twins

BASE = """\
# Own comment
patch_size: 12  # the old spelling
num_epochs: 2
optimizer: {lr: 5.0e-3}
model_name: mine
resume: true
sweep: {grid: {batch_size: [8, 16]}}
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.yaml"
    path.write_text(BASE)
    return path


def planned(base: Path | str, *given: str, overrides: tuple[str, ...] = (), seeds: int = 1) -> list[PlannedRun]:
    definition = read_definition(None, "base.yaml", given, seeds=seeds)
    return plan_runs(str(base), overrides, definition, "outputs/mine-sweep")


def test_a_config_says_what_the_base_says_and_what_differs_and_nothing_else(base: Path) -> None:
    run = planned(base, "optimizer.lr=[1e-3,3e-4]", overrides=("num_epochs=4",), seeds=2)[3]
    assert run.name == "lr-0.0003_s1"
    assert run.content == {
        "hierarchy": {"patch_size": 12},
        "num_epochs": 4,
        "optimizer": {"lr": 0.0003},
        "seed": 1,
        "model_name": "lr-0.0003_s1",
        "save_path": "outputs/mine-sweep",
    }


def test_the_file_gives_the_config_that_was_planned(base: Path, tmp_path: Path) -> None:
    given = (
        "isolation=[strict,end2end]",
        "task=[hierarchical,vicreg]",
        "optimizer=[{name: sgd, lr: 0.1, weight_decay: 0.0},{lr: 0.2}]",
    )
    for number, run in enumerate(planned(base, *given)):
        file = tmp_path / f"{number}.yaml"
        file.write_text(config_text(run, "mine-sweep", "base.yaml", "config/generated/mine-sweep/x.yaml"))
        config = load_config(str(file)).config
        own = {"seed": run.seed, "model_name": run.name, "save_path": "outputs/mine-sweep", "resume": False}
        assert config.model_dump() == run.config.model_dump() | own
        assert run.config.optimizer.name == ("sgd" if run.values["optimizer"].get("name") else "adamw")


def test_the_first_lines_say_what_it_is(base: Path) -> None:
    run = planned(base, "optimizer.lr=[1e-3]", "groups=[[space,time,clip]]")[0]
    lines = config_text(run, "mine-sweep", "base.yaml", "config/generated/mine-sweep/x.yaml").splitlines()
    assert lines[:5] == [
        "# ./launcher.sh GPU_ID config/generated/mine-sweep/x.yaml",
        "#",
        "# One run of the sweep mine-sweep, which starts from base.yaml. Written by sweep.py.",
        "# What differs: optimizer.lr=0.001, groups=[space, time, clip], seed=0",
        "",
    ]


def test_where_the_own_values_do_not_say_all_the_whole_config_does(tmp_path: Path) -> None:
    """The base has SGD; a combination has AdamW again, without the betas that the defaults would fill in."""
    base = tmp_path / "base.yaml"
    base.write_text("evaluations: {knn: {protocol: linear_probe, when: [validation]}}\n")
    run = planned(base, "evaluations.knn=[{protocol: knn, when: [validation]}]")[0]
    file = tmp_path / "run.yaml"
    file.write_text(config_text(run, "s", "base.yaml", "x.yaml"))
    assert load_config(str(file)).config.evaluations == run.config.evaluations


def test_the_config_of_a_run_can_be_a_base(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "outputs/old"
    folder.mkdir(parents=True)
    (folder / "environment.json").write_text("{}")
    values = load_config(str(base)).config.model_dump() | {"save_path": "elsewhere", "model_name": "old"}
    (folder / "config.yaml").write_text(json.dumps(values))
    run = planned(folder / "config.yaml", "num_epochs=[3]")[0]
    file = tmp_path / "run.yaml"
    file.write_text(config_text(run, "s", "config.yaml", "x.yaml"))
    config = load_config(str(file)).config
    assert config.model_dump() == values | {
        "num_epochs": 3, "save_path": "outputs/mine-sweep", "model_name": "num_epochs-3_s0", "resume": False,
    }  # fmt: skip


def test_runs_that_compute_the_same_are_found(base: Path) -> None:
    runs = planned(base, "task=[hierarchical,vicreg]", "hierarchical.isolation=[strict,end2end]", seeds=2)
    assert twins(runs) == [
        (f"task-vicreg_isolation-strict_s{seed}", f"task-vicreg_isolation-end2end_s{seed}") for seed in (0, 1)
    ]
    assert twins(planned(base, "task=[hierarchical,vicreg]", seeds=2)) == []


def test_old_and_new_spelling_of_a_key_are_one_key(base: Path) -> None:
    old, new = (planned(base, f"{key}=[strict]")[0] for key in ("isolation", "hierarchical.isolation"))
    assert old == new
    assert old.values == {"hierarchical.isolation": "strict"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["optimizer.lrr=[1]"],
            "with optimizer.lrr=1: unknown key optimizer.lrr (command line); did you mean optimizer.lr?",
        ),
        (
            ["optimizer.lr=[1e-3,abc,-1]"],
            "with optimizer.lr=abc: optimizer.lr (command line): expected a number, got 'abc' (1 more of the 3 ",
        ),
        (["groups=[[space,time,clip],[time]]"], "with groups=[time]: groups: [time] is not a hierarchy"),
        (["window.length=[8]", "frame_size=[[36,37]]"], "with window.length=8 frame_size=[36, 37]: "),
        (["isolation=[strict]", "hierarchical.isolation=[strict]"], "are two spellings of one key"),
        (["optimizer.name=[sgd]"], "a new optimizer.name replaces the whole of optimizer"),
    ],
)
def test_a_combination_that_is_not_valid_is_named(base: Path, given: list[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        planned(base, *given)
    assert message in str(error.value)


def test_a_run_of_the_base_alone_does_without_its_section(base: Path) -> None:
    loaded = load_config(str(base))
    assert loaded.sweep == {"grid": {"batch_size": [8, 16]}}
    assert "sweep" not in loaded.merged
    assert loaded.notes() == ["this is a single run: the section sweep of the config is for sweep.py"]
