"""Whatever is wrong with a file, every decoder says so with a VideoError: no other error, no hang, no crash."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from data_utils.decoding import VideoError
from data_utils.formats.video import VideoReader
from data_utils.inspection import inspect_video

DECODERS = ("pyav", "torchcodec", "decord", "opencv", "auto")
SIZE = (32, 48)
Make = Callable[..., VideoReader]
Read = Callable[..., NDArray[np.uint8]]


def sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def make_bad_file(kind: str, folder: Path, write_video: Callable[..., Path]) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("no video at all\n" * 100)
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(20_000))
    elif kind == "picture":
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))
    elif kind == "folder":
        path.mkdir()
    elif kind == "sound":
        sound(path)
    elif kind != "missing":
        start = {"movflags": "faststart"} if kind == "cut_off" else {}
        content = write_video(path, 60, container_options=start).read_bytes()
        path.write_bytes(content[: len(content) * 2 // 3])
    return path


REASONS = {
    "empty": "^empty file$",
    "missing": "^no such file or directory$",
    "folder": "^is a directory$",
    "text": "^damaged or no video: |only in MP4",
    "noise": "^damaged or no video: |only in MP4|no video stream",
    "picture": "^damaged or no video: |only in MP4|^decord cannot read it: Check failed|^OpenCV decodes no frame",
    "sound": "^no video stream$|^damaged or no video: .*(no|find|valid).*stream",
    "index_lost": "^damaged or no video: ",
    "cut_off": r"^damaged|^ends after \d+ frames|counts \d+ frames|^decord cannot read it",
}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", REASONS)
def test_bad_files(
    kind: str, decoder: str, tmp_path: Path, write_video: Callable[..., Path], reader: Make, elsewhere: Read
) -> None:
    path = make_bad_file(kind, tmp_path, write_video)
    with pytest.raises(VideoError, match=REASONS[kind]) as caught:
        elsewhere(reader(decoder, path, 60), path, np.array([0, 30, 59]), SIZE)
    assert str(path) not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("decoder", DECODERS)
def test_files_without_the_right_to_read(
    decoder: str, tmp_path: Path, write_video: Callable[..., Path], reader: Make, bound_by_rights: None
) -> None:
    path = write_video(tmp_path / "a.mp4", 5)
    path.chmod(0)
    with pytest.raises(VideoError, match=r"^permission denied$"):
        reader(decoder, path, 5).read(path, np.array([0]), SIZE)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_wrong_extension_does_not_matter(
    decoder: str, tmp_path: Path, write_video: Callable[..., Path], reader: Make, elsewhere: Read
) -> None:
    path = write_video(tmp_path / "a.mp4", 8)
    expected = VideoReader().read(path, np.array([7]), SIZE)
    wrong = path.rename(tmp_path / "a.avi")
    assert np.abs(elsewhere(reader(decoder, wrong, 8), wrong, np.array([7]), SIZE).astype(int) - expected).mean() < 1


@pytest.mark.parametrize("decoder", DECODERS)
def test_videos_that_are_shorter_than_they_were(
    decoder: str, tmp_path: Path, write_video: Callable[..., Path], reader: Make, elsewhere: Read
) -> None:
    path = write_video(tmp_path / "a.mp4", 20)
    with pytest.raises(VideoError, match=r"ends after 20 frames, frame 25 was asked for|counts 20 frames, PyAV 30"):
        elsewhere(reader(decoder, path, 30), path, np.array([24]), SIZE)
    with pytest.raises(VideoError, match="ends after 20 frames, frame 25 was asked for"):
        elsewhere(reader(decoder, path), path, np.array([3, 24]), SIZE)


def reason_of(read: Callable[[], object]) -> str:
    """The message of the VideoError that `read` raises, empty without one."""
    try:
        read()
    except VideoError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("decoder", DECODERS)
def test_flipped_bits(
    decoder: str, tmp_path: Path, write_video: Callable[..., Path], reader: Make, elsewhere: Read
) -> None:
    """PyAV finds what verification finds; others may patch pictures up, so files are verified before they see them."""
    path = write_video(tmp_path / "a.mp4", 60)
    content = path.read_bytes()
    outcomes = []
    for seed in range(12):
        flipped = bytearray(content)
        generator = np.random.default_rng(seed)
        flipped[generator.integers(len(content) // 3, len(content) * 2 // 3)] ^= 1 << int(generator.integers(8))
        path.write_bytes(flipped)
        reading = reason_of(lambda: elsewhere(reader(decoder, path, 60), path, np.arange(60), SIZE))
        outcomes.append((reason_of(lambda: inspect_video(path)), reading))
    assert any(found and read for found, read in outcomes)
    assert not any(read and not found for found, read in outcomes)
    assert all(re.match(r"damaged|ends after \d+ frames|decord cannot", read) for _, read in outcomes if read)
    if decoder == "pyav":
        assert all(read for found, read in outcomes if found)


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_damaged_real_file(decoder: str, real_files: Path, reader: Make, elsewhere: Read) -> None:
    path = real_files / "real_clips/decord/corrupted.mp4"
    with pytest.raises(VideoError, match=r"damaged|ends after|does not decode"):
        elsewhere(reader(decoder, path, 50), path, np.array([5, 45]), SIZE)
    # What lies before the damage is good.
    expected = VideoReader().read(path, np.array([0, 9]), SIZE)
    assert np.abs(elsewhere(reader(decoder, path, 50), path, np.array([0, 9]), SIZE).astype(int) - expected).mean() < 3
