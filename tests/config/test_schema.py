"""config/schema.py: which values fit together."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from architecture.geometry import Geometry
from config.errors import InputError
from config.keys import choice_of
from config.load import load_config
from config.schema import Config
from config.sizes import multiples
from config.yaml_text import to_yaml
from tasks.encoder_settings import HierarchySettings
from tasks.hierarchical_settings import HierarchicalSettings
from tasks.prediction_losses import LOSSES
from tasks.supervised_settings import SupervisedSettings
from tasks.table import TASKS
from tasks.vicreg_settings import VICRegSettings

# Of the levels of the quickstart, whose regulariser or views can then go.
NO_INVARIANCE = [f"hierarchical.loss_weights.{level}.invariance=0.0" for level in ("space", "time", "clip")]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["frame_size=[32, 20]", "hierarchy.patch_size=8"],
            "frame_size and hierarchy.patch_size disagree: width 20 is not divisible by 8; frame_size=[32,16]"
            " would fit, or frame_size=[32,24] or hierarchy.patch_size=4",
        ),
        (
            ["frame_size=[4, 32]", "hierarchy.patch_size=8"],
            "frame_size and hierarchy.patch_size disagree: height 4 is not divisible by 8; frame_size=[8,32] "
            "would fit, or hierarchy.patch_size=4",
        ),
        (
            ["window.length=9", "hierarchy.frames_per_clip=4"],
            "window.length and hierarchy.frames_per_clip disagree: 9 frames cannot be cut into clips of 4; "
            "window.length=8 would fit, or window.length=12 or hierarchy.frames_per_clip=3",
        ),
        (
            ["window.length=1"],
            "window.length and hierarchy.frames_per_clip disagree: 1 frames cannot be cut into clips of 4; "
            "groups=[backbone,space] would fit, or window.length=4 or hierarchy.frames_per_clip=1",
        ),
        (
            ["window.sampling=uniform", "window.frequency_fps=6"],
            "window.sampling and window.frequency_fps disagree: a uniform window spans the whole video; "
            "window.frequency_fps=null would fit, or window.sampling=dense",
        ),
        (
            ["window.sampling=uniform", "window.step=4"],
            "window.sampling and window.step disagree: a uniform window spans the whole video; "
            "window.step=null would fit, or window.sampling=dense",
        ),
        (
            ["groups=[backbone, space]", "window.length=8", "hierarchy.frames_per_clip=4"],
            "groups and window.length disagree: without the level `time` a window is one frame, not 8; "
            "window.length=1 would fit, or groups=[backbone,space,time] or groups=[backbone,space,time,clip]",
        ),
        (
            ["hierarchy.stem=cnn", "hierarchy.patch_size=9"],
            "hierarchy.stem and hierarchy.patch_size disagree: a cnn stem has a stride of 4, which does not "
            "divide 9; hierarchy.patch_size=12 would fit",
        ),
        (
            ["hierarchy.temporal_stem=true"],
            "hierarchy.temporal_stem and hierarchy.stem disagree: a linear stem has no time; "
            "hierarchy.stem=cnn hierarchy.patch_size=12 would fit, or hierarchy.temporal_stem=false",
        ),
        (
            ["encoder=s3d"],
            "encoder and task disagree: s3d has no levels for hierarchical; encoder=hierarchical would fit, "
            "or task=supervised or task=vicreg or task=svt",
        ),
        (
            ["encoder=s3d", "task=vicreg", "window.length=4"],
            "encoder and window.length disagree: s3d needs 8 frames or more, not 4; window.length=8 would "
            "fit, or encoder=r2plus1d_18",
        ),
        (
            ["eval_crop=unscaled", "load_size=[72, 24]"],
            "eval_crop, load_size and frame_size disagree: 72 x 24 pixels hold no 36 x 36; load_size=[72,36] would "
            "fit, or eval_crop=centre",
        ),
        (
            ["hierarchy.clip.causal_mask=true", "hierarchy.frames_per_clip=8"],
            "hierarchy.clip.causal_mask: a unit of clip is a single token, so there is no next one to "
            "predict; hierarchy.clip.causal_mask=false would fit",
        ),
        (
            [
                *NO_INVARIANCE,
                "hierarchical.regularizer={name: none}",
                "hierarchical.loss_weights.clip={up: 1, down: 0, side: 1}",
            ],
            "hierarchical.loss_weights.clip and hierarchical.regularizer disagree: clip has no loss at all, "
            "and no regularizer; hierarchical.loss_weights.clip.down=0.1 would fit",
        ),
        (
            ["alternating_interval=50", "task=supervised"],
            "alternating_interval and task disagree: supervised trains one group, which cannot take turns; "
            "alternating_interval=null would fit, or task=hierarchical",
        ),
        (
            ["explicit_freeze=true"],
            "explicit_freeze and alternating_interval disagree: without turns no group rests; "
            "explicit_freeze=false would fit, or alternating_interval=50.0",
        ),
        (
            ["hierarchical.targets=ema", "hierarchical.detach_targets=false"],
            "hierarchical.detach_targets and hierarchical.targets disagree: targets of ema are computed "
            "without gradient; hierarchical.detach_targets=true would fit, or hierarchical.targets=online",
        ),
        (
            ["hierarchical.targets=ema", "hierarchical.detach_side_targets=false"],
            "hierarchical.detach_side_targets and hierarchical.targets disagree: targets of ema are computed "
            "without gradient; hierarchical.detach_side_targets=true would fit, or "
            "hierarchical.targets=online",
        ),
        (
            ["hierarchical.views.time=[weak]", "hierarchical.loss_weights.time.invariance=1"],
            "hierarchical.loss_weights.time.invariance and hierarchical.views.time disagree: the invariance "
            "is between two views; hierarchical.views.time=[strong,strong] would fit, or "
            "hierarchical.loss_weights.time.invariance=0.0",
        ),
        (
            [
                "hierarchical.views.space=[none,none]",
                "hierarchical.second_view=augmentation",
                "hierarchical.loss_weights.space.invariance=1",
            ],
            "hierarchical.loss_weights.space.invariance and hierarchical.views.space disagree: a window as it"
            " is looks the same twice; hierarchical.views.space=[strong,strong] would fit, or "
            "hierarchical.second_view=window",
        ),
        (
            [
                *(f"hierarchical.loss_weights.{level}.invariance=0" for level in ("backbone", "space", "time")),
                "hierarchical.loss_weights.clip.invariance=1",
                "hierarchical.views.clip=[strong,strong]",
                "hierarchical.regularizer={name: none}",
            ],
            "hierarchical.loss_weights.clip.invariance and hierarchical.regularizer disagree: without a "
            "regularizer two views are most alike when all are the same; "
            "hierarchical.loss_weights.space.invariance=0.0 hierarchical.loss_weights.time.invariance=0.0 "
            "hierarchical.loss_weights.clip.invariance=0.0 would fit",
        ),
        (
            [
                *(f"hierarchical.loss_weights.{level}.invariance=0" for level in ("backbone", "space", "time")),
                "hierarchical.loss_weights.clip.invariance=1",
                "hierarchical.views.clip=[strong,strong]",
                "hierarchical.regularizer={name: vicreg, variance: 0, covariance: 0, proj_dim: 8, min_vectors: 2}",
            ],
            "hierarchical.loss_weights.clip.invariance and hierarchical.regularizer disagree: without a "
            "regularizer two views are most alike when all are the same; "
            "hierarchical.loss_weights.space.invariance=0.0 hierarchical.loss_weights.time.invariance=0.0 "
            "hierarchical.loss_weights.clip.invariance=0.0 would fit",
        ),
        (
            [
                *NO_INVARIANCE,
                "hierarchical.regularizer={name: vicreg, variance: 0, covariance: 0, proj_dim: 8, min_vectors: 2}",
                "hierarchical.loss_weights.time={up: 0, down: 0, side: 0}",
            ],
            "hierarchical.loss_weights.time and hierarchical.regularizer disagree: time has no loss at all, "
            "and no regularizer; hierarchical.loss_weights.time.up=0.1 would fit, or "
            "hierarchical.loss_weights.time.down=0.1 or hierarchical.loss_weights.time.side=0.1",
        ),
        (
            ["hierarchical.loss.name=smooth_l1", "hierarchical.loss={betta: 1}"],
            "unknown key hierarchical.loss.betta (command line); did you mean hierarchical.loss.beta?",
        ),
        (
            ["hierarchical.loss={beta: 1}"],
            "unknown key hierarchical.loss.beta (command line); it belongs to hierarchical.loss.name=smooth_l1",
        ),
        (
            ["hierarchical.loss.name=smooth_l1", "hierarchical.loss={beta: -1}"],
            "hierarchical.loss.beta (command line): expected more than 0, got -1",
        ),
        (
            ["hierarchical.loss.name=smooth_l1", "hierarchical.loss={beta: null}"],
            "hierarchical.loss.beta (command line): expected a number, got null",
        ),
    ],
)
def test_values_that_disagree_name_both_keys_and_what_would_fit(overrides: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_config("quickstart", overrides)
    assert str(caught.value) == said


def test_every_level_needs_views() -> None:
    merged = load_config("quickstart", NO_INVARIANCE).merged
    views = merged["hierarchical"]["views"]
    del views["time"]
    said = r"hierarchical.views.time is missing, the views that time learns from; hierarchical.views.time=\["
    with pytest.raises(ValidationError, match=said):
        Config.model_validate(merged)
    two_levels = {"groups": ["space", "time"]}
    merged["hierarchy"]["frames_per_clip"] = merged["window"]["length"]
    merged["hierarchical"]["views"] = {"space": ["none"], "time": ["weak", "strong"]}
    settings = Config.model_validate(merged | two_levels).section(HierarchicalSettings)
    assert settings.views["time"] == ["weak", "strong"]


@pytest.mark.parametrize("views", ["[]", "[weak,weak,weak]", "[middle]", "null"])
def test_a_level_has_one_view_or_two(views: str) -> None:
    with pytest.raises(InputError, match=r"^hierarchical\.views\.space"):
        load_config("quickstart", [f"hierarchical.views.space={views}"])


# What people change without looking at what else it needs.
HASTY = [
    ["window.length=1"],
    ["window.length=16", "hierarchy.frames_per_clip=3"],
    ["window.length=5", "groups=[space, time, clip]"],
    ["window.length=16", "groups=[backbone, space]"],
    ["frame_size=[224, 224]"],
    ["frame_size=[64, 128]", "hierarchy.patch_size=12"],
    ["hierarchy.patch_size=16"],
    ["hierarchy.stem=cnn"],
    ["hierarchy.stem=cnn", "hierarchy.temporal_stem=true", "frame_size=[40, 40]", "hierarchy.patch_size=10"],
    ["hierarchy.temporal_stem=true"],
    ["encoder=s3d", "task=supervised", "window.length=4"],
    ["encoder=r2plus1d_18"],
    ["encoder=swin3d_t"],
    ["eval_crop=unscaled", "load_size=[16, 300]"],
    ["video_decoder=opencv", "num_workers=0"],
    ["hierarchical.targets=ema", "hierarchical.detach_targets=false"],
    ["explicit_freeze=true", "always_compute_loss=true"],
    ["alternating_interval=20", "task=vicreg"],
    ["hierarchy.clip.causal_mask=true", "window.length=4"],
    [
        *NO_INVARIANCE,
        "hierarchical.regularizer={name: none}",
        "hierarchical.loss_weights.time={up: 0, down: 0, side: 0}",
    ],
    ["hierarchical.regularizer={name: none}"],
    ["hierarchical.views.time=[weak]"],
]


@pytest.mark.parametrize("overrides", HASTY, ids=" ".join)
def test_every_value_that_a_hint_names_fits(overrides: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        load_config("quickstart", overrides)
    hints = str(caught.value).rpartition("; ")[2].replace(" would fit", "").replace(", or ", " or ").split(" or ")
    assert hints
    for hint in hints:
        assert isinstance(load_config("quickstart", [*overrides, *hint.split(" ")]).config, Config)


def test_a_hint_names_nothing_where_more_is_wrong() -> None:
    with pytest.raises(
        InputError, match=r"is not divisible by 9; other values disagree with each change that was tried"
    ):
        load_config("quickstart", ["frame_size=[64, 64]", "explicit_freeze=true"])


@pytest.mark.parametrize("groups", ["[]", "[space]", "[time, space]", "[space, clip]", "[space, time, clip, clip]"])
def test_groups_must_be_a_hierarchy(groups: str) -> None:
    with pytest.raises(InputError, match=r"^groups: .* is not a hierarchy; use one of \[space, time\], "):
        load_config("quickstart", [f"groups={groups}"])


@pytest.mark.parametrize("groups", ["[space, time]", "[backbone, space, time]"])
@pytest.mark.parametrize("frames_per_clip", [3, 4, 8])
def test_without_the_level_clip_a_window_is_one_clip(groups: str, frames_per_clip: int) -> None:
    overrides = [f"groups={groups}", "window.length=8", f"hierarchy.frames_per_clip={frames_per_clip}"]
    geometry = load_config("quickstart", overrides).config.geometry
    assert (geometry.clips, geometry.frames_per_clip) == (1, 8)


def test_clips_follow_from_the_window() -> None:
    assert load_config("quickstart", ["window.length=12", "hierarchy.frames_per_clip=4"]).config.clips == 3


def test_level_gives_the_numbers_of_a_level() -> None:
    config = load_config("quickstart", ["hierarchy.time.layers=7"]).config
    assert config.level("time").layers == 7
    assert config.level("space") is config.section(HierarchySettings).space


def test_values_stay_fixed() -> None:
    config = load_config("quickstart").config
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("value", "divisor", "around"), [(33, 8, (32, 40)), (7, 8, (0, 8)), (8, 8, (8, 8)), (1, 1, (1, 1))]
)
def test_multiples_around_a_value(value: int, divisor: int, around: tuple[int, int]) -> None:
    assert multiples(value, divisor) == around


def test_an_encoder_without_levels_is_judged_as_the_last_one() -> None:
    assert load_config("quickstart").config.levels == ["space", "time", "clip"]
    assert load_config("quickstart", ["encoder=s3d", "task=supervised"]).config.levels == ["clip"]


def test_units_and_tokens_follow_from_the_window_and_the_patches() -> None:
    config = load_config("quickstart", ["groups=[backbone, space, time, clip]", "frame_size=[36, 18]"]).config
    assert config.geometry == Geometry(("backbone", "space", "time", "clip"), (4, 2), frames_per_clip=4, clips=2)
    assert config.clips == 2


def test_every_loss_is_chosen_by_its_name_alone() -> None:
    for kind in LOSSES:
        name = choice_of(kind)
        expected = kind.model_validate({"name": name})
        for spelling in ([f"hierarchical.loss={{name: {name}}}"], [f"loss_fn={name}"]):
            assert load_config("quickstart", spelling).config.section(HierarchicalSettings).loss == expected
        values = expected.model_dump(exclude={"name"})
        both = [f"loss_fn={name}", f"loss_params={to_yaml(values)}"]
        assert load_config("quickstart", both).config.section(HierarchicalSettings).loss == expected


# --------------------------------------------------------------------------------------------------- sections


# Windows of the tasks that do not train the hierarchy.
FRAMES_OF_JOINT = {"language_masked": 1, "dual": 2, "generative": 2, "r3m": 5}


@pytest.mark.parametrize("task", TASKS)
def test_a_config_holds_the_sections_that_it_uses_and_no_others(task: str) -> None:
    frames = FRAMES_OF_JOINT.get(task)
    joint = [] if frames is None else ["encoder=joint", "joint.tubelet=1", f"window.length={frames}"]
    loaded = load_config("quickstart", [f"task={task}", *joint])
    held = {name for name in (*TASKS, "hierarchy", "joint") if name in loaded.merged}
    assert held == {task, "joint" if joint else "hierarchy"}
    assert loaded.config.model_dump().keys() == loaded.merged.keys()
    assert {key.partition(".")[0] for key in loaded.source} == loaded.merged.keys()
    assert Config.model_validate(loaded.config.model_dump()) == loaded.config


def test_an_encoder_without_levels_needs_none_of_their_numbers() -> None:
    loaded = load_config("quickstart", ["task=vicreg", "encoder=s3d", "frame_size=[37, 41]", "window.length=10"])
    assert "hierarchy" not in loaded.merged
    assert "hierarchical" not in loaded.merged
    assert loaded.config.clips == 1
    assert loaded.config.section(VICRegSettings).proj_dim == loaded.merged["vicreg"]["proj_dim"]
    for kind in (HierarchySettings, HierarchicalSettings, SupervisedSettings):
        with pytest.raises(TypeError, match="task vicreg with encoder s3d has no"):
            loaded.config.section(kind)


def test_a_missing_section_that_is_used_is_told_by_its_keys() -> None:
    merged = load_config("quickstart", ["task=vicreg"]).merged
    del merged["vicreg"]
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(merged)
    assert caught.value.errors()[0]["loc"] == ("vicreg", "proj_dim")
