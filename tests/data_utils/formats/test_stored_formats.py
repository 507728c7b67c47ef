"""What packed, frames and hdf5 have in common."""

from __future__ import annotations

import multiprocessing
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data_utils.video_files.decoding import VideoError
from tests.data_utils.formats.stored_videos import (
    FORMATS,
    VIDEOS,
    files_below,
    parts_of,
    pictures,
    reader_of,
    store,
)
from tests.full_disk import files_limited_to

NumberOf = Callable[[NDArray[np.uint8]], int]
SIZE = (32, 48)
pytestmark = pytest.mark.parametrize("format", FORMATS)


def numbers(format: str, place: Path | str, count: int, number_of: NumberOf) -> list[int]:
    """What all frames of a stored video show."""
    return [number_of(frame) for frame in reader_of(format).read(place, np.arange(count), SIZE)]


def test_gives_the_frames_that_were_written(format: str, tmp_path: Path, number_of: NumberOf) -> None:
    places = store(format, tmp_path)
    assert len(set(places)) == len(VIDEOS)
    reader = reader_of(format)
    for video, (place, shape) in enumerate(zip(places, VIDEOS.values(), strict=True)):
        indices = np.array([shape[0] - 1, 0, 0, *range(shape[0])])
        frames = reader.read(tmp_path / place, indices, shape[1:])
        assert frames.shape == (len(indices), *shape[1:], 3)
        assert frames.dtype == np.uint8
        assert [number_of(frame) for frame in frames] == (100 * video + indices).tolist()
        written = np.stack(pictures(video, *shape))[indices]
        assert np.abs(frames - written.astype(int)).mean() < (1 if format == "hdf5" else 8)
        assert FORMATS[format].check(tmp_path, place) == shape[0]
    assert [name for name in files_below(tmp_path) if not name.startswith(("shards/", "frames/"))] == []


def test_scales_to_cover_and_cuts_the_centre(format: str, tmp_path: Path) -> None:
    thirds = np.zeros((20, 60, 3), np.uint8)
    thirds[:, :20], thirds[:, 20:40], thirds[:, 40:] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    part = tmp_path / "part"
    FORMATS[format].write_part(part, [thirds], 1.0)
    (place,) = FORMATS[format].finish([("thirds.mp4", part)], tmp_path, 0)
    for size in ((40, 40), (20, 20), (10, 10)):
        (middle,) = reader_of(format).read(tmp_path / place, np.array([0]), size)
        assert middle.shape == (*size, 3)
        assert np.abs(middle[:, 2:-2].astype(int) - (0, 250, 0)).max() < 25
    (whole,) = reader_of(format).read(tmp_path / place, np.array([0]), (10, 30))
    assert whole[5, [4, 15, 25]].argmax(axis=1).tolist() == [0, 1, 2]


def test_grey_stays_grey(format: str, tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (40, 50, 1), np.uint8).repeat(3, axis=2)
    FORMATS[format].write_part(tmp_path / "part", [grey], 1.0)
    (place,) = FORMATS[format].finish([("grey.mp4", tmp_path / "part")], tmp_path, 0)
    (read,) = reader_of(format).read(tmp_path / place, np.array([0]), (40, 50))
    assert np.array_equal(read[..., 0], read[..., 1])
    assert np.array_equal(read[..., 0], read[..., 2])


def test_frames_that_are_not_there(format: str, tmp_path: Path) -> None:
    place = tmp_path / store(format, tmp_path)[2]
    with pytest.raises(VideoError, match="ends after 5 frames, frame 6 was asked for"):
        reader_of(format).read(place, np.array([2, 5]), SIZE)
    with pytest.raises(ValueError, match="frame -1"):
        reader_of(format).read(place, np.array([3, -1]), SIZE)


