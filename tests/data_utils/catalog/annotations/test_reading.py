from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from config.data import CatalogDataset
from config.errors import InputError
from data_utils.catalog.annotations.boxes import Boxes
from data_utils.catalog.annotations.captions import Captions
from data_utils.catalog.annotations.multi import MultiLabelSet
from data_utils.catalog.annotations.reading import Known, read_annotations

LEVELS = ["space", "time", "clip"]


def read(folder: Path, columns: dict[str, list[str]], labels: Any = None, **annotations: str) -> Known:
    dataset = CatalogDataset.model_validate(
        {"name": "catalog", "root": "x", "labels": labels, "annotations": annotations}
    )
    table = pd.DataFrame({"path": ["a.mp4", "b.mp4"], **columns}, index=[2, 3])
    tables = {"train": table, "val": table.assign(path=["c.mp4", "d.mp4"]), "test": table.assign(path=["e", "f"])}
    return read_annotations(dataset, None, LEVELS, tables, folder)


def test_every_kind_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("path,time,x1,y1,x2,y2,label\na.mp4,0,0,0,1,1,run\n")
    columns = {"thing": ["cup", "hat"], "moves": ["l|r", "r|l"], "acts": ["a;b", "b"], "said": ["Hello", ""]}
    labels = {"space": "thing", "time": "moves", "clip": {"column": "acts", "kind": "multi"}}
    known = read(tmp_path, columns, labels, said="captions", people="boxes")
    assert known.judged_by == {"space": "thing", "time": "moves", "clip": "acts"}
    assert list(known.labels) == ["moves", "thing"]
    assert {column: sets["val"].kind for column, sets in known.labels.items()} == {"moves": "parts", "thing": "single"}
    others = {name: by_split["train"] for name, by_split in known.others.items()}
    assert list(others) == ["acts", "said", "people"]
    assert isinstance(others["acts"], MultiLabelSet)
    assert isinstance(others["said"], Captions)
    assert isinstance(others["people"], Boxes)
    assert {name: annotation.name for name, annotation in others.items()} == {name: name for name in others}


def test_a_further_column_of_classes_is_a_label_set(tmp_path: Path) -> None:
    known = read(tmp_path, {"label": ["a", "b"], "scene": ["in", "out"]}, scene="single")
    assert list(known.labels) == ["label", "scene"]
    assert known.judged_by == dict.fromkeys(LEVELS, "label")


@pytest.mark.parametrize(
    ("columns", "labels", "why"),
    [
        ({}, None, "there is no column 'label'"),
        ({"label": ["a", "b"]}, {}, "dataset.labels is empty"),
        ({"label": ["", " "]}, None, "no video has a label in column 'label'"),
        (
            {"acts": ["a;b", "b"]},
            {level: {"column": "acts", "kind": "multi"} for level in LEVELS},
            "column 'acts' holds several classes at once",
        ),
    ],
    ids=["no column", "none wanted", "empty", "several"],
)
def test_why_nothing_is_scored_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, columns: dict[str, list[str]], labels: Any, why: str
) -> None:
    known = read(tmp_path, columns, labels)
    assert known.labels == {}
    assert caplog.messages == [f"nothing is scored by labels, as {why}; all videos are trained on"]


def test_what_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.csv has no column 'action', only path, label; add it or set dataset"):
        read(tmp_path, {"label": ["a", "b"]}, dict.fromkeys(LEVELS, "action"))
    with pytest.raises(InputError, match=r"train\.csv has no column 'said'"):
        read(tmp_path, {"label": ["a", "b"]}, said="captions")
    with pytest.raises(InputError, match=r"people\.csv is missing"):
        read(tmp_path, {"label": ["a", "b"]}, people="boxes")


def test_a_column_has_one_kind(tmp_path: Path) -> None:
    labels = {level: {"column": "acts", "kind": "single"} for level in LEVELS}
    with pytest.raises(InputError, match=r"column 'acts' cannot be single and multi"):
        read(tmp_path, {"acts": ["a", "b"]}, labels, acts="multi")
    assert read(tmp_path, {"acts": ["a", "b"]}, dict.fromkeys(LEVELS, "acts"), acts="multi").labels == {}
