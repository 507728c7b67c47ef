from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import InputError
from data_utils.catalog.bad_videos import BadVideos, forget


def test_a_video_counts_once_also_after_the_list_is_opened_again(tmp_path: Path) -> None:
    file = tmp_path / "bad_videos.csv"
    bad = BadVideos(file, 100, 0.02, dataset="videos")
    assert file.read_text() == "split,path,reason,dataset\n"
    assert bad.add([("train", 'a, "b" ü.mp4', "damaged"), ("train", 'a, "b" ü.mp4', "again")]) == 1
    assert bad.add([("train", 'a, "b" ü.mp4', "again")]) == 0
    again = BadVideos(file, 100, 0.02, dataset="videos")
    assert len(again) == 1
    assert again.add([("train", 'a, "b" ü.mp4', "again"), ("val", "c.mp4", "empty file")]) == 1
    assert file.read_text() == (
        'split,path,reason,dataset\ntrain,"a, ""b"" ü.mp4",damaged,videos\nval,c.mp4,empty file,videos\n'
    )


def test_too_many_end_the_run_after_they_are_listed(tmp_path: Path) -> None:
    file = tmp_path / "bad_videos.csv"
    bad = BadVideos(file, 100, 0.02, dataset="videos")
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
    with pytest.raises(InputError, match="is not a list of bad videos"):
        BadVideos(other, 1, 1, dataset="videos")
    with pytest.raises(InputError, match="cannot be written"):
        BadVideos(tmp_path / "no" / "folder.csv", 1, 1, dataset="videos")


def test_what_is_left_out_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = BadVideos(tmp_path / "bad.csv", total=10, max_share=1, dataset="videos")
    bad.add([("train", "a.mp4", "empty file"), ("val", "b.mp4", "empty file")])
    bad.add([("train", "a.mp4", "empty file")])
    bad.add([("train", "c.mp4", "damaged")])
    first, second = caplog.messages
    assert first.startswith("cannot be read and left out: 2 videos, the first: a.mp4 (empty file); see ")
    assert second.startswith("cannot be read and left out: 1 video: c.mp4 (damaged); see ")


def test_several_datasets_share_a_list_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    own, other = (BadVideos(file, 4, 0.5, dataset) for dataset in ("own", "other"))
    own.add([("train", "a.mp4", "damaged"), ("train", "b.mp4", "damaged")])
    assert other.add([("train", "a.mp4", "empty file")]) == 1
    assert (len(own), len(other)) == (2, 1)
    assert len(BadVideos(file, 4, 0.5, "own")) == 2
    forget(file, "own")
    assert file.read_text() == "split,path,reason,dataset\ntrain,a.mp4,empty file,other\n"
    assert (len(BadVideos(file, 4, 0.5, "own")), len(BadVideos(file, 4, 0.5, "other"))) == (0, 1)
    forget(file, "other")
    assert not file.exists()
    forget(file, "other")


def test_a_list_of_an_earlier_version_is_written_anew(tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("split,path,reason\ntrain,a.mp4,damaged\n")
    forget(file, "own")
    BadVideos(file, 4, 0.5, "own").add([("val", "b.mp4", "damaged")])
    assert file.read_text() == "split,path,reason,dataset\nval,b.mp4,damaged,own\n"
