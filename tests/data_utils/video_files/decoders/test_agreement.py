"""Every decoder gives PyAV's frames of a file, or says that it cannot; the table REFUSED says which files those are."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data_utils.formats.video import VideoReader
from data_utils.video_files.decoding import VideoError
from data_utils.video_files.inspection import VideoFacts

Picture = NDArray[np.uint8]
Read = Callable[..., Picture]

OTHERS = ("torchcodec", "decord", "opencv")
MADE = {
    "H.264": "b_frames.mp4 open_gop.mkv refresh.mp4 10bit.mkv 444.mov odd.mp4 tiny.mp4 fragments.mp4 no_count.mkv "
    "h264.avi h264.ts",
    "other codecs": "hevc.mp4 hevc_10bit.mkv mpeg4.mp4 mpeg4.avi mpeg2.ts hidden.webm vp9.webm alpha.webm av1.mp4 "
    "av1.webm",
    "without prediction": "mjpeg.avi mjpeg.mov ffv1.avi odd.mkv raw.avi odd_raw.avi prores.mov animation.gif",
    "containers' ways": "rotated_90.mp4 rotated_180.mp4 rotated_270.mov variable_rate.mp4 variable_rate.mkv "
    "several_streams.mp4 several_streams.mkv edit_list.mp4",
}
FILES = [name for names in MADE.values() for name in names.split()]
REAL_FILES = {
    "decord": "flipping_a_pancake.mkv unordered.mov video_0.mov video_90.mov video_180.mov video_270.mov",
    "moviepy": "big_buck_bunny_432_433.webm bitmap.mp4 chaplin.mp4 dash_video-with-dash-.mp4 example.mp4 example2.mp4 "
    "example3.mp4 no_duration.webm pigs_in_a_polka.gif smpte-2997.mp4 transparent.webm video_with_failing_audio.mp4",
    "torchcodec": "av1_video.mkv bt709_full_range.mp4 h264_10bits.mp4 h265_10bits.mp4 h265_video.mp4 nasa_13013.mp4",
    "mmaction2": "S001C001P001R001A001_rgb.avi demo.mp4 demo_skeleton.mp4 demo_spatiotemporal_det.mp4 part_0.mp4 "
    "test.avi test.mp4 test_video_structuralize.mp4",
}
REAL = [f"{folder}/{name}" for folder, names in REAL_FILES.items() for name in names.split()]

NO_TIMES = "torchcodec numbers frames exactly only in MP4, MOV, Matroska, WebM and GIF"
NO_COUNT = "decord cannot read it: Failed to measure duration/frame-count due to broken metadata."
NO_AV1 = "decord cannot read it: cannot find video stream with wanted index: -1"
SECOND_IS_BEST = "OpenCV reads the first video stream only, and another one is the best"
# By extension or by name.
REFUSED = {
    ("torchcodec", ".avi"): NO_TIMES,
    ("torchcodec", ".ts"): NO_TIMES,
    ("decord", ".ts"): "decord repeats frames of MPEG-TS files",
    ("decord", ".gif"): NO_COUNT,
    ("decord", "no_count.mkv"): NO_COUNT,
    ("decord", "no_duration.webm"): NO_COUNT,
    ("decord", "av1.mp4"): NO_AV1,
    ("decord", "av1.webm"): NO_AV1,
    ("decord", "av1_video.mkv"): NO_AV1,
    ("decord", "several_streams.mp4"): "decord cannot be told which of 3 video streams to read",
    ("decord", "several_streams.mkv"): "decord cannot be told which of 3 video streams to read",
    ("decord", "nasa_13013.mp4"): "decord cannot be told which of 2 video streams to read",
    ("decord", "edit_list.mp4"): "decord counts 40 frames, PyAV 30",
    ("opencv", "av1.mp4"): "OpenCV decodes no frame",
    ("opencv", "av1.webm"): "OpenCV decodes no frame",
    ("opencv", "av1_video.mkv"): "OpenCV decodes no frame",
    ("opencv", "several_streams.mp4"): SECOND_IS_BEST,
    ("opencv", "several_streams.mkv"): SECOND_IS_BEST,
    ("opencv", "nasa_13013.mp4"): SECOND_IS_BEST,
}


def refusal(decoder: str, name: str) -> str | None:
    """The reason with which a decoder refuses a file: that of the file itself, or of its extension."""
    name = Path(name).name
    return REFUSED.get((decoder, name), REFUSED.get((decoder, Path(name).suffix)))


def differences(pictures: Picture, expected: Picture) -> NDArray[np.float64]:
    """Mean difference of each frame, in grey levels."""
    off: NDArray[np.float64] = np.abs(pictures.astype(int) - expected).mean(axis=(1, 2, 3))
    return off


@pytest.mark.parametrize("name", FILES)
def test_pyav_gives_the_frames_of_every_file(
    name: str, odd_file: Callable[[str], Path], facts_of: Callable[[Path], VideoFacts], number_of: Callable[..., int]
) -> None:
    path = odd_file(name)
    facts = facts_of(path)
    assert facts.frames == 30
    indices = np.array([29, 0, 7, 7, 13, 1])
    pictures = VideoReader().read(path, indices, (facts.height, facts.width))
    turns = {"rotated_90.mp4": 3, "rotated_180.mp4": 2, "rotated_270.mov": 1}.get(name, 0)
    first = 10 if name.startswith("edit_list") else 0
    assert [number_of(np.rot90(picture, turns)) for picture in pictures] == (indices + first).tolist()


@pytest.mark.parametrize("decoder", OTHERS)
@pytest.mark.parametrize("name", FILES)
def test_all_decoders_agree(
    decoder: str,
    name: str,
    odd_file: Callable[[str], Path],
    facts_of: Callable[[Path], VideoFacts],
    reader: Callable[..., VideoReader],
    elsewhere: Read,
) -> None:
    path = odd_file(name)
    assert_agreement(decoder, path, facts_of(path), reader(decoder, path, facts_of(path).frames), elsewhere)


@pytest.mark.parametrize("decoder", OTHERS)
@pytest.mark.parametrize("name", REAL)
def test_all_decoders_agree_on_real_files(
    decoder: str,
    name: str,
    real_files: Path,
    facts_of: Callable[[Path], VideoFacts],
    reader: Callable[..., VideoReader],
    elsewhere: Read,
) -> None:
    path = real_files / "real_clips" / name
    assert_agreement(decoder, path, facts_of(path), reader(decoder, path, facts_of(path).frames), elsewhere)


@lru_cache(maxsize=4)
def frames_by_pyav(path: Path, last: int, size: tuple[int, int]) -> dict[int, Picture]:
    """Frames `indices_of(last)` and those beside them, by number."""
    numbers = sorted(
        {min(max(number, 0), last) for index in indices_of(last) for number in range(index - 1, index + 2)}
    )
    return dict(zip(numbers, VideoReader().read(path, np.array(numbers), size), strict=True))


def indices_of(last: int) -> list[int]:
    return [min(index, last) for index in (last, 1, 0, 5, 5, last // 2, last // 2 + 1)]


def assert_agreement(decoder: str, path: Path, facts: VideoFacts, reader: VideoReader, elsewhere: Read) -> None:
    last = min(facts.frames - 1, 40)
    indices = indices_of(last)
    whole, part = (facts.height, facts.width), (max(1, facts.height // 2 + 3), max(1, facts.width // 3))
    reason = refusal(decoder, path.name)
    if reason is not None:
        with pytest.raises(VideoError) as caught:
            elsewhere(reader, path, np.array(indices), whole)
        assert str(caught.value) == reason
        return
    for size in (whole, part):
        pictures = elsewhere(reader, path, np.array(indices), size)
        assert pictures.shape == (7, *size, 3)
        assert pictures.dtype == np.uint8
        known = frames_by_pyav(path, last, size)
        off = differences(pictures, np.stack([known[index] for index in indices]))
        # Sharp colour edges of 10 bit differ from one version of FFmpeg to the next.
        assert off.max() < (5 if "10bit" in path.name else 3)
        for step in (-1, 1):  # in a film that hardly moves, the wrong frame is as close
            others = np.stack([known[min(max(index + step, 0), last)] for index in indices])
            assert (off <= differences(pictures, others) + 0.05).all()


def test_making_av1_leaves_the_process_at_ordinary_priority(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    before = os.sched_getscheduler(0)
    write_video(tmp_path / "av1.mp4", size=(64, 64), codec="libsvtav1", options={"preset": "12"})
    assert os.sched_getscheduler(0) == before == os.SCHED_OTHER
