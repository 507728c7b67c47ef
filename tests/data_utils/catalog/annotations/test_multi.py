from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data_utils.catalog.annotations.multi import multi_label_sets


def tables(**cells: list[str]) -> dict[str, pd.DataFrame]:
    return {split: pd.DataFrame({"actions": column}) for split, column in cells.items()}


def test_cells_as_booleans_over_the_classes_of_all_splits() -> None:
    sets = multi_label_sets("actions", tables(train=["b;a", "b", " a ; a;;", ""], val=["c", ";"]))
    assert sets["train"].classes == sets["val"].classes == ["a", "b", "c"]
    assert sets["train"].shows_NC.dtype == np.bool_
    assert sets["train"].shows_NC.tolist() == [
        [True, True, False],
        [False, True, False],
        [True, False, False],
        [False, False, False],
    ]
    assert sets["val"].shows_NC.tolist() == [[False, False, True], [False, False, False]]
    assert sets["train"].kind == "multi"


def test_none_of_the_classes_is_not_the_same_as_not_annotated() -> None:
    sets = multi_label_sets("actions", tables(train=["a", "", ";", " ; "]))
    assert sets["train"].is_known.tolist() == [True, False, True, True]
    assert [sets["train"].text(row) for row in range(4)] == ["a", "", ";", ";"]
    assert multi_label_sets("actions", tables(train=["", " "], val=[""])) == {}


def test_numbers_are_in_their_order_and_text_gives_the_cell_back() -> None:
    (labels,) = multi_label_sets("actions", tables(train=["10;9", "9"])).values()
    assert labels.classes == ["9", "10"]
    assert labels.text(0) == "9;10"


def test_some_of_the_rows() -> None:
    (labels,) = multi_label_sets("actions", tables(train=["a", "", "b"])).values()
    kept = labels.with_rows(np.array([False, True, True]))
    assert kept.shows_NC.tolist() == [[False, False], [False, True]]
    assert kept.is_known.tolist() == [False, True]


def test_classes_that_no_training_video_shows_are_told(caplog: pytest.LogCaptureFixture) -> None:
    multi_label_sets("actions", tables(train=["a;b", "a"], val=["a;c", "b", "d;c"]))
    said = "videos have labels in column 'actions' that no training video has"
    assert caplog.messages == [f"val: 2 of 3 {said}: c, d; they count as wrong"]
