from __future__ import annotations

from typing import Any

import pytest

from config.data import CatalogDataset, LabelColumn
from config.errors import InputError
from data_utils.catalog.annotations.level_columns import level_columns
from data_utils.catalog.dataset_card import DatasetCard

DIGITS = {"space": "digit", "time": "motion", "clip": "program"}
PATCHES = ["backbone", "space", "time"]


def dataset(labels: dict[str, Any] | None) -> CatalogDataset:
    return CatalogDataset.model_validate({"name": "catalog", "root": "x", "labels": labels})


def card(labels: dict[str, Any] | None) -> DatasetCard:
    return DatasetCard.model_validate(
        {"name": "x", "format": "video", "size": None, "mean": [0.3] * 3, "std": [0.1] * 3, "flip": 0, "labels": labels}
    )


def names(
    said: dict[str, Any] | None, levels: list[str], of_card: DatasetCard | None = None, present: tuple[str, ...] = ()
) -> dict[str, str]:
    found = level_columns(dataset(said), of_card, levels, present)
    return {level: chosen.column for level, chosen in found.items()}


def test_the_configs_word_wins() -> None:
    columns = {"space": "scene", "time": "action", "clip": "scene"}
    assert names(columns, ["space", "time"], card(DIGITS)) == {"space": "scene", "time": "action"}
    assert names(columns, PATCHES) == {"backbone": "scene", "space": "scene", "time": "action"}
    assert names(columns | {"backbone": "texture"}, PATCHES)["backbone"] == "texture"
    assert names({"time": "action"}, ["time"]) == {"time": "action"}
    with pytest.raises(InputError, match=r"dataset\.labels names no column for time and clip"):
        names({"space": "scene"}, ["space", "time", "clip"])


def test_else_the_datasets() -> None:
    digits = card(DIGITS)
    assert names(None, ["space", "time", "clip"], digits, ("label",)) == DIGITS
    # The only clip is the whole video.
    assert names(None, ["space", "time"], digits) == {"space": "digit", "time": "program"}
    assert names(None, ["backbone", "space"], digits) == {"backbone": "digit", "space": "digit"}
    assert names(None, PATCHES, digits) == {"backbone": "digit", "space": "digit", "time": "program"}
    with pytest.raises(InputError, match=r"labels of dataset\.json names no column for time"):
        names(None, ["space", "time"], card({"space": "digit"}))


def test_else_one_column_judges_all() -> None:
    assert names(None, PATCHES, None, ("path", "label")) == dict.fromkeys(PATCHES, "label")
    assert names(None, PATCHES, card(None), ("path", "label")) == dict.fromkeys(PATCHES, "label")


def test_no_labels_at_all() -> None:
    assert names(None, PATCHES, None, ("path",)) == {}
    assert names({}, PATCHES, card(DIGITS), ("path", "label")) == {}
    assert names(None, PATCHES, card({}), ("path", "label")) == {}


def test_the_kind_is_kept() -> None:
    said = {"space": "scene", "time": {"column": "actions", "kind": "multi"}}
    assert level_columns(dataset(said), None, ["space", "time"], ()) == {
        "space": LabelColumn(column="scene"),
        "time": LabelColumn(column="actions", kind="multi"),
    }
