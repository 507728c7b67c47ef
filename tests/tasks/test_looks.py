"""Which looks at a window the levels share, and how each is made."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from config.schema import Config
from data_utils.views.views import View
from tasks.hierarchical import HierarchicalTask
from tasks.looks import Look, looks_of_levels, view_of

MakeConfig = Callable[..., Config]
NONE, WEAK, STRONG = Look("none", 0, 0), Look("weak", 0, 0), Look("strong", 0, 0)
WEAK_2, STRONG_2 = Look("weak", 0, 1), Look("strong", 0, 1)
# By the views of a level: its looks at one window, and where the second is another window.
LOOKS: dict[str, tuple[tuple[Look, ...], tuple[Look, ...]]] = {
    "[none]": ((NONE,), (NONE,)),
    "[strong]": ((STRONG,), (STRONG,)),
    "[none,none]": ((NONE, NONE), (NONE, Look("none", 1, 0))),
    "[none,weak]": ((NONE, WEAK), (NONE, Look("weak", 1, 0))),
    "[weak,weak]": ((WEAK, WEAK_2), (WEAK, Look("weak", 1, 0))),
    "[weak,strong]": ((WEAK, STRONG), (WEAK, Look("strong", 1, 0))),
    "[strong,weak]": ((STRONG, WEAK), (STRONG, Look("weak", 1, 0))),
    "[strong,strong]": ((STRONG, STRONG_2), (STRONG, Look("strong", 1, 0))),
}


@pytest.mark.parametrize("views", LOOKS)
def test_the_views_of_a_level_are_looks_in_the_same_order(tiny_config: MakeConfig, views: str) -> None:
    for second_view, expected in zip(("augmentation", "window"), LOOKS[views], strict=True):
        config = tiny_config(f"views.time={views}", f"second_view={second_view}")
        assert looks_of_levels(config) == {"space": (NONE,), "time": expected, "clip": (NONE,)}


def test_levels_share_the_looks_that_coincide(tiny_config: MakeConfig) -> None:
    task = HierarchicalTask(tiny_config("views={space: [weak, weak], time: [weak, strong], clip: [strong, strong]}"))
    assert task.looks_of_levels == {"space": (WEAK, WEAK_2), "time": (WEAK, STRONG), "clip": (STRONG, STRONG_2)}
    assert task.looks == [WEAK, WEAK_2, STRONG, STRONG_2]  # each once


def test_windows_are_told_apart(tiny_config: MakeConfig) -> None:
    task = HierarchicalTask(
        tiny_config("views={space: [strong], time: [strong, strong], clip: [weak, strong]}", "second_view=window")
    )
    other = Look("strong", 1, 0)
    assert task.looks_of_levels == {"space": (STRONG,), "time": (STRONG, other), "clip": (WEAK, other)}
    assert [view.window for view in task.views] == [0, 1, 0]


def test_a_window_as_it_is_looks_the_same_twice(tiny_config: MakeConfig) -> None:
    views = "views={space: [none, none], time: [none, none], clip: [none]}"
    assert HierarchicalTask(tiny_config(views)).views == (View(),)
    assert HierarchicalTask(tiny_config(views, "second_view=window")).views == (View(), View(window=1))


def test_levels_that_a_config_does_not_have_ask_for_no_look(tiny_config: MakeConfig) -> None:
    config = tiny_config("groups=[space,time]", "frames_per_clip=6", "views={backbone: [weak], clip: [strong]}")
    assert looks_of_levels(config) == {"space": (NONE,), "time": (NONE,)}
    config = tiny_config("groups=[backbone,space,time,clip]", "views={backbone: [weak], clip: [strong]}")
    assert list(looks_of_levels(config).items()) == [
        ("backbone", (WEAK,)),
        ("space", (NONE,)),
        ("time", (NONE,)),
        ("clip", (STRONG,)),
    ]


@pytest.mark.parametrize("window", [0, 1])
def test_a_look_is_made_by_the_augmentation_of_its_strength(tiny_config: MakeConfig, window: int) -> None:
    config = tiny_config("augmentation.grayscale=0.7", "weak_augmentation.grayscale=0.1")
    assert view_of(Look("none", window, 0), config) == View(window=window)
    assert view_of(Look("weak", window, 1), config) == View(window=window, augmentation=config.weak_augmentation)
    assert view_of(Look("strong", window, 0), config) == View(window=window, augmentation=config.augmentation)
    assert config.augmentation != config.weak_augmentation


def test_training_augments_by_views_alone(tiny_config: MakeConfig) -> None:
    for teacher in ("targets=online", "targets=ema"):
        for elsewhere in ("augment_training=true", "augment_training=false"):
            assert HierarchicalTask(tiny_config(teacher, elsewhere)).views == (View(),)
