from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from config.errors import InputError
from data_utils.catalog.annotations.classes import UNKNOWN, label_sets, part_shares

FILES = {"train": Path("train.csv"), "val": Path("val.csv")}


def tables(train: list[str], val: list[str]) -> dict[str, pd.DataFrame]:
    return {
        split: pd.DataFrame({"action": cells}, index=range(2, len(cells) + 2))
        for split, cells in {"train": train, "val": val}.items()
    }


def test_classes_are_the_sorted_union_of_all_splits() -> None:
    sets = label_sets("action", tables(["run", "jump"], ["walk", " jump "]), FILES)
    assert sets["train"].classes == sets["val"].classes == ["jump", "run", "walk"]
    assert sets["train"].values.tolist() == [[1], [0]]
    assert sets["val"].values.tolist() == [[2], [0]]
    assert sets["val"].name == "action"


def test_numbers_are_sorted_as_numbers_unless_words_are_among_them() -> None:
    assert label_sets("action", tables(["10", "9"], ["-1", "2.5"]), FILES)["train"].classes == ["-1", "2.5", "9", "10"]
    assert label_sets("action", tables(["10", "9"], ["nan"]), FILES)["train"].classes == ["10", "9", "nan"]


def test_several_labels_stand_for_parts_of_the_video() -> None:
    sets = label_sets("action", tables(["left|up", "up|left"], ["right|up"]), FILES)
    assert sets["train"].classes == ["left", "right", "up"]
    assert sets["train"].values.tolist() == [[0, 2], [2, 0]]
    assert sets["val"].values.tolist() == [[1, 2]]


def test_missing_and_uneven_labels_name_the_line() -> None:
    with pytest.raises(InputError, match=r"val\.csv, line 3: no label in column 'action'"):
        label_sets("action", tables(["a|b"], ["b|a", "|b"]), FILES)
    with pytest.raises(InputError, match=r"train\.csv, line 2: no label"):
        label_sets("action", tables(["a|"], ["b|c"]), FILES)
    with pytest.raises(InputError, match=r"val\.csv, line 2: 1 labels in column 'action', 2 in those above"):
        label_sets("action", tables(["a|b"], ["b"]), FILES)


def test_the_first_wrong_label_is_named() -> None:
    with pytest.raises(InputError, match=r"train\.csv, line 4: no label"):
        label_sets("action", tables(["a|b", "", "a|", "a|b", "|", "a|b"], ["b|c"]), FILES)
    with pytest.raises(InputError, match=r"train\.csv, line 3: 2 labels in column 'action', 1 in those above"):
        label_sets("action", tables(["a", "a|b", ""], ["b"]), FILES)


