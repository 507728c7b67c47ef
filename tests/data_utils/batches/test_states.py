from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.data import DataConfig
from config.schema import Config
from data_utils.batches.plan import Plan
from data_utils.batches.states import WINDOWS, drawn_states, fixed_states, state_window, video_numbers
from data_utils.catalog.catalog import Catalog

SHARE = 0.2
VIDEO = 2**63 + 11  # numbers of videos fill 64 bits


def data(make: object, length: int, *more: str) -> DataConfig:
    assert callable(make)
    config = make("task=vicreg", f"window={{length: {length}, sampling: states}}", "encoder=r2plus1d_18", *more)
    assert isinstance(config, Config)
    return config


def catalog(*frames: int, first: int = 0) -> Catalog:
    names = [f"train/{number}.mp4" for number in range(first, first + len(frames))]
    table = pd.DataFrame({"path": names, "frames": frames, "height": 36, "width": 36, "fps": 8.0})
    return Catalog("train", Path("/videos"), table, {}, len(table))


# ------------------------------------------------------------------------------------------------------- the states


@pytest.mark.parametrize("num_frames", [5, 6, 7, 11, 45, 120])
def test_states_lie_where_they_should_and_differ(num_frames: int) -> None:
    drawn = np.array([drawn_states(num_frames, SHARE, 3, epoch, VIDEO) for epoch in range(600)])
    assert (np.diff(drawn, axis=1) > 0).all()
    assert drawn[:, 0].min() == 0
    assert drawn[:, 0].max() == max(1, round(SHARE * num_frames)) - 1
    assert drawn[:, -1].min() == min(num_frames - 1, round((1 - SHARE) * num_frames))
    assert drawn[:, -1].max() == num_frames - 1


def test_every_interior_triple_is_about_as_likely() -> None:
    drawn = [tuple(drawn_states(7, SHARE, 0, epoch, 5)) for epoch in range(2000)]
    triples, counts = np.unique(np.array(drawn)[:, 1:4], axis=0, return_counts=True)
    assert len(triples) == 10  # three of the five frames between the first and the last of seven
    assert counts.min() > 140


def test_states_are_a_function_of_seed_epoch_and_video_alone() -> None:
    def draw(seed: int = 1, epoch: int = 2, video: int = VIDEO) -> list[int]:
        return [int(state) for state in drawn_states(90, SHARE, seed, epoch, video)]

    assert draw() == draw()
    assert len({tuple(states) for states in (draw(), draw(seed=2), draw(epoch=3), draw(video=VIDEO + 1))}) == 4


@pytest.mark.parametrize(
    ("num_frames", "states"), [(1, [0, 0, 0, 0, 0]), (2, [0, 0, 1, 1, 1]), (3, [0, 1, 1, 2, 2]), (4, [0, 1, 2, 2, 3])]
)
def test_short_clips_show_frames_twice_evenly_spread(num_frames: int, states: list[int]) -> None:
    for epoch in range(5):
        assert drawn_states(num_frames, SHARE, 0, epoch, VIDEO).tolist() == states
    assert fixed_states(num_frames, SHARE).tolist() == states


def test_ends_that_meet_still_give_states_in_order() -> None:
    for epoch in range(100):
        states = drawn_states(10, 0.5, 0, epoch, VIDEO)
        assert (np.diff(states) >= 0).all()
        assert states[0] < 5 <= states[-1]


def test_evaluation_takes_the_middle_of_the_ends_and_evenly_between() -> None:
    assert fixed_states(50, SHARE).tolist() == [4, 14, 25, 35, 45]
    assert fixed_states(5, SHARE).tolist() == [0, 1, 2, 3, 4]


def test_windows_are_single_states_pairs_with_the_first_and_all() -> None:
    states = np.array([3, 10, 20, 30, 41])
    singles, pairs, whole = ([state_window(states, n, k).tolist() for k in range(WINDOWS[n])] for n in (1, 2, 5))
    assert singles == [[3], [10], [20], [30], [41]]
    assert pairs == [[3, 10], [3, 20], [3, 30], [3, 41]]
    assert whole == [[3, 10, 20, 30, 41]]


