"""config/schema.py: which values fit together."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from architecture.geometry import Geometry
from config.errors import InputError
from config.load import load_config
from config.losses import LOSS_PARAMS
from config.schema import Config
from config.sizes import multiples
from config.yaml_text import to_yaml

# Of the levels of the quickstart, whose regulariser or views can then go.
NO_INVARIANCE = [f"loss_weights.{level}.invariance=0.0" for level in ("space", "time", "clip")]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["frame_size=[32, 20]", "patch_size=8"],
            "frame_size and patch_size disagree: width 20 is not divisible by 8; frame_size=[32,16] "
            "would fit, or frame_size=[32,24] or patch_size=4",
        ),
        (
            ["frame_size=[4, 32]", "patch_size=8"],
            "frame_size and patch_size disagree: height 4 is not divisible by 8; frame_size=[8,32] "
            "would fit, or patch_size=4",
        ),
        (
            ["window.length=9", "frames_per_clip=4"],
            "window.length and frames_per_clip disagree: 9 frames cannot be cut into clips of 4; "
            "window.length=8 would fit, or window.length=12 or frames_per_clip=3",
        ),
        (
            ["window.length=1"],
            "window.length and frames_per_clip disagree: 1 frames cannot be cut into clips of 4; "
            "groups=[backbone,space] window.length=1 frames_per_clip=1 would fit, or window.length=4 or "
            "frames_per_clip=1",
        ),
        (
            ["groups=[space, time]", "window.length=8", "frames_per_clip=4"],
            "groups and window.length disagree: without the level `clip` a window is one clip, but 2 clips of 4 frames "
            "fit into 8; frames_per_clip=8 would fit, or groups=[space,time,clip]",
        ),
        (
            ["groups=[backbone, space]", "window.length=8", "frames_per_clip=4"],
            "groups and window.length disagree: without the level `time` a window is one frame, not 8; "
            "window.length=1 frames_per_clip=1 would fit, or groups=[backbone,space,time] frames_per_clip=8 or "
            "groups=[backbone,space,time,clip]",
        ),
        (
            ["stem=cnn", "patch_size=9"],
            "stem and patch_size disagree: a cnn stem has a stride of 4, which does not divide 9; "
            "patch_size=12 would fit",
        ),
        (
            ["temporal_stem=true"],
            "temporal_stem and stem disagree: a linear stem has no time; stem=cnn patch_size=12 would fit, or "
            "temporal_stem=false",
        ),
        (
            ["encoder=s3d"],
            "encoder and task disagree: s3d has no levels for hierarchical; encoder=hierarchical would fit, or "
            "task=supervised or task=vicreg",
        ),
        (
            ["encoder=s3d", "task=vicreg", "window.length=4"],
            "encoder and window.length disagree: s3d needs 8 frames or more, not 4; window.length=8 would fit, or "
            "encoder=r2plus1d_18",
        ),
        (
            ["architecture_clip.causal_mask=true", "frames_per_clip=8"],
            "architecture_clip.causal_mask: a unit of clip is a single token, so there is no next one to predict; "
            "architecture_clip.causal_mask=false would fit",
        ),
        (
            [*NO_INVARIANCE, "regularizer={name: none}", "loss_weights.clip={up: 1, down: 0, side: 1}"],
            "loss_weights.clip and regularizer disagree: clip has no loss at all, and no regularizer; "
            "loss_weights.clip.down=0.1 would fit",
        ),
        (
            ["alternating_interval=50", "task=supervised"],
            "alternating_interval and task disagree: supervised trains one group, which cannot take turns; "
            "alternating_interval=null would fit, or task=hierarchical",
        ),
        (
            ["explicit_freeze=true"],
            "explicit_freeze and alternating_interval disagree: without turns no group rests; explicit_freeze=false "
            "would fit, or alternating_interval=50.0",
        ),
        (
            ["targets=ema", "detach_targets=false"],
            "detach_targets and targets disagree: targets of ema are computed without gradient; detach_targets=true "
            "would fit, or targets=online",
        ),
        (
            ["targets=ema", "detach_side_targets=false"],
            "detach_side_targets and targets disagree: targets of ema are computed without gradient; "
            "detach_side_targets=true would fit, or targets=online",
        ),
        (
            ["views.time=[weak]", "loss_weights.time.invariance=1"],
            "loss_weights.time.invariance and views.time disagree: the invariance is between two views; "
            "views.time=[strong,strong] would fit, or loss_weights.time.invariance=0.0",
        ),
        (
            ["views.space=[none,none]", "second_view=augmentation", "loss_weights.space.invariance=1"],
            "loss_weights.space.invariance and views.space disagree: a window as it is looks the same twice; "
            "views.space=[strong,strong] would fit, or second_view=window",
        ),
        (
            [
                *(f"loss_weights.{level}.invariance=0" for level in ("backbone", "space", "time")),
                "loss_weights.clip.invariance=1",
                "views.clip=[strong,strong]",
                "regularizer={name: none}",
            ],
            "loss_weights.clip.invariance and regularizer disagree: without a regularizer two views are most alike "
            "when all is; loss_weights.space.invariance=0.0 loss_weights.time.invariance=0.0 "
            "loss_weights.clip.invariance=0.0 would fit",
        ),
        (
            [
                *(f"loss_weights.{level}.invariance=0" for level in ("backbone", "space", "time")),
                "loss_weights.clip.invariance=1",
                "views.clip=[strong,strong]",
                "regularizer={name: vicreg, variance: 0, covariance: 0, proj_dim: 8, min_vectors: 2}",
            ],
            "loss_weights.clip.invariance and regularizer disagree: without a regularizer two views are most alike "
            "when all is; loss_weights.space.invariance=0.0 loss_weights.time.invariance=0.0 "
            "loss_weights.clip.invariance=0.0 would fit",
        ),
        (
            [
                *NO_INVARIANCE,
                "regularizer={name: vicreg, variance: 0, covariance: 0, proj_dim: 8, min_vectors: 2}",
                "loss_weights.time={up: 0, down: 0, side: 0}",
            ],
            "loss_weights.time and regularizer disagree: time has no loss at all, and no regularizer; "
            "loss_weights.time.up=0.1 would fit, or loss_weights.time.down=0.1 or loss_weights.time.side=0.1",
        ),
        (
            ["loss_fn=smooth_l1", "loss_params={betta: 1}"],
            "loss_params.betta and loss_fn disagree: smooth_l1 takes beta",
        ),
        (
            ["loss_params={beta: 1}"],
            "loss_params.beta and loss_fn disagree: mse takes none",
        ),
        (
            ["loss_fn=smooth_l1", "loss_params={beta: -1}"],
            "loss_params.beta: expected more than 0, got -1.0",
        ),
        (
            ["loss_fn=smooth_l1", "loss_params={beta: null}"],
            "loss_params.beta: expected a number, got null",
        ),
    ],
)
def test_values_that_disagree_name_both_keys_and_what_would_fit(overrides: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_config("quickstart", overrides)
    assert str(caught.value) == said


def test_every_level_needs_views() -> None:
    merged = load_config("quickstart", NO_INVARIANCE).merged
    del merged["views"]["time"]
    with pytest.raises(ValidationError, match=r"views.time is missing, the views that time learns from; views.time=\["):
        Config.model_validate(merged)
    two_levels = {"groups": ["space", "time"], "frames_per_clip": merged["window"]["length"]}
    merged["views"] = {"space": ["none"], "time": ["weak", "strong"]}
    assert Config.model_validate(merged | two_levels).views["time"] == ["weak", "strong"]
    assert Config.model_validate(merged | {"task": "vicreg", "views": {}}).views == {}  # which has views of its own


@pytest.mark.parametrize("views", ["[]", "[weak,weak,weak]", "[middle]", "null"])
def test_a_level_has_one_view_or_two(views: str) -> None:
    with pytest.raises(InputError, match=r"^views\.space"):
        load_config("quickstart", [f"views.space={views}"])


# What people change without looking at what else it needs.
HASTY = [
    ["window.length=1"],
    ["window.length=16", "frames_per_clip=3"],
    ["window.length=5", "groups=[space, time]"],
    ["window.length=16", "groups=[backbone, space]"],
    ["frame_size=[224, 224]"],
    ["frame_size=[64, 128]", "patch_size=12"],
    ["patch_size=16"],
    ["stem=cnn"],
    ["stem=cnn", "temporal_stem=true", "frame_size=[40, 40]", "patch_size=10"],
    ["temporal_stem=true"],
    ["encoder=s3d", "task=supervised", "window.length=4"],
    ["encoder=r2plus1d_18"],
    ["video_decoder=opencv", "num_workers=0"],
    ["targets=ema", "detach_targets=false"],
    ["explicit_freeze=true", "always_compute_loss=true"],
    ["alternating_interval=20", "task=vicreg"],
    ["architecture_clip.causal_mask=true", "window.length=4"],
    [*NO_INVARIANCE, "regularizer={name: none}", "loss_weights.time={up: 0, down: 0, side: 0}"],
    ["regularizer={name: none}"],
    ["views.time=[weak]"],
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
        load_config("quickstart", ["frame_size=[64, 64]", "encoder=s3d"])


@pytest.mark.parametrize("groups", ["[]", "[space]", "[time, space]", "[space, clip]", "[space, time, clip, clip]"])
def test_groups_must_be_a_hierarchy(groups: str) -> None:
    with pytest.raises(InputError, match=r"^groups: .* is no hierarchy; use one of \[space, time\], "):
        load_config("quickstart", [f"groups={groups}"])


def test_two_levels_are_one_clip() -> None:
    config = load_config("quickstart", ["groups=[space, time]", "window.length=8", "frames_per_clip=8"]).config
    assert config.clips == 1


def test_clips_follow_from_the_window() -> None:
    assert load_config("quickstart", ["window.length=12", "frames_per_clip=4"]).config.clips == 3


def test_level_gives_the_numbers_of_a_level() -> None:
    config = load_config("quickstart", ["architecture_time.layers=7"]).config
    assert config.level("time").layers == 7
    assert config.level("space") is config.architecture_space


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


def test_loss_params_are_those_of_the_loss() -> None:
    for name, params in LOSS_PARAMS.items():
        values = params().model_dump()
        config = load_config("quickstart", [f"loss_fn={name}", f"loss_params={to_yaml(values)}"]).config
        assert config.loss_params == values
