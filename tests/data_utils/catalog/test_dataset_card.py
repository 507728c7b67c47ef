from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.data import LabelColumn
from config.errors import InputError
from data_utils.catalog.dataset_card import FILE_NAME, DatasetCard, read_card

CARD: dict[str, Any] = {
    "name": "ssv2",
    "format": "packed",
    "size": 256,
    "mean": [0.4, 0.41, 0.42],
    "std": [0.2, 0.21, 0.22],
    "flip": 0.25,
}


def write(folder: Path, **values: Any) -> Path:
    (folder / FILE_NAME).write_text(json.dumps(CARD | values))
    return folder


def test_a_card_is_read_with_what_newer_preparations_add(tmp_path: Path) -> None:
    assert read_card(write(tmp_path, videos=12)) == DatasetCard.model_validate(CARD | {"videos": 12})
    assert read_card(tmp_path / "nowhere") is None


def test_a_card_may_say_which_column_judges_which_level(tmp_path: Path) -> None:
    labels = {"space": "thing", "time": {"column": "actions", "kind": "multi"}}
    card = read_card(write(tmp_path, labels=labels))
    assert card is not None
    assert card.labels == {"space": "thing", "time": LabelColumn(column="actions", kind="multi")}


def test_the_generators_file_of_an_earlier_version_says_what_todays_says(tmp_path: Path, tiny_dataset: Path) -> None:
    today = json.loads((tiny_dataset / FILE_NAME).read_text())
    said_before = {key: today[key] for key in ("name", "version", "seed", "videos")}
    (tmp_path / FILE_NAME).write_text(json.dumps(said_before))
    card = read_card(tmp_path)
    assert card is not None
    assert card == read_card(tiny_dataset)
    assert card.labels == {"space": "digit", "time": "motion", "clip": "program"}


@pytest.mark.parametrize(
    "change",
    [
        {"format": "zip"},
        {"mean": [0.1, 0.2]},
        {"mean": [0.1, 0.2, float("nan")]},
        {"std": [0.1, 0.2, 0.0]},
        {"std": [0.1, 0.2, -0.1]},
        {"flip": 1.5},
        {"flip": "yes"},
        {"size": 0},
        {"name": None},
        {"labels": {"scene": "label"}},
        {"labels": {"clip": {"column": "label", "kind": "several"}}},
    ],
    ids=str,
)
def test_a_card_with_other_values_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dataset\.json does not describe a dataset; run prepare\.py"):
        read_card(write(tmp_path, **change))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"{}", b"\xff", b'{"name": "moving_digits"'])
def test_what_is_no_card_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(InputError, match=r"dataset\.json does not describe a dataset"):
        read_card(tmp_path)


def test_a_card_that_cannot_be_read_is_told(tmp_path: Path, bound_by_rights: None) -> None:
    (write(tmp_path) / FILE_NAME).chmod(0)
    with pytest.raises(InputError, match=r"dataset\.json cannot be read: Permission denied"):
        read_card(tmp_path)
