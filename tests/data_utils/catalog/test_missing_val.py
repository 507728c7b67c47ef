"""Validation videos that are drawn from train.csv, as there is no val.csv."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.data import CatalogDataset
from config.errors import InputError
from data_utils.catalog.missing_val import draw_val

FOLDER = Path("data")


def table(labels: Sequence[str], groups: Sequence[str] | None = None, column: str = "label") -> pd.DataFrame:
    columns = {"path": [f"{number}.mp4" for number in range(len(labels))], column: list(labels)}
    return pd.DataFrame(columns | ({"group": list(groups)} if groups is not None else {}))


def dataset(**values: object) -> CatalogDataset:
    return CatalogDataset.model_validate({"name": "catalog", "root": "data", **values})


def drawn(train: pd.DataFrame, **values: object) -> list[int]:
    """The rows that validation gets."""
    return np.flatnonzero(draw_val(train, dataset(**values), None, FOLDER).chosen_N).tolist()


def test_whole_groups_are_drawn_where_they_are_known(caplog: pytest.LogCaptureFixture) -> None:
    groups = [f"person {number % 10}" for number in range(60)]
    train = table(["a", "b", "c"] * 20, groups)
    with caplog.at_level(logging.WARNING):
        chosen = drawn(train)
    of_val, of_train = ({groups[row] for row in rows} for rows in (chosen, set(range(60)) - set(chosen)))
    assert not of_val & of_train
    assert len(of_val) == 2  # 15 % of ten
    said = "12 of 60 videos of train.csv, 2 of 10 groups, drawn with val_seed 0"
    assert caplog.messages == [f"data/val.csv is missing, and validation gets {said}; they are not trained on"]


def test_a_video_whose_group_is_not_known_is_one_by_itself() -> None:
    train = table(["a"] * 12, ["anna"] * 6 + [""] * 6)
    chosen = drawn(train, val_share=0.25)
    assert len(chosen) == 3
    assert all(row >= 6 for row in chosen)  # half of the videos is too many


def test_without_groups_every_class_gives_its_share() -> None:
    labels = ["a"] * 40 + ["b"] * 20 + ["once"]
    counts = Counter(labels[row] for row in drawn(table(labels), val_share=0.25))
    assert counts == {"a": 10, "b": 5}  # a class with one video keeps it for training


def test_without_labels_videos_are_drawn_by_chance() -> None:
    plain = table([""] * 20).drop(columns="label")
    assert len(drawn(plain)) == 3
    assert drawn(plain, labels={}) == drawn(plain)
    assert "by chance, as there are no labels" in draw_val(plain, dataset(), None, FOLDER).words


def test_a_draw_is_a_function_of_its_seed_and_of_the_highest_labels() -> None:
    train = table(["a", "b"] * 30).assign(digit=["0", "1", "2"] * 20)
    assert drawn(train) == drawn(train)
    assert drawn(train) != drawn(train, val_seed=1)
    said = {"space": "digit", "clip": "label"}
    assert drawn(train, labels=said) == drawn(train)
    assert drawn(train, labels={"space": "digit", "clip": {"column": "label", "kind": "single"}}) == drawn(train)
    assert "within the classes of 'digit'" in draw_val(train, dataset(labels={"space": "digit"}), None, FOLDER).words


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (table(["a"]), "train.csv has a single video, which cannot be in both: add val.csv or more videos"),
        (table(["a", "b"], ["anna", " anna "]), r"all videos of train.csv are of one group \('anna'\): add val.csv"),
    ],
)
def test_what_there_is_too_little_of_to_draw_from(train: pd.DataFrame, message: str) -> None:
    with pytest.raises(InputError, match=f"^data/val.csv is missing, and {message}"):
        draw_val(train, dataset(), None, FOLDER)


def test_two_videos_or_groups_are_enough() -> None:
    assert len(drawn(table(["a", "b"]))) == 1  # neither class has one to spare
    assert len(drawn(table([str(number) for number in range(40)]))) == 6
    assert len(drawn(table(["a", "b"], ["x", "y"]))) == 1
