from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from data_utils.formats.hdf5 import HDF5Reader
from data_utils.video_files.cover import cover
from data_utils.video_files.decoding import VideoError
from tests.data_utils.formats.stored_videos import VIDEOS, pictures, store


def test_any_hdf5_program_can_read_it(tmp_path: Path) -> None:
    store("hdf5", tmp_path)
    with h5py.File(tmp_path / "shards/00000.h5") as shard:
        assert shard["path"].asstr()[()].tolist() == list(VIDEOS)
        for number, shape in enumerate(VIDEOS.values()):
            video = shard[f"videos/{number}"]
            assert video.dtype == np.uint8
            assert video.chunks is None
            assert np.array_equal(video[()], np.stack(pictures(number, *shape)))


def test_frames_are_exactly_those_that_were_written(tmp_path: Path) -> None:
    place = tmp_path / store("hdf5", tmp_path)[2]
    written = pictures(2, *VIDEOS["odd/c.mp4"])
    indices = np.array([4, 0, 3])
    assert np.array_equal(HDF5Reader().read(place, indices, (37, 51)), [written[i] for i in indices])
    for size in ((20, 31), (50, 40)):
        assert np.array_equal(HDF5Reader().read(place, indices, size), [cover(written[i], size) for i in indices])


def test_no_flipped_bit_gives_other_frames(tmp_path: Path) -> None:
    (place,) = store("hdf5", tmp_path, {"a.mp4": (2, 8, 12)})
    file = tmp_path / "shards/00000.h5"
    whole = file.read_bytes()
    expected = HDF5Reader().read(tmp_path / place, np.arange(2), (8, 12))
    errors = 0
    for position in range(0, len(whole), 41):
        data = bytearray(whole)
        data[position] ^= 1 << position % 8
        file.write_bytes(data)
        try:
            frames = HDF5Reader().read(tmp_path / place, np.arange(2), (8, 12))
        except VideoError as error:
            errors += str(error).startswith("damaged")
        else:
            assert np.array_equal(frames, expected)
    assert errors > 20


def test_a_cut_off_shard_is_damaged(tmp_path: Path) -> None:
    place = store("hdf5", tmp_path)[0]
    with (tmp_path / "shards/00000.h5").open("r+b") as file:
        file.truncate(50_000)
    with pytest.raises(VideoError, match=r"damaged shard: 00000\.h5 is cut off"):
        HDF5Reader().read(tmp_path / place, np.array([0]), (16, 16))