def test_what_is_not_there(format: str, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no such file"):
        reader_of(format).read(tmp_path / "shards/00007.h5#0", np.array([0]), SIZE)
    with pytest.raises(VideoError, match="no such file"):
        FORMATS[format].check(tmp_path, "shards/00007.h5#0")


def test_damaged_bytes_are_an_error_and_the_other_frames_are_not(
    format: str, tmp_path: Path, number_of: NumberOf
) -> None:
    place = store(format, tmp_path)[1]
    name = "000003.jpg" if format == "frames" else "frame 3"
    file = tmp_path / place / name if format == "frames" else tmp_path / place.partition("#")[0]
    reader = reader_of(format)
    (shown,) = reader.read(tmp_path / place, np.array([3]), (60, 40))
    data = bytearray(file.read_bytes())
    wanted = pictures(1, *VIDEOS["tall/b.mp4"])[3]
    data[_middle_of(format, bytes(data), wanted)] ^= 16
    file.write_bytes(data)
    with pytest.raises(VideoError, match=f"damaged: {name} does not fit its check sum"):
        reader.read(tmp_path / place, np.array([2, 3]), SIZE)
    with pytest.raises(VideoError, match=name):
        FORMATS[format].check(tmp_path, place)
    assert number_of(shown) == 103
    assert [number_of(frame) for frame in reader.read(tmp_path / place, np.array([2, 4]), (60, 40))] == [102, 104]


def _middle_of(format: str, data: bytes, frame: NDArray[np.uint8]) -> int:
    """A position in the middle of a frame's bytes."""
    from data_utils.formats.jpeg import encode

    coded = frame.tobytes() if format == "hdf5" else encode(frame)[2:]
    assert data.count(coded) == 1
    return data.index(coded) + len(coded) // 2


def test_reads_in_other_processes(format: str, tmp_path: Path, number_of: NumberOf) -> None:
    place = tmp_path / store(format, tmp_path)[0]
    reader = reader_of(format)
    expected = reader.read(place, np.arange(9), SIZE)
    assert np.array_equal(pickle.loads(pickle.dumps(reader)).read(place, np.arange(9), SIZE), expected)
    # Forked, the child has the open files of its parent; both read at the same time.
    with multiprocessing.get_context("fork").Pool(2) as pool:
        answers = [pool.apply_async(reader.read, (place, np.array([i]), SIZE)) for i in range(9)]
        assert np.array_equal(reader.read(place, np.arange(9), SIZE), expected)
        assert np.array_equal(np.concatenate([answer.get(60) for answer in answers]), expected)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(reader.read(place, np.arange(9), SIZE)))  # inherits `reader`
    child.start()
    assert np.array_equal(receiver.recv(), expected)
    child.join()
    assert child.exitcode == 0


NAMES = [
    'a b/it\'s "quoted".mp4',
    "täst/видео 視頻.webm",
    "../outside.mp4",
    "/absolute.mp4",
    "x/../../y.mp4",
    "..",
    "same.mp4",
    "same.avi",
    "Same.mp4",
    "same",
    "a/" * 200 + "deep.mp4",
    "l" * 250 + ".mp4",
    "l" * 250 + ".avi",
    "#1",
    "new\nline.mp4",
]


def test_any_name_is_safe_and_unique(format: str, tmp_path: Path, number_of: NumberOf) -> None:
    out = tmp_path / "out"
    places = store(format, out, dict.fromkeys(NAMES, (2, 32, 48)))
    assert len({place.lower() for place in places}) == len(NAMES)
    for number, place in enumerate(places):
        assert re.fullmatch(r"[A-Za-z0-9#._/-]+", place)
        assert ".." not in place.split("/")
        assert (out / place).resolve().is_relative_to(out)
        assert numbers(format, out / place, 2, number_of) == [100 * number, 100 * number + 1]
    assert list(tmp_path.iterdir()) == [out]


def test_the_same_videos_give_the_same_bytes(format: str, tmp_path: Path) -> None:
    store(format, tmp_path / "one")
    store(format, tmp_path / "two")
    assert files_below(tmp_path / "one") == files_below(tmp_path / "two")


