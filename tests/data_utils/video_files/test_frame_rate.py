from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from data_utils.video_files.frame_rate import expected_rate
from data_utils.video_files.inspection import inspect_video

DEFAULT_DURATION, VOID = b"\x23\xe3\x83\x84", b"\xec\x85"


def record(path: Path, milliseconds: list[int], codec: str = "libvpx") -> Path:
    """WebM as a browser records it: frames with times in milliseconds, and a header without a rate."""
    with av.open(str(path), "w", format="webm", options={"live": "1"}) as container:
        stream = container.add_stream(codec, rate=1000)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 48, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.options = {"deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "0"}
        for number, time in enumerate(milliseconds):
            frame = av.VideoFrame.from_ndarray(np.full((48, 48, 3), number % 256, np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    content = path.read_bytes()
    assert content.count(DEFAULT_DURATION) <= 1
    place = content.find(DEFAULT_DURATION)
    if place >= 0:  # an element of 8 bytes becomes one that says nothing
        content = content[:place] + VOID + bytes(6) + content[place + 8 :]
        path.write_bytes(content)
    with av.open(str(path)) as written:
        claimed = written.streams.video[0].average_rate
        assert claimed is None or claimed > 500  # what is to be seen through
    return path


@pytest.mark.parametrize(
    ("milliseconds", "rate"),
    [
        ([round(1000 * n / 30) for n in range(90)], 30.0),
        ([round(1000 * n * 1.001 / 30) for n in range(900)], 29.97),
        ([round(1000 * n / 30) + [0, 4, -3, 6][n % 4] for n in range(91)], 30.0),  # the clock of a browser trembles
        ([40 * n for n in range(50)], 25.0),
        ([round(1000 * n / 12.5) for n in range(40)], 12.5),
        ([0, 33], 30.0),
        ([1000, 3000, 5000], 0.5),
    ],
)
def test_the_rate_is_counted_where_the_header_does_not_say_it(
    tmp_path: Path, milliseconds: list[int], rate: float
) -> None:
    path = record(tmp_path / "a.webm", milliseconds)
    facts = inspect_video(path)
    assert facts.frames == len(milliseconds)
    assert facts.fps == pytest.approx(rate, rel=0.004 if len(milliseconds) > 2 else 0.02)
    if rate in (30.0, 25.0, 29.97):
        assert facts.fps == rate
    assert expected_rate(path) == facts.fps


def test_a_single_frame_has_no_rate(tmp_path: Path) -> None:
    assert inspect_video(record(tmp_path / "a.webm", [0])).fps == 0


# MPEG-1 has no rate of 12.
RATES = [(name, rate) for name in ("a.mp4", "a.mkv", "a.avi", "a.ts", "a.mov") for rate in (12, 25, 30)]


@pytest.mark.parametrize(("name", "rate"), [*RATES, ("a.mpg", 25), ("a.mpg", 30)])
def test_a_header_that_is_right_is_kept(tmp_path: Path, write_video: Callable[..., Path], name: str, rate: int) -> None:
    codec = {"a.avi": "mpeg4", "a.mpg": "mpeg1video"}.get(name, "libx264")
    path = write_video(tmp_path / name, 40, codec=codec, rate=rate)
    assert inspect_video(path).fps == rate
    assert expected_rate(path) == rate


def test_frames_that_are_shown_for_different_times_count_on_average(tmp_path: Path) -> None:
    """A recording of a screen: bursts of 30 frames per second, and pauses."""
    times = [burst * 2000 + round(1000 * n / 30) for burst in range(5) for n in range(15)]
    path = record(tmp_path / "a.webm", times)
    assert inspect_video(path).fps == pytest.approx(74 / (times[-1] / 1000), rel=0.001)
