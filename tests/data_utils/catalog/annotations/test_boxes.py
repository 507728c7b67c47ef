from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.errors import InputError
from data_utils.catalog.annotations.boxes import NO_TRACK, boxes_of

TABLES = {
    "train": pd.DataFrame({"path": ["a.mp4", "b.mp4", "c.mp4"]}),
    "val": pd.DataFrame({"path": ["v.mp4"]}),
}
HEADER = "path,time,x1,y1,x2,y2,label,track\n"


def write(folder: Path, text: str) -> Path:
    (folder / "boxes.csv").write_text(HEADER + text)
    return folder


def test_the_boxes_of_a_video_in_the_order_of_their_times(tmp_path: Path) -> None:
    lines = "c.mp4,2.5,0.1,0.2,0.3,0.4,sit,anna\na.mp4,0,0,0,1,1,run,7\nv.mp4,1,0,0,0.5,0.5,jump,\n"
    lines += "./c.mp4,1,0.5,0.5,0.6,0.9,run,berta\nc.mp4,1,0.1,0.1,0.2,0.2, sit ,anna\n"
    boxes = boxes_of("boxes", TABLES, write(tmp_path, lines))
    train = boxes["train"]
    assert train.classes == boxes["val"].classes == ["jump", "run", "sit"]
    assert train.is_known.tolist() == [True, False, True]
    found = train.of(2)
    assert found.time_M.tolist() == [1.0, 1.0, 2.5]
    assert found.box_M4.tolist() == [[0.5, 0.5, 0.6, 0.9], [0.1, 0.1, 0.2, 0.2], [0.1, 0.2, 0.3, 0.4]]
    assert [train.classes[number] for number in found.class_M] == ["run", "sit", "sit"]
    assert found.track_M[1] == found.track_M[2] != found.track_M[0]
    assert len(train.of(1).time_M) == 0
    assert train.of(0).box_M4.tolist() == [[0.0, 0.0, 1.0, 1.0]]
    assert boxes["val"].of(0).track_M.tolist() == [NO_TRACK]
    assert [train.text(row) for row in range(3)] == ["1 x run", "", "3 x run, sit"]
    assert train.kind == "boxes"


def test_some_of_the_rows(tmp_path: Path) -> None:
    lines = "a.mp4,0,0,0,1,1,run,\nb.mp4,0,0,0,0.5,1,run,\nb.mp4,1,0,0,0.6,1,run,\nc.mp4,0,0,0,0.7,1,run,\n"
    train = boxes_of("boxes", TABLES, write(tmp_path, lines))["train"].with_rows(np.array([False, True, True]))
    assert [train.of(row).box_M4[:, 2].tolist() for row in range(2)] == [[0.5, 0.6], [0.7]]


def test_boxes_of_videos_that_no_split_lists_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    boxes = boxes_of("boxes", TABLES, write(tmp_path, "a.mp4,0,0,0,1,1,run,\nz.mp4,0,0,0,1,1,run,\n"))
    assert boxes["train"].is_known.tolist() == [True, False, False]
    assert caplog.messages == [f"{tmp_path}/boxes.csv: 1 of 2 boxes are of videos that no split lists"]


def test_the_track_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("path,time,x1,y1,x2,y2,label\na.mp4,0,0,0,1,1,run\n")
    assert boxes_of("boxes", TABLES, tmp_path)["train"].of(0).track_M.tolist() == [NO_TRACK]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.mp4,soon,0,0,1,1,run,", "line 3: 'soon' in column 'time' is not a number"),
        ("a.mp4,0,0,nan,1,1,run,", "line 3: 'nan' in column 'y1' is not a number"),
        ("a.mp4,-1,0,0,1,1,run,", "line 3: time is below 0"),
        ("a.mp4,0,0,0,320,240,run,", "line 3: a corner lies outside .0, 1.; corners are shares"),
        ("a.mp4,0,0.5,0,0.2,1,run,", "line 3: the box has no area; x1 must be less than x2"),
        ("a.mp4,0,0,0,1,1, ,", "line 3: nothing in column 'label'"),
        ("../a.mp4,0,0,0,1,1,run,", r"line 3: \.\./a\.mp4 is not inside dataset\.root"),
    ],
)
def test_what_cannot_be_a_box_names_its_line(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"boxes\.csv, {message}"):
        boxes_of("boxes", TABLES, write(tmp_path, f"b.mp4,0,0,0,1,1,run,\n{line}\n"))


def test_a_file_or_column_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"boxes\.csv is missing"):
        boxes_of("boxes", TABLES, tmp_path)
    (tmp_path / "boxes.csv").write_text("path,time,x1,y1,x2,label\na.mp4,0,0,0,1,run\n")
    with pytest.raises(InputError, match=r"boxes\.csv has no column 'y2'; boxes need path, time, x1"):
        boxes_of("boxes", TABLES, tmp_path)