def test_numbers_of_videos_do_not_depend_on_each_other() -> None:
    both = video_numbers(np.array(["a/1.mp4", "a/2.mp4"], object))
    assert both.dtype == np.uint64
    assert video_numbers(np.array(["a/2.mp4"], object))[0] == both[1] != both[0]


# ---------------------------------------------------------------------------------------------- in the plan of an epoch


def planned(plan: Plan, epoch: int) -> dict[str, list[list[int]]]:
    """The windows of an epoch, sorted, by video."""
    found: dict[str, list[list[int]]] = {}
    for batch in plan.batches(epoch, 0):
        for window in batch:
            found.setdefault(Path(window.path).name, []).append(window.frames.tolist())
    return {name: sorted(windows) for name, windows in found.items()}


def test_all_methods_see_the_same_frames_whatever_else_the_catalog_lists(tiny_config: object) -> None:
    videos = catalog(45, 30, 8, 3)
    by_length = {n: Plan(videos, data(tiny_config, n), 1, seed=7, training=True) for n in WINDOWS}
    assert {n: plan.num_windows for n, plan in by_length.items()} == {1: 20, 2: 16, 5: 4}
    for epoch in (0, 5):
        seen = {n: planned(plan, epoch) for n, plan in by_length.items()}
        for name, [states] in seen[5].items():
            assert seen[1][name] == sorted([state] for state in states)
            assert seen[2][name] == sorted([states[0], other] for other in states[1:])
    fewer = Plan(catalog(30, 8, first=1), data(tiny_config, 5), 1, seed=7, training=True)
    assert planned(fewer, 5)["2.mp4"] == seen[5]["2.mp4"]
    assert planned(by_length[5], 0)["0.mp4"] != seen[5]["0.mp4"]


def test_an_epoch_goes_on_from_any_batch(tiny_config: object) -> None:
    plan = Plan(catalog(45, 30, 8), data(tiny_config, 2), 5, seed=7, training=True)
    whole = [[window.frames.tolist() for window in batch] for batch in plan.batches(3, 0)]
    assert [[window.frames.tolist() for window in batch] for batch in plan.batches(3, 1)] == whole[1:]


def test_evaluation_spreads_its_windows_over_the_fixed_states(tiny_config: object) -> None:
    def frames(length: int, windows: int) -> list[list[int]]:
        config = data(tiny_config, length, f"window.eval_windows={windows}")
        plan = Plan(catalog(50), config, 8, seed=7, training=False)
        return [window.frames.tolist() for batch in plan.batches(0, 0) for window in batch]

    assert frames(1, 5) == [[4], [14], [25], [35], [45]]
    assert frames(1, 1) == [[25]]
    assert frames(1, 9) == frames(1, 5)
    assert frames(2, 2) == [[4, 14], [4, 45]]
    assert frames(5, 4) == [[4, 14, 25, 35, 45]]


def test_a_second_window_is_another_one_of_the_same_states(tiny_config: object) -> None:
    plan = Plan(catalog(45), data(tiny_config, 2), 4, seed=7, training=True, second_window=True)
    [states] = planned(Plan(catalog(45), data(tiny_config, 5), 1, seed=7, training=True), 1)["0.mp4"]
    for window in next(plan.batches(1, 0)):
        assert window.other is not None
        assert window.other[0] == states[0]
        assert window.other[1] in set(states[1:]) - {int(window.frames[1])}


def test_a_table_in_another_order_has_the_same_frames(tiny_config: object) -> None:
    videos = catalog(45, 30)
    turned = replace(videos, table=videos.table[::-1].reset_index(drop=True))
    plans = [Plan(each, data(tiny_config, 5), 1, seed=7, training=True) for each in (videos, turned)]
    assert planned(plans[0], 2) == planned(plans[1], 2)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("window.length=3", "windows of states have 1, 2 or 5 frames, not 3; window.length=1 would fit, or"),
        ("window.frequency_fps=4", "window.sampling and window.frequency_fps disagree: states are of the whole video"),
        ("window.step=4", "window.sampling and window.step disagree: states are of the whole video"),
        ("window.end_share=0.6", "end_share"),
    ],
)
def test_values_that_do_not_go_with_states_are_refused(tiny_config: object, override: str, message: str) -> None:
    from config.errors import InputError

    with pytest.raises(InputError, match="window") as error:
        data(tiny_config, 2, override)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
