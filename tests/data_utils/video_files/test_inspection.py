from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from data_utils.video_files.decoding import VideoError
from data_utils.video_files.inspection import VideoFacts, inspect_video

REAL_CLIPS = {
    "decord/flipping_a_pancake.mkv": (310, 240, 426),
    "decord/unordered.mov": (4, 50, 50),
    "decord/video_0.mov": (3, 320, 568),
    "decord/video_90.mov": (3, 568, 320),
    "decord/video_180.mov": (3, 320, 568),
    "decord/video_270.mov": (3, 568, 320),
    "moviepy/no_duration.webm": (74, 720, 1280),
    "moviepy/bitmap.mp4": (5, 1, 1),
    "moviepy/transparent.webm": (150, 200, 200),
    "moviepy/pigs_in_a_polka.gif": (30, 273, 314),
    "moviepy/video_with_failing_audio.mp4": (280, 360, 640),
    "torchcodec/av1_video.mkv": (125, 360, 640),
    "torchcodec/h264_10bits.mp4": (30, 200, 200),
    "torchcodec/h265_10bits.mp4": (30, 200, 200),
    "torchcodec/h265_video.mp4": (10, 128, 128),
    "torchcodec/nasa_13013.mp4": (390, 270, 480),
    "mmaction2/test.avi": (164, 240, 320),
}


@pytest.mark.parametrize("name", REAL_CLIPS)
def test_real_clips_are_good(name: str, real_files: Path) -> None:
    facts = inspect_video(real_files / "real_clips" / name)
    assert (facts.frames, facts.height, facts.width) == REAL_CLIPS[name]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("decord/corrupted.mp4", "damaged: 28 of 50 frames decode"), ("moviepy/zero_bytes_result.webm", "empty file")],
)
def test_real_clips_that_are_bad(name: str, reason: str, real_files: Path) -> None:
    with pytest.raises(VideoError, match=reason):
        inspect_video(real_files / "real_clips" / name)


def test_facts(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    assert inspect_video(write_video(tmp_path / "a.mp4", 20, rate=12)) == VideoFacts(20, 32, 48, 12.0)


TRUNCATED = {
    "a.mp4": ("libx264", {"movflags": "faststart"}, r"damaged: \d+ of 60 frames decode"),
    "a.mkv": ("libx264", {}, r"damaged: ends after [\d.]+ of 2\.4 seconds"),
    "a.webm": ("libvpx-vp9", {}, r"damaged: ends after [\d.]+ of 2\.4 seconds"),
    "a.avi": ("mpeg4", {}, r"damaged: \d+ of 60 frames decode"),
    "index_lost.mp4": ("libx264", {}, "damaged or not a video: Invalid data"),
}


@pytest.mark.parametrize("name", TRUNCATED)
def test_truncated_files_are_found(name: str, tmp_path: Path, write_video: Callable[..., Path]) -> None:
    codec, container_options, reason = TRUNCATED[name]
    options = {"cpu-used": "8", "deadline": "realtime"} if "vp9" in codec else {}
    path = write_video(tmp_path / name, 60, codec=codec, options=options, container_options=container_options)
    assert inspect_video(path).frames == 60
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.8)])
    with pytest.raises(VideoError, match=reason):
        inspect_video(path)


def decoders_view(path: Path) -> tuple[bool, bool]:
    """Whether decoding raises, and whether a frame is marked as damaged."""
    marked = False
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                marked |= frame.is_corrupt
    except av.FFmpegError:
        return True, marked
    return False, marked


def test_flipped_bits_that_the_decoder_notices_are_found(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    path = write_video(tmp_path / "a.mp4", 60)
    content = path.read_bytes()
    views = set()
    for seed in range(40):
        flipped = bytearray(content)
        generator = np.random.default_rng(seed)
        flipped[generator.integers(len(content) // 3, len(content) * 2 // 3)] ^= 1 << int(generator.integers(8))
        path.write_bytes(flipped)
        view = decoders_view(path)
        views.add(view)
        if any(view):
            with pytest.raises(VideoError, match=r"damaged: \d+ of 60 frames decode"):
                inspect_video(path)
    assert {(False, True), (True, False)} <= views


def test_files_that_are_no_videos(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video at all\n" * 100)
    with pytest.raises(VideoError, match="damaged or not a video"):
        inspect_video(text)
    with pytest.raises(VideoError, match="no such file or directory"):
        inspect_video(tmp_path / "missing.mp4")
    with pytest.raises(VideoError, match="a folder without pictures"):
        inspect_video(tmp_path)
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match="no video stream"):
        inspect_video(sound)


def test_a_wrong_extension_does_not_matter(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    wrong = tmp_path / "a.avi"
    shutil.move(write_video(tmp_path / "a.mkv", 8), wrong)
    assert inspect_video(wrong).frames == 8
