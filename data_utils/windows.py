"""Which frames of a video the model sees at once: pure functions of (seed, epoch, index), so resuming is exact."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from config.schema import WindowConfig

ShortVideos = Literal["skip", "loop", "pad"]

# The last word of a generator's seed keeps its stream apart from every other draw with the same (seed, epoch, index).
_STARTS, _ORDER, _SECOND = 1, 2, 3


def span(window: WindowConfig) -> int:
    """Frames of the video from a window's first frame to its last, both included."""
    return (window.length - 1) * window.frequency + 1


def _step(window: WindowConfig) -> int:
    return window.step or span(window)


def num_windows(
    num_frames: int | NDArray[np.int64], window: WindowConfig, short_videos: ShortVideos
) -> NDArray[np.int64]:
    """How many windows, `step` apart, fit into videos of `num_frames` frames: one number per video."""
    fitting = (np.asarray(num_frames, np.int64) - span(window)) // _step(window) + 1
    return np.maximum(fitting, 0 if short_videos == "skip" else 1)


def num_training_windows(
    num_frames: int | NDArray[np.int64], window: WindowConfig, short_videos: ShortVideos
) -> NDArray[np.int64]:
    """How many windows `training_starts` draws from videos of `num_frames` frames: one number per video."""
    return np.minimum(num_windows(num_frames, window, short_videos), window.max_seq_per_video)


def window_starts(num_frames: int, window: WindowConfig, short_videos: ShortVideos) -> range:
    """First frames of all windows of a video, `step` apart from frame 0.

    A video shorter than the window has none (`skip`) or one (`loop`, `pad`).
    """
    count = int(num_windows(num_frames, window, short_videos))
    return range(0, count * _step(window), _step(window))


def training_starts(
    num_frames: int, window: WindowConfig, short_videos: ShortVideos, seed: int, epoch: int, index: int
) -> list[int]:
    """First frames of the windows that one epoch takes from a video, ascending, at least `step` apart.

    Every start in [0, num_frames - span] can be drawn, and every set of starts that lie `step` apart is equally
    likely. There are `max_seq_per_video` of them, or as many as fit.

    Args:
        num_frames: frames of the video.
        window: the config's window.
        short_videos: what becomes of a video shorter than the window.
        seed: the run's seed, >= 0.
        epoch: number of the epoch.
        index: the video's row in its catalog.
    """
    count = int(num_training_windows(num_frames, window, short_videos))
    room = num_frames - span(window)
    if count == 0 or room < 0:
        return [0] * count
    # Without the gaps that the starts must keep, they are `count` distinct numbers: draw those, put the gaps back.
    gap = _step(window) - 1
    generator = np.random.default_rng([seed, epoch, index, _STARTS])
    distinct = np.sort(generator.choice(room - (count - 1) * gap + 1, size=count, replace=False, shuffle=False))
    return [int(start) for start in distinct + gap * np.arange(count)]


def second_start(first: int, num_frames: int, window: WindowConfig, seed: int, epoch: int, index: int) -> int:
    """First frame of another window of the same video: any other start in [0, num_frames - span], equally likely.

    The two may overlap. A video that has a single window gives it again.

    Args:
        first: first frame of the window.
        num_frames: frames of the video.
        window: the config's window.
        seed: the run's seed, >= 0.
        epoch: number of the epoch.
        index: the video's row in its catalog.
    """
    room = num_frames - span(window)
    if room <= 0:
        return first
    start = int(np.random.default_rng([seed, epoch, index, first, _SECOND]).integers(room))
    return start + (start >= first)


def evaluation_starts(num_frames: int, window: WindowConfig, short_videos: ShortVideos) -> list[int]:
    """First frames of at most `eval_windows` windows of a video, evenly spread; a single one lies in the middle."""
    starts = window_starts(num_frames, window, short_videos)
    count = min(len(starts), window.eval_windows)
    if count == 1:
        return [max(0, num_frames - span(window)) // 2]
    return [starts[round(position)] for position in np.linspace(0, len(starts) - 1, count)] if count else []


def frame_indices(start: int, num_frames: int, window: WindowConfig, short_videos: ShortVideos) -> NDArray[np.int64]:
    """The frames of the window that begins at `start`: [T], positions in presentation order.

    Behind the end of a short video `loop` begins again and `pad` repeats the last frame.

    Raises:
        ValueError: the window does not fit and `short_videos` is `skip`.
    """
    indices = start + window.frequency * np.arange(window.length, dtype=np.int64)
    if indices[-1] < num_frames:
        return indices
    if short_videos == "skip":
        raise ValueError(f"a window from frame {start} to {indices[-1]} does not fit into {num_frames} frames")
    return indices % num_frames if short_videos == "loop" else np.minimum(indices, num_frames - 1)


def epoch_order(num_items: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch takes `num_items` windows: a permutation."""
    return np.random.default_rng([seed, epoch, 0, _ORDER]).permutation(num_items)
