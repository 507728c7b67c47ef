"""The numbers of a hierarchy, against counting by hand; and facts that are stated once."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from architecture.geometry import CONV_STEM_STRIDE, Geometry
from architecture.stem import build_stem

FOUR = Geometry.of_window(("backbone", "space", "time", "clip"), [16, 24], patch_size=8, frames=12, frames_per_clip=4)


def test_units_tokens_and_times_of_every_level() -> None:
    assert Geometry(("backbone", "space", "time", "clip"), (2, 3), frames_per_clip=4, clips=3) == FOUR
    assert (FOUR.patches, FOUR.frames) == (6, 12)
    assert {level: FOUR.units(level) for level in FOUR.groups} == {"backbone": 72, "space": 12, "time": 3, "clip": 1}
    assert {level: FOUR.tokens(level) for level in FOUR.groups} == {"backbone": 0, "space": 6, "time": 4, "clip": 3}
    assert {level: FOUR.times(level) for level in FOUR.groups} == {"backbone": 12, "space": 12, "time": 3, "clip": 1}
    assert [FOUR.simultaneous(level) for level in FOUR.groups] == [6, 1, 1, 1]
    assert [FOUR.shape(level) for level in FOUR.joining] == [(2, 3), (4,), (3,)]


def test_every_level_joins_all_units_of_the_one_below() -> None:
    assert FOUR.joining == ("space", "time", "clip")
    for level in FOUR.joining:
        assert FOUR.units(level) * FOUR.tokens(level) == FOUR.units(FOUR.below(level))


def test_neighbours() -> None:
    assert [FOUR.above(level) for level in FOUR.groups] == ["space", "time", "clip", None]
    two = Geometry.of_window(["space", "time"], (16, 24), 8, frames=6, frames_per_clip=6)
    assert two.above("time") is None
    assert two.below("space") == "backbone"  # its patches, though they are not a level of their own
    with pytest.raises(KeyError):
        two.below("backbone")


def test_the_convolutional_stem_has_the_stride_that_is_stated() -> None:
    stem = build_stem("cnn", CONV_STEM_STRIDE, 5, False, 0.1)
    patches_BTPD = stem(torch.zeros(1, 1, 3, 5 * CONV_STEM_STRIDE, 7 * CONV_STEM_STRIDE))
    assert patches_BTPD.shape == (1, 1, 35, 5)


def test_the_config_gets_these_numbers_without_torch() -> None:
    code = "import sys; import architecture.geometry, config.schema; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
