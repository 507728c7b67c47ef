"""Frames per second of a video: as its frames are timed, not as its header claims.

Browsers write WebM whose header gives no rate, and FFmpeg then guesses 1,000 from the clock of the file; interlaced and
damaged files claim twice or half of what they hold.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from av.video.stream import VideoStream

from data_utils.video_files.decoding import open_video, packets

_TOLERANCE = 0.05  # that a header may differ from what was counted: frames get lost, the last one lasts longer
_FASTEST = 240.0  # that is believed of a header where the frames say nothing: guesses from a file's clock are 1,000
_TREMBLING = 0.003  # that the clocks of browsers may mislead
_NTSC = Fraction(1000, 1001)


class FrameTimes:
    """The times of a video's frames, as they are decoded."""

    def __init__(self) -> None:
        self.frames = 0
        """Counted so far."""
        self._first: int | None = None
        self._last: int | None = None
        self._timed = True

    def add(self, pts: int | None) -> None:
        """Counts a frame; `pts`: its presentation time in the stream's time base."""
        self.frames += 1
        if pts is None:
            self._timed = False
            return
        self._first = pts if self._first is None else min(self._first, pts)
        self._last = pts if self._last is None else max(self._last, pts)

    def rate(self, stream: VideoStream) -> float:
        """Frames per second: the header's where the frames agree with it, else as they were counted; 0: not known."""
        header = float(stream.average_rate or 0)
        counted = self._counted(stream.time_base)
        if counted is None:
            claimed = header or float(stream.guessed_rate or 0)
            return round(claimed, 3) if claimed <= _FASTEST else 0.0
        rate, slack = counted
        if abs(header - rate) <= _TOLERANCE * header + slack:
            return round(header, 3)
        return round(_usual(rate, slack), 3)

    def _counted(self, time_base: Fraction | None) -> tuple[float, float] | None:
        """Frames per second and how far the clock's ticks may mislead; None where the frames do not tell."""
        if not self._timed or self.frames < 2 or self._first is None or self._last is None or time_base is None:
            return None
        ticks = self._last - self._first
        if ticks <= 0:
            return None
        rate = float((self.frames - 1) / (ticks * time_base))
        return rate, 2 * rate / ticks


def expected_rate(path: str | Path) -> float:
    """The rate that `FrameTimes` will find, as far as packets tell it, undecoded. VideoError: the file is bad."""
    return expected_count(path)[1]


def expected_count(path: str | Path) -> tuple[int, float]:
    """How many frames a file holds and their rate, as far as its packets tell it, without decoding them.

    Raises:
        VideoError: the file cannot be opened, or is damaged.
    """
    with open_video(path) as (container, stream):
        times = FrameTimes()
        for packet in packets(container, stream):
            if packet.size and not packet.is_discard:
                times.add(packet.pts if packet.pts is not None else packet.dts)
        return times.frames, times.rate(stream)


def _usual(rate: float, slack: float) -> float:
    """The nearest rate that cameras have, whole or whole x 1000/1001, where it can hardly be told from `rate`."""
    found = []
    for usual in (float(round(rate)), float(round(rate / float(_NTSC)) * _NTSC)):
        if usual and abs(usual - rate) <= max(slack, _TREMBLING * rate):
            found.append(usual)
    return min(found, key=lambda usual: abs(usual - rate), default=rate)
