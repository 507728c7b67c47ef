"""config/schema.py: which values fit together."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from config.errors import InputError
from config.load import load_config
from config.schema import nearest_multiples


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["frame_size=[32, 20]", "patch_size=8"],
            "frame_size and patch_size disagree: width 20 is not divisible by 8; 16 or 24 would fit",
        ),
        (
            ["frame_size=[4, 32]", "patch_size=8"],
            "frame_size and patch_size disagree: height 4 is not divisible by 8; 8 would fit",
        ),
        (
            ["window.length=9", "frames_per_clip=4"],
            "window.length and frames_per_clip disagree: 9 frames cannot be cut into clips of 4; "
            "window.length 8 or 12 would fit",
        ),
        (
            ["groups=[space, time]", "window.length=8", "frames_per_clip=4"],
            "groups and window.length disagree: without the level `clip` a window is one clip, but 2 clips of 4 frames "
            "fit into 8; frames_per_clip=8 would fit, or groups=[space,time,clip]",
        ),
    ],
)
def test_values_that_disagree_name_both_keys_and_what_would_fit(overrides: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_config("quickstart", overrides)
    assert str(caught.value) == said


@pytest.mark.parametrize("groups", ["[]", "[space]", "[time, space]", "[space, clip]", "[space, time, clip, clip]"])
def test_groups_must_be_a_hierarchy(groups: str) -> None:
    with pytest.raises(InputError, match=r"^groups: .* is no hierarchy; use \[space, time\] or \[space, time, clip\]$"):
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
    ("value", "divisor", "words"), [(33, 8, "32 or 40"), (7, 8, "8"), (8, 8, "8 or 16"), (1, 1, "1 or 2")]
)
def test_nearest_multiples(value: int, divisor: int, words: str) -> None:
    assert nearest_multiples(value, divisor) == words
