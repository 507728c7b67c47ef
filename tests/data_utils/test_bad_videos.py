from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import InputError
from data_utils.bad_videos import BadVideos


def test_a_video_counts_once_also_after_the_list_is_opened_again(tmp_path: Path) -> None:
    file = tmp_path / "bad_videos.csv"
    bad = BadVideos(file, 100, 0.02)
    assert file.read_text() == "split,path,reason\n"
    assert bad.add([("train", 'a, "b" ü.mp4', "damaged"), ("train", 'a, "b" ü.mp4', "again")]) == 1
    assert bad.add([("train", 'a, "b" ü.mp4', "again")]) == 0
    again = BadVideos(file, 100, 0.02)
    assert len(again) == 1
    assert again.add([("train", 'a, "b" ü.mp4', "again"), ("val", "c.mp4", "empty file")]) == 1
    assert file.read_text() == 'split,path,reason\ntrain,"a, ""b"" ü.mp4",damaged\nval,c.mp4,empty file\n'


def test_too_many_end_the_run_after_they_are_listed(tmp_path: Path) -> None:
    file = tmp_path / "bad_videos.csv"
    bad = BadVideos(file, 100, 0.02)
    with pytest.raises(InputError) as error:
        bad.add([("train", "a", "empty file"), ("train", "b", "damaged"), ("test", "c", "damaged")])
    message = str(error.value)
    assert message.startswith(
        "3 of 100 videos cannot be read, more than max_bad_videos=0.02 allows; 2 of them: damaged"
    )
    assert str(file) in message
    assert "\n" not in message
    assert len(file.read_text().splitlines()) == 4


def test_files_that_are_no_list_or_cannot_be_written(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="is no list of bad videos"):
        BadVideos(other, 1, 1)
    with pytest.raises(InputError, match="cannot be written"):
        BadVideos(tmp_path / "no" / "folder.csv", 1, 1)


def test_what_is_left_out_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = BadVideos(tmp_path / "bad.csv", total=10, max_share=1)
    bad.add([("train", "a.mp4", "empty file"), ("val", "b.mp4", "empty file")])
    bad.add([("train", "a.mp4", "empty file")])
    bad.add([("train", "c.mp4", "damaged")])
    first, second = caplog.messages
    assert first.startswith("cannot be read and left out: 2 videos, the first: a.mp4 (empty file); see ")
    assert second.startswith("cannot be read and left out: 1 video: c.mp4 (damaged); see ")
