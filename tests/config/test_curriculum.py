"""The stages of a curriculum as configs: what each step lays over the rest, and which are refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from config.errors import InputError
from config.load import LoadedConfig, load_config, render_config

IMAGES = "{groups: [backbone, space], window: {length: 1}, hierarchy: {frames_per_clip: 1}}"
CLIPS = "{groups: [backbone, space, time], window: {length: 4}}"
ALL = "groups=[backbone,space,time,clip]"
Load = Callable[..., LoadedConfig]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a curriculum with the given content and overrides."""
    numbers = itertools.count()

    def load_text(content: str, *overrides: str) -> LoadedConfig:
        file = tmp_path / f"mine_{next(numbers)}.yaml"
        file.write_text(f"use_curriculum: true\n{content}")
        return load_config(str(file), overrides)

    return load_text


def refusal(load: Load, content: str, *overrides: str) -> str:
    with pytest.raises(InputError) as error:
        load(content, *overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_every_step_is_laid_over_the_rest_by_itself(load: Load) -> None:
    loaded = load(f"num_epochs: 7\ncurriculum: {{step_1: {IMAGES}, step_2: {CLIPS}, step_3: {{num_epochs: 2}}}}", ALL)
    first, second, third = (stage.config for stage in loaded.stages)
    assert (first.groups, first.window.length, first.hierarchy and first.hierarchy.frames_per_clip) == (
        ["backbone", "space"],
        1,
        1,
    )
    assert (second.groups, second.window.length, second.hierarchy and second.hierarchy.frames_per_clip) == (
        ["backbone", "space", "time"],
        4,
        4,
    )
    assert (third.groups, third.window.length) == (["backbone", "space", "time", "clip"], 8)
    assert [stage.num_epochs for stage in (first, second, third)] == [7, 7, 2]
    assert [(stage.stage, stage.use_curriculum, stage.curriculum) for stage in (first, second, third)] == [
        (1, False, {}),
        (2, False, {}),
        (3, False, {}),
    ]
    assert loaded.config.use_curriculum
    assert loaded.stages[1].source["window.length"].startswith("step_2, ")


def test_without_use_curriculum_the_steps_are_not_used(load: Load) -> None:
    loaded = load(f"curriculum: {{step_1: {IMAGES}}}", "use_curriculum=false")
    assert (loaded.stages, loaded.config.groups) == ((), ["space", "time", "clip"])


def test_steps_may_have_old_spellings_and_the_command_line_changes_them(load: Load) -> None:
    content = "curriculum: {step_1: {patch_size: 12, architecture_space: {dim: 32}}, step_2: {}}"
    loaded = load(content, "curriculum.step_1.hierarchy.patch_size=6", "curriculum.step_2.knn_k=5")
    first, second = (stage.config for stage in loaded.stages)
    assert first.hierarchy is not None
    assert (first.hierarchy.patch_size, first.hierarchy.space.dim) == (6, 32)
    assert second.evaluations["knn"] is not None
    assert second.evaluations["knn"].settings.k == 5


def test_the_name_rule_holds_in_a_step(load: Load) -> None:
    content = (
        "curriculum: {step_1: {optimizer: {name: sgd, lr: 0.1, weight_decay: 0.0}}, step_2: {optimizer: {lr: 1.0}}}"
    )
    first, second = (stage.config for stage in load(content).stages)
    assert first.optimizer.model_dump() == {
        "name": "sgd",
        "lr": 0.1,
        "base_lr": None,
        "nominal_batch": 256,
        "weight_decay": 0.0,
        "final_weight_decay": None,
        "momentum": 0.9,
        "nesterov": False,
    }
    assert (second.optimizer.name, second.optimizer.lr, second.optimizer.weight_decay) == ("adamw", 1.0, 0.05)
    message = refusal(load, "curriculum: {step_1: {optimizer: {name: sgd, lr: 0.1}}}")
    assert message.startswith("curriculum.step_1: optimizer.weight_decay is missing")


def test_an_old_loss_keeps_what_stood_beside_it_and_so_does_the_config_of_the_run(load: Load, tmp_path: Path) -> None:
    steps = "{step_1: {loss_params: {beta: 0.25}}, step_2: {loss_fn: smooth_l1}}"
    content = f"loss_fn: smooth_l1\nloss_params: {{beta: 0.5}}\ncurriculum: {steps}"
    loaded = load(content)
    wanted = [stage.config.model_dump()["hierarchical"]["loss"] for stage in loaded.stages]
    assert [loss["beta"] for loss in wanted] == [0.25, 0.5]
    copy = tmp_path / "copy.yaml"
    copy.write_text(render_config(loaded))
    assert [stage.config for stage in load_config(str(copy)).stages] == [stage.config for stage in loaded.stages]


def test_where_the_first_stage_starts_from_is_no_matter_of_the_others(load: Load) -> None:
    loaded = load("encoder_checkpoint: a.safetensors\ncurriculum: {step_1: {}, step_2: {}}")
    assert [stage.config.encoder_checkpoint for stage in loaded.stages] == ["a.safetensors", None]


def test_an_override_that_stages_have_their_own_value_for_is_told(load: Load) -> None:
    content = "curriculum: {step_1: {num_epochs: 2}, step_2: {num_epochs: 3, seed: 1}, step_3: {num_epochs: 4}}"
    notes = load(content, "num_epochs=1", "seed=5", "batch_size=8").notes()
    assert notes == [
        "num_epochs (command line) changes nothing in all stages: curriculum.step_1 has its own value",
        "seed (command line) changes nothing in step_2: curriculum.step_2 has its own value",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["use_curriculum and curriculum disagree", "give curriculum.step_1"]),
        ("curriculum: {step_1: {}, step_3: {}}", ["step_2 is missing, but there is step_3", "without gaps"]),
        ("curriculum: {step_2: {}}", ["step_1 is missing, but there is step_2"]),
        ("curriculum: {step_1: {}, last: {}}", ["there is no last", "step_1, step_2"]),
        ("curriculum: {step_1: null}", ["curriculum.step_1", "expected a mapping"]),
        ("curriculum: [1]", ["curriculum", "expected a mapping"]),
        ("curriculum: {step_1: {save_path: x}}", ["step_1: save_path is a key of the whole run"]),
        ("curriculum: {step_1: {num_epoch: 3}}", ["curriculum.step_1: unknown key num_epoch ", "num_epochs"]),
        ("curriculum: {step_1: {num_epochs: many}}", ["curriculum.step_1: num_epochs (step_1, ", "got 'many'"]),
        (
            "curriculum: {step_1: {}, step_2: {frame_size: [36, 40]}}",
            ["curriculum.step_2: frame_size and hierarchy.patch_size disagree", "frame_size=[36,36] would fit"],
        ),
        (
            "curriculum: {step_1: {}, step_2: {groups: [space, time], window: {length: 4}}}",
            ["curriculum.step_2: groups=[space, time] removes clip, which step_1 has trained", "stage_lr"],
        ),
        (
            "curriculum: {step_1: {}, step_2: {task: vicreg}}",
            ["curriculum.step_2: task is vicreg, and hierarchical in step_1", "encoder_checkpoint"],
        ),
        (
            "curriculum: {step_1: {patch_size: 9, hierarchy: {patch_size: 12}}}",
            ["patch_size", "two spellings of one key, and curriculum.step_1"],
        ),
        ("curriculum: {step_1: {stage_lr: {backbone: 0}}}", ["curriculum.step_1: stage_lr and groups disagree"]),
        ("curriculum: {step_1: {}}\nstage: 2", ["use_curriculum and stage disagree"]),
    ],
)
def test_a_curriculum_that_cannot_be_is_refused_in_one_line(load: Load, content: str, words: list[str]) -> None:
    message = refusal(load, content)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["stage_lr={space: 0, time: 0, clip: 0}"], ["all levels are frozen"]),
        (["stage_lr={spac: 0}"], ["unknown key stage_lr.spac", "did you mean stage_lr.space"]),
        (["stage_lr={space: -1}"], ["stage_lr.space", "at least 0"]),
        (["task=vicreg", "stage_lr={space: 0}"], ["stage_lr and task disagree", "stage_lr={}"]),
        (
            ["stage_lr={space: 0, time: 0}", "alternating_interval=50"],
            ["alternating_interval and stage_lr disagree", "alternating_interval=null"],
        ),
        (["until=plateau", "watch=top1"], ["watch: there is no evaluation top1; use knn or rank"]),
        (["until=plateau", "watch=linear_probe"], ["watch and evaluations.linear_probe.when disagree"]),
        (["until=plateau", "evaluations.knn.levels=[space]"], ["watch and evaluations.knn.levels disagree", "clip"]),
        (["until=plateau", "patience=0"], ["patience", "at least 1"]),
        (["carry_from=a.pt", "encoder_checkpoint=b.safetensors"], ["carry_from and encoder_checkpoint disagree"]),
    ],
)
def test_keys_of_a_stage_that_cannot_work_are_refused(overrides: list[str], words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        load_config("quickstart", overrides)
    for word in words:
        assert word in str(error.value)
