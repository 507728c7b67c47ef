from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from data_utils.formats import frames
from data_utils.formats.frames import FramesReader, folder_name
from data_utils.video_files.decoding import VideoError
from tests.data_utils.formats.stored_videos import pictures, store

NumberOf = Callable[[NDArray[np.uint8]], int]
SIZE = (32, 48)


def stored(tmp_path: Path, count: int = 4) -> Path:
    """The folder of a video."""
    (place,) = store("frames", tmp_path, {"class/a video.mp4": (count, *SIZE)})
    return tmp_path / place


def read(folder: Path, *indices: int) -> NDArray[np.uint8]:
    return FramesReader().read(folder, np.array(indices), SIZE)


def test_any_program_can_read_it(tmp_path: Path, number_of: NumberOf) -> None:
    folder = stored(tmp_path)
    assert folder.parent == tmp_path / "frames/class"
    assert folder.name.startswith("a_video-")
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == ["000000.jpg", "000001.jpg", "000002.jpg", "000003.jpg"]
    assert [number_of(cv2.imread(str(file))) for file in files] == [0, 1, 2, 3]  # type: ignore[arg-type]


def test_names_depend_on_the_path_alone_and_stay_readable() -> None:
    assert folder_name("class/video.mp4") == folder_name("class/video.mp4")
    assert folder_name("class/video.mp4").startswith("class/video-")
    assert folder_name("../a/./b.mp4").startswith("a/b-")
    assert "/" not in folder_name("../..")
    assert all(len(part) < 100 for part in folder_name("x" * 300 + "/" + "y" * 300).split("/"))


def test_a_lost_frame_is_named(tmp_path: Path, number_of: NumberOf) -> None:
    folder = stored(tmp_path)
    (folder / "000002.jpg").unlink()
    assert [number_of(frame) for frame in read(folder, 3, 1)] == [3, 1]
    with pytest.raises(VideoError, match=r"damaged: 000002\.jpg is missing"):
        read(folder, 1, 2)
    with pytest.raises(VideoError, match=r"damaged: 000002\.jpg is missing"):
        frames.check(tmp_path, str(folder.relative_to(tmp_path)))
    with pytest.raises(VideoError, match="ends after 4 frames, frame 5 was asked for"):
        read(folder, 4)


def test_a_frame_that_is_not_what_was_written_is_named(tmp_path: Path) -> None:
    folder = stored(tmp_path)
    whole = (folder / "000002.jpg").read_bytes()
    damages = {
        "ends too early": whole[:20],
        "does not fit its check sum": whole[:-5],
        "was not written by prepare.py": cv2.imencode(".jpg", pictures(0, 1, *SIZE)[0])[1].tobytes(),
    }
    for reason, data in damages.items():
        (folder / "000002.jpg").write_bytes(data)
        with pytest.raises(VideoError, match=f"damaged: 000002.jpg {reason}"):
            read(folder, 2)
    (folder / "000002.jpg").write_bytes((folder / "000001.jpg").read_bytes())
    with pytest.raises(VideoError, match=r"damaged: 000002\.jpg does not fit"):
        read(folder, 2)


def test_no_flipped_bit_gives_another_frame(tmp_path: Path) -> None:
    folder = stored(tmp_path)
    file = folder / "000001.jpg"
    whole, expected = file.read_bytes(), read(folder, 1)
    errors = 0
    for position in range(0, len(whole), 3):
        data = bytearray(whole)
        data[position] ^= 1 << position % 8
        file.write_bytes(data)
        try:
            assert np.array_equal(read(folder, 1), expected)
        except VideoError as error:
            errors += str(error).startswith("damaged: 000001.jpg")
    assert errors > 100


def test_folders_that_hold_no_video(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(VideoError, match="no frames in its folder"):
        read(tmp_path / "empty", 0)
    with pytest.raises(VideoError, match="not a directory"):
        read(tmp_path / "file", 0)
    (tmp_path / "empty/000000.jpg").mkdir()
    with pytest.raises(VideoError, match=r"000000\.jpg: is a directory"):
        read(tmp_path / "empty", 0)