def test_no_frames_or_frames_that_differ_leave_nothing(format: str, tmp_path: Path) -> None:
    def broken() -> Iterator[NDArray[np.uint8]]:
        yield from pictures(0, 3, *SIZE)
        raise VideoError("damaged")

    def growing() -> Iterator[NDArray[np.uint8]]:
        yield from pictures(0, 3, *SIZE)
        yield from pictures(0, 1, 34, 48)

    write = FORMATS[format].write_part
    with pytest.raises(VideoError, match="no frames"):
        write(tmp_path / "part", [], 25.0)
    with pytest.raises(VideoError, match="damaged"):
        write(tmp_path / "part", broken(), 25.0)
    with pytest.raises(ValueError, match=r"\(34, 48, 3\) among frames of \(32, 48, 3\)"):
        write(tmp_path / "part", growing(), 25.0)
    with pytest.raises(ValueError, match="no RGB frame"):
        write(tmp_path / "part", [np.zeros((8, 8), np.uint8)], 25.0)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_half_video(format: str, tmp_path: Path, number_of: NumberOf) -> None:
    with files_limited_to(600), pytest.raises(OSError, match="File too large"):
        FORMATS[format].write_part(tmp_path / "part", pictures(0, 9, *SIZE), 25.0)
    assert list(tmp_path.iterdir()) == []
    parts = parts_of(format, tmp_path, {"long.mp4": (60, 64, 96)})
    before = files_below(tmp_path)
    for limit in (5_000, 50_000, 100_000):
        if format != "frames":  # where finishing writes nothing
            with files_limited_to(limit), pytest.raises(OSError, match="File too large"):
                FORMATS[format].finish(parts, tmp_path, 0)
            assert files_below(tmp_path) == before
    places = FORMATS[format].finish(parts, tmp_path, 0)
    assert numbers(format, tmp_path / places[0], 60, number_of) == list(range(60))


@pytest.mark.parametrize("step", range(6))
def test_finishing_goes_on_where_it_was_interrupted(
    step: int, format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number_of: NumberOf
) -> None:
    parts = parts_of(format, tmp_path)
    moves = iter(range(100))

    def interrupted(method: Callable[..., object]) -> Callable[..., object]:
        def call(self: Path, *arguments: object, **options: object) -> object:
            if not self.name.startswith(".") and next(moves) == step:
                raise KeyboardInterrupt
            return method(self, *arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("unlink", "rename", "mkdir"):
            patch.setattr(Path, name, interrupted(getattr(Path, name)))
        try:
            FORMATS[format].finish(parts, tmp_path, 4)
        except KeyboardInterrupt:
            assert next(moves) == step + 1
    places = FORMATS[format].finish(parts, tmp_path, 4)
    assert FORMATS[format].finish(parts, tmp_path, 4) == places
    for video, (place, shape) in enumerate(zip(places, VIDEOS.values(), strict=True)):
        assert FORMATS[format].check(tmp_path, place) == shape[0]
        (frame,) = reader_of(format).read(tmp_path / place, np.array([0]), shape[1:])
        assert number_of(frame) == 100 * video
    assert not any(part.exists() for _, part in parts)


def test_a_part_that_is_lost_is_an_error(format: str, tmp_path: Path) -> None:
    parts = parts_of(format, tmp_path)
    FORMATS[format].finish(parts[:2], tmp_path, 0)
    with pytest.raises(FileNotFoundError, match=r"9\.part is missing"):
        FORMATS[format].finish([("z.mp4", tmp_path / "9.part"), *parts[2:]], tmp_path, 0)
    assert all(part.exists() for _, part in parts[2:])


def test_an_earlier_preparation_is_replaced(format: str, tmp_path: Path, number_of: NumberOf) -> None:
    store(format, tmp_path, {"a.mp4": (3, 32, 48), "b.mp4": (12, 32, 48)})
    store(format, tmp_path, {"c.mp4": (3, 32, 48), "b.mp4": (4, 32, 48)})
    places = store(format, tmp_path, {"c.mp4": (2, 32, 48), "b.mp4": (4, 32, 48)})
    assert [FORMATS[format].check(tmp_path, place) for place in places] == [2, 4]
    assert numbers(format, tmp_path / places[1], 4, number_of) == [100, 101, 102, 103]


def test_no_videos_are_no_shard(format: str, tmp_path: Path) -> None:
    assert FORMATS[format].finish([], tmp_path, 0) == []
    assert list(tmp_path.iterdir()) == []