def test_videos_without_a_label(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        sets = label_sets("action", tables(["a", "", "b", " "], ["b", ""]), FILES)
    assert sets["train"].classes == ["a", "b"]
    assert sets["train"].values.tolist() == [[0], [UNKNOWN], [1], [UNKNOWN]]
    assert sets["train"].is_known.tolist() == [True, False, True, False]
    assert [sets["train"].text(row) for row in range(4)] == ["a", "", "b", ""]
    assert caplog.messages == [
        "train: 2 of 4 videos have no label in column 'action': they are trained on and not scored",
        "val: 1 of 2 videos have no label in column 'action': they are trained on and not scored",
    ]
    several = label_sets("action", tables(["a|b", ""], ["|", "b|a"]), FILES)
    assert several["val"].values.tolist() == [[UNKNOWN, UNKNOWN], [1, 0]]


def test_a_split_without_any_label_is_told_and_not_refused(caplog: pytest.LogCaptureFixture) -> None:
    sets = label_sets("action", tables(["a", "b"], ["", ""]), FILES)
    assert sets["val"].classes == ["a", "b"]
    assert sets["val"].values.tolist() == [[UNKNOWN], [UNKNOWN]]
    assert caplog.messages == ["val: no video has a label in column 'action', so none is scored by it"]
    caplog.clear()
    assert label_sets("action", tables(["", ""], ["a"]), FILES)["val"].values.tolist() == [[0]]
    assert caplog.messages == ["train: no video has a label in column 'action', so none is scored by it"]
    assert label_sets("action", tables(["", "|"], [""]), FILES) == {}


def test_a_column_of_which_the_kind_is_said() -> None:
    sets = label_sets("action", tables(["a", ""], ["b"]), FILES, "single")
    assert sets["train"].kind == "single"
    sets = label_sets("action", tables(["a|b", ""], ["b|a"]), FILES, "parts")
    assert sets["train"].kind == "parts"
    with pytest.raises(InputError, match=r"val\.csv, line 3: 'b\|a' in column 'action' names several parts"):
        label_sets("action", tables(["", ""], ["", "b|a"]), FILES, "single")
    with pytest.raises(InputError, match=r"train\.csv, line 3: 'a;b' in .* is not one class; use kind: multi"):
        label_sets("action", tables(["a", "a;b"], ["b"]), FILES, "single")


def test_the_short_form_takes_several_classes_as_one_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert label_sets("action", tables(["a", "a;b"], ["b", "a;b"]), FILES)["train"].classes == ["a", "a;b", "b"]
    assert "column 'action': 1 classes hold ';', such as 'a;b'" in caplog.messages[0]
    assert "{column: action, kind: multi}" in caplog.messages[0]


def test_some_of_the_rows() -> None:
    labels = label_sets("action", tables(["a", "b", ""], ["a"]), FILES)["train"]
    assert labels.with_rows(np.array([False, True, True])).values.tolist() == [[1], [UNKNOWN]]


def test_labels_that_preparing_takes_for_one_are_one() -> None:
    sets = label_sets("action", tables(["run", " run", "open  door"], ["run\u00a0", "open door"]), FILES)
    assert sets["train"].classes == ["open door", "run"]


def test_labels_that_no_training_video_has_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        label_sets("action", tables(["a", "b"], ["a", "b", "b"]), FILES)
        assert caplog.text == ""
        sets = label_sets("action", tables(["a", "b"], ["d", "c", "a", "d"]), FILES)
    assert sets["val"].values.tolist() == [[3], [2], [0], [3]]
    [line] = caplog.messages
    said = "videos have labels in column 'action' that no training video has"
    assert line == f"val: 3 of 4 {said}: c, d; they count as wrong"
    caplog.clear()
    label_sets("action", tables(["a|b"], [f"a|{number}" for number in range(7)]), FILES)
    assert caplog.messages == [f"val: 7 of 7 {said}: 0, 1, 2, 3, 4 and 2 more; they count as wrong"]


# ------------------------------------------------------------------------------------------------- parts of videos


def naive_shares(frames: list[int], length: int, units: int, parts: int) -> list[list[float]]:
    """By exact fractions: frame f of L lies in part floor(f K / L)."""
    size = len(frames) // units
    shares = [[0.0] * units for _ in range(parts)]
    for position, frame in enumerate(frames):
        shares[frame * parts // length][position // size] += 1 / size
    return shares


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
@pytest.mark.parametrize("units", [1, 2, 4, 8])
def test_part_shares_by_enumeration(units: int, parts: int) -> None:
    windows = {
        "even": (list(range(0, 16, 2)), 16),
        "late": (list(range(8, 16)), 16),
        "loop": ([0, 2, 4, 1, 3, 0, 2, 4], 5),
        "pad": ([0, 2, 4, 6, 6, 6, 6, 6], 7),
        "one frame": ([0] * 8, 1),
        "odd": (list(range(3, 11)), 11),
    }
    frames = torch.tensor([frames for frames, _ in windows.values()])
    lengths = torch.tensor([length for _, length in windows.values()])
    shares = part_shares(frames, lengths, units, parts)
    assert shares.shape == (len(windows), parts, units)
    for row, (window, length) in zip(shares, windows.values(), strict=True):
        np.testing.assert_allclose(row, naive_shares(window, length, units, parts), atol=1e-6)
    # No frame is lost, none counts twice.
    np.testing.assert_allclose(shares.sum(dim=1), np.ones((len(windows), units)), atol=1e-6)


def test_a_unit_that_covers_several_parts_counts_for_all_of_them() -> None:
    shares = part_shares(torch.arange(0, 16, 2)[None], torch.tensor([16]), units=1, parts=4)
    assert shares.tolist() == [[[0.25]] * 4]


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_parts_of_a_frame_lie_where_their_frame_does(parts: int) -> None:
    frames, lengths = torch.tensor([[0, 5, 9, 15], [3, 4, 7, 8]]), torch.tensor([16, 9])
    of_frames = part_shares(frames, lengths, 4, parts)
    of_patches = part_shares(frames, lengths, 12, parts)
    assert of_patches.shape == (2, parts, 12)
    for unit in range(12):
        assert of_patches[:, :, unit].tolist() == of_frames[:, :, unit // 3].tolist()
