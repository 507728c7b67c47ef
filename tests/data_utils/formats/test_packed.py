from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from data_utils.formats import jpeg, packed
from data_utils.formats.packed import PackedReader
from data_utils.formats.part import read_part_file
from data_utils.video_files.decoding import VideoError
from tests.data_utils.formats.stored_videos import VIDEOS, parts_of, pictures, store

NumberOf = Callable[[NDArray[np.uint8]], int]
SIZE = (32, 48)


def natural_picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """A picture like a photograph: large shapes more than small ones, light more than colour."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]) + 1 / width
    noise = np.fft.fft2(np.random.default_rng(seed).normal(size=(4, height, width))) / frequency**1.5
    waves = np.fft.ifft2(noise).real.transpose(1, 2, 0)
    waves = waves[..., :1] + waves[..., 1:] / 4
    return np.array(np.clip(128 + 50 * waves / waves.std(), 0, 255), np.uint8)


@pytest.mark.parametrize(("size", "decibels"), [((60, 80), 33), ((224, 299), 34)])
def test_jpeg_keeps_colour_pictures(size: tuple[int, int], decibels: float) -> None:
    picture = natural_picture(*size)
    data = jpeg.encode(picture)
    assert jpeg.encode(picture) == data
    error = np.mean((jpeg.decode(data, size, size) - picture.astype(float)) ** 2)
    assert 10 * np.log10(255**2 / error) > decibels


def test_what_is_no_jpeg_is_an_error() -> None:
    data = jpeg.encode(natural_picture(24, 32))
    with pytest.raises(VideoError, match="no JPEG"):
        jpeg.decode(b"", (24, 32), (24, 32))
    with pytest.raises(VideoError, match="no JPEG"):
        jpeg.decode(b"GIF89a" + data, (24, 32), (24, 32))
    with pytest.raises(VideoError, match="another size"):
        jpeg.decode(data, (32, 24), (24, 32))
    with pytest.raises(VideoError, match="more than JPEG can hold; set --size"):
        jpeg.encode(np.zeros((1, 65_536, 3), np.uint8))


def test_the_layout_is_as_described(tmp_path: Path) -> None:
    store("packed", tmp_path)
    with h5py.File(tmp_path / "shards/00000.h5") as shard:
        frames, first = shard["frames"][()], shard["first_frame"][()]
        assert shard["path"].asstr()[()].tolist() == list(VIDEOS)
        assert list(zip(frames, shard["height"][()], shard["width"][()], strict=True)) == list(VIDEOS.values())
        assert shard["fps"][()].tolist() == [25.0] * 4
        assert first.tolist() == [0, 9, 16, 21]
        begin, end = shard["offsets"][[first[1] + 3, first[1] + 4]]
        assert shard["jpeg"][begin:end].tobytes() == jpeg.encode(pictures(1, *VIDEOS["tall/b.mp4"])[3])
        assert len(shard["crc32"]) == frames.sum() == len(shard["offsets"]) - 1


def test_no_flipped_bit_gives_other_frames(tmp_path: Path) -> None:
    videos = {"a.mp4": (3, 16, 24), "b.mp4": (2, 16, 24)}
    places = store("packed", tmp_path, videos)
    file = tmp_path / "shards/00000.h5"
    whole = file.read_bytes()

    def read() -> list[NDArray[np.uint8]]:
        reader = PackedReader()
        counts = [count for count, *_ in videos.values()]
        return [
            reader.read(tmp_path / place, np.arange(count), (16, 24))
            for place, count in zip(places, counts, strict=True)
        ]

    expected = read()
    errors = 0
    for position in range(0, len(whole), 41):
        data = bytearray(whole)
        data[position] ^= 1 << position % 8
        file.write_bytes(data)
        try:
            found = read()
        except VideoError as error:
            errors += str(error).startswith("damaged")
        else:
            assert all(np.array_equal(frames, other) for frames, other in zip(found, expected, strict=True))
    assert errors > 20


def test_no_cut_off_shard_gives_frames(tmp_path: Path) -> None:
    (place,) = store("packed", tmp_path, {"a.mp4": (3, 16, 24)})
    file = tmp_path / "shards/00000.h5"
    whole = file.read_bytes()
    open_reader = PackedReader()
    open_reader.read(tmp_path / place, np.arange(3), SIZE)
    for length in [*range(0, len(whole), 501), len(whole) - 1]:
        with file.open("r+b") as half:
            half.truncate(length)
        with pytest.raises(VideoError, match=r"damaged shard: 00000\.h5"):
            PackedReader().read(tmp_path / place, np.arange(3), SIZE)
        file.write_bytes(whole)
    with file.open("r+b") as half:
        half.truncate(len(whole) // 2)
    with pytest.raises(VideoError, match=r"damaged shard: 00000\.h5 ends too early"):
        open_reader.read(tmp_path / place, np.arange(3), SIZE)


def test_what_is_no_shard(tmp_path: Path) -> None:
    place = store("hdf5", tmp_path)[0]
    with pytest.raises(VideoError, match=r"damaged shard: 00000\.h5 does not hold frames as JPEG"):
        PackedReader().read(tmp_path / place, np.array([0]), SIZE)
    store("packed", tmp_path, number=1)
    with pytest.raises(VideoError, match="damaged shard: it holds 4 videos, number 4 is wanted"):
        PackedReader().read(tmp_path / "shards/00001.h5#4", np.array([0]), SIZE)
    for place in ("shards/00001.h5", "shards/00001.h5#", "shards/00001.h5#-1", "shards/00001.h5#x"):
        with pytest.raises(VideoError, match=r"is not a shard and number such as 00003\.h5#17|no such file"):
            PackedReader().read(tmp_path / place, np.array([0]), SIZE)
    (tmp_path / "shards/00002.h5").mkdir()
    with pytest.raises(VideoError, match="shard"):
        PackedReader().read(tmp_path / "shards/00002.h5#0", np.array([0]), SIZE)
    with h5py.File(tmp_path / "shards/00001.h5", "r+") as shard:
        shard.attrs["version"] = 2
    with pytest.raises(VideoError, match=r"another version of prepare\.py; prepare the dataset again"):
        PackedReader().read(tmp_path / "shards/00001.h5#0", np.array([0]), SIZE)


def test_only_a_few_shards_stay_open(tmp_path: Path, number_of: NumberOf) -> None:
    for number in range(6):
        store("packed", tmp_path, {"a.mp4": (2, *SIZE)}, number)

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    reader = PackedReader(open_shards=2)
    for _ in range(3):
        for number in (0, 1, 2, 3, 4, 5, 0):
            frames = reader.read(tmp_path / f"shards/{number:05d}.h5#0", np.arange(2), SIZE)
            assert [number_of(frame) for frame in frames] == [0, 1]
            assert descriptors() <= before + 2
    assert descriptors() == before + 2
    del reader
    assert descriptors() == before


def test_a_part_that_was_not_written_to_its_end_is_no_part(tmp_path: Path) -> None:
    (_, part), *_ = parts_of("packed", tmp_path)
    whole = part.read_bytes()
    assert len(read_part_file(part).lengths) == 9
    for data in (b"", whole[:50], whole[:-1], whole[1:], whole + b"x", whole[:-60] + b"x" + whole[-59:]):
        part.write_bytes(data)
        with pytest.raises(OSError, match="is not part of a preparation, or damaged; remove it"):
            read_part_file(part)
        with pytest.raises(OSError, match="is not part"):
            packed.finish([("a.mp4", part)], tmp_path, 0)
    assert not list((tmp_path / "shards").iterdir())
