"""Whatever is wrong with a file, every decoder says so with a VideoError: no other error, no hang, no crash."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data_utils.formats.video import VideoReader
from data_utils.video_files.decoders.decord import DecordDecoder
from data_utils.video_files.decoders.protocol import Known
from data_utils.video_files.decoding import VideoError
from data_utils.video_files.inspection import inspect_video

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
    "folder": "^a folder without pictures$",
    "text": "^damaged or not a video: |only in MP4",
    "noise": "^damaged or not a video: |only in MP4|no video stream",
    "picture": "^damaged or not a video: |only in MP4|^decord cannot read it: Check failed|^OpenCV decodes no frame",
    "sound": "^no video stream$|^damaged or not a video: .*(no|find|valid).*stream",
    "index_lost": "^damaged or not a video: ",
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


def test_a_decoder_of_another_version_is_no_bad_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_video: Callable[..., Path]
) -> None:
    decord = pytest.importorskip("decord")
    monkeypatch.setattr(decord, "VideoReader", lambda path: None)  # knows none of the keywords
    with pytest.raises(TypeError, match="unexpected keyword"):
        DecordDecoder().frames(write_video(tmp_path / "a.mp4", 3), [0], SIZE, Known())


# ----------------------------------------------------------------------------------------- what only looks like a video

PLAYLISTS = {
    "ffconcat": "ffconcat version 1.0\nfile {0}\n",
    "with a zero byte": "ffconcat version 1.0\nfile {0}\n#\0",
    "concat": "# my list\nfile '{0}'\n",
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{0}\n#EXT-X-ENDLIST\n",
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "long": "ffconcat version 1.0\n" + "# é\n" * 2000 + "file {0}\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("extension", ["mp4", "ffconcat", "m3u8", "ts"])
def test_a_list_of_other_files_is_not_played(
    kind: str, extension: str, tmp_path: Path, write_video: Callable[..., Path]
) -> None:
    other = write_video(tmp_path / "other.mp4", 3)
    path = tmp_path / f"list.{extension}"
    path.write_text(PLAYLISTS[kind].format(other))
    with pytest.raises(VideoError, match=r"no video|not a video"):
        inspect_video(path)


def test_pictures_and_covers_are_no_videos(tmp_path: Path) -> None:
    Image.fromarray(np.full((32, 48, 3), 90, np.uint8)).save(tmp_path / "a.png")
    shutil.copy(tmp_path / "a.png", tmp_path / "picture.mp4")
    with pytest.raises(VideoError, match=r"no video|not a video"):
        inspect_video(tmp_path / "picture.mp4")
    with av.open(str(tmp_path / "song.mkv"), "w") as container:
        container.add_attachment("cover.png", "image/png", (tmp_path / "a.png").read_bytes())
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match=r"only a cover picture|no video stream"):
        inspect_video(tmp_path / "song.mkv")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoError, match="neither a file nor a folder"):
        inspect_video(tmp_path / "pipe.mp4")
