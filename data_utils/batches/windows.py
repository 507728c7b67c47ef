"""Which frames of a video the model sees at once: pure functions of (seed, epoch, index), so resuming is exact.

`dense` sampling: frame k of a window lies `frequency * k` frames of the video behind its first one, or, where
`frequency_fps` counts (every frame of the window the same time after the last, whatever the video's frame rate),
`k * fps / frequency_fps` frames: the nearest frame is taken, of two that are as near the later one.

`uniform` sampling: every window spans the whole video, which is cut into `length` equal segments (Temporal Segment
Networks, Wang et al. 2016, arXiv 1608.00859); a window takes the frame at one place of every segment, the same in all,
so that its frames are evenly far apart. Windows differ in that place, which is their start: it is counted from the
beginning of a segment in frames / `length`, which has as many places as the video has frames. A video with fewer frames
than `length` shows some of them twice.

`states` sampling: a window is one, two or all of five frames between the beginning and the end of the video, see
`states.py`. Its start is its number among the windows of the video, of which there are always as many.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from config.data import WindowConfig
from data_utils.batches.states import WINDOWS, drawn_states, fixed_states, state_window

ShortVideos = Literal["skip", "loop", "pad"]
Numbers = int | NDArray[np.int64]
Rates = float | NDArray[np.float64]

NO_FRAME_RATE = "its frame rate is not known, which window.frequency_fps needs"

# The last word of a generator's seed keeps its stream apart from every other draw with the same (seed, epoch, index).
_STARTS, _ORDER, _SECOND = 1, 2, 3


# ------------------------------------------------------------------------------------- what a video's frame rate does


def _by_seconds(window: WindowConfig) -> float | None:
    """Frames of a window per second, where they count; a single frame has no distance to another."""
    return window.frequency_fps if window.length > 1 and window.sampling == "dense" else None


def without_rate(fps: Rates, window: WindowConfig) -> NDArray[np.bool_]:
    """Whether videos of `fps` frames per second have no windows, as their rate is not known (0) and one is needed."""
    rates = np.asarray(fps, np.float64)
    return ~(np.isfinite(rates) & (rates > 0)) & (_by_seconds(window) is not None)


def repeats_frames(fps: Rates, window: WindowConfig) -> NDArray[np.bool_]:
    """Whether windows of videos of `fps` frames per second hold frames twice, as `frequency_fps` is faster."""
    return np.asarray(fps, np.float64) < (_by_seconds(window) or 0.0)


def _dense_offset(frame: Numbers, fps: Rates, window: WindowConfig) -> NDArray[np.int64]:
    """Where frame number `frame` of a window of dense sampling lies behind its first, in frames of the video.

    Raises:
        ValueError: the frame rate is not known and `frequency_fps` needs it.
    """
    per_second = _by_seconds(window)
    if per_second is None:
        frames: NDArray[np.int64] = np.asarray(frame, np.int64) * window.frequency
        return np.broadcast_to(frames, np.broadcast(frame, fps).shape)
    if without_rate(fps, window).any():
        raise ValueError(NO_FRAME_RATE)
    exact: NDArray[np.float64] = np.asarray(frame) * np.asarray(fps, np.float64) / per_second
    return np.asarray(np.floor(exact + 0.5), np.int64)


def frames_needed(fps: Rates, window: WindowConfig) -> NDArray[np.int64]:
    """Frames that a video needs for a window: one number per frame rate.

    With dense sampling these are the frames from a window's first to its last, both included; with any other
    one frame will do.
    """
    if window.sampling != "dense":
        return np.ones(np.shape(fps), np.int64)
    return _dense_offset(window.length - 1, fps, window) + 1


# --------------------------------------------------------------------------------------------- how many, and where


def _last_start(num_frames: Numbers, fps: Rates, window: WindowConfig) -> NDArray[np.int64]:
    """The last start of a window: one number per video, negative where none fits."""
    return np.asarray(num_frames, np.int64) - frames_needed(fps, window)


def _step(fps: Rates, window: WindowConfig) -> NDArray[np.int64]:
    """The least distance of two starts: one number per frame rate."""
    if window.sampling == "uniform":
        return np.full(np.shape(fps), window.length, np.int64)  # a whole frame
    return np.full(np.shape(fps), window.step, np.int64) if window.step else frames_needed(fps, window)


def num_windows(num_frames: Numbers, fps: Rates, window: WindowConfig, short_videos: ShortVideos) -> NDArray[np.int64]:
    """How many windows, `step` apart, fit into videos of `num_frames` frames: one number per video."""
    if window.sampling == "states":
        return np.full(np.shape(num_frames), WINDOWS[window.length], np.int64)
    fitting: NDArray[np.int64] = _last_start(num_frames, fps, window) // _step(fps, window) + 1
    return np.maximum(fitting, 0 if short_videos == "skip" else 1)


def num_training_windows(
    num_frames: Numbers, fps: Rates, window: WindowConfig, short_videos: ShortVideos
) -> NDArray[np.int64]:
    """How many windows `training_starts` draws from videos of `num_frames` frames: one number per video."""
    most = WINDOWS[window.length] if window.sampling == "states" else window.max_seq_per_video
    return np.minimum(num_windows(num_frames, fps, window, short_videos), most)


def num_evaluation_windows(
    num_frames: Numbers, fps: Rates, window: WindowConfig, short_videos: ShortVideos
) -> NDArray[np.int64]:
    """How many windows `evaluation_starts` takes of videos of `num_frames` frames: one number per video."""
    return np.minimum(num_windows(num_frames, fps, window, short_videos), window.eval_windows)


def window_starts(num_frames: int, fps: float, window: WindowConfig, short_videos: ShortVideos) -> range:
    """The starts of all windows of a video, `step` apart from 0.

    A video shorter than the window has none (`skip`) or one (`loop`, `pad`).
    """
    step = 1 if window.sampling == "states" else int(_step(fps, window))
    return range(0, int(num_windows(num_frames, fps, window, short_videos)) * step, step)


def training_starts(
    num_frames: int, fps: float, window: WindowConfig, short_videos: ShortVideos, seed: int, epoch: int, index: int
) -> list[int]:
    """The starts of the windows that one epoch takes from a video, ascending, at least `step` apart.

    Every start at which a window fits can be drawn, and every set of starts that lie `step` apart is equally likely.
    There are `max_seq_per_video` of them, or as many as fit. Of states there are all, numbered from 0.

    Args:
        num_frames: frames of the video.
        fps: its frames per second; 0: not known, which will do without `frequency_fps`.
        window: the config's window.
        short_videos: what becomes of a video shorter than the window.
        seed: the run's seed, >= 0.
        epoch: number of the epoch.
        index: the video's row in its catalog.
    """
    count = int(num_training_windows(num_frames, fps, window, short_videos))
    if window.sampling == "states":
        return list(range(count))
    last = int(_last_start(num_frames, fps, window))
    if count == 0 or last < 0:
        return [0] * count
    # Without the gaps that the starts must keep, they are `count` distinct numbers: draw those, put the gaps back.
    gap = int(_step(fps, window)) - 1
    generator = np.random.default_rng([seed, epoch, index, _STARTS])
    distinct = np.sort(generator.choice(last - (count - 1) * gap + 1, size=count, replace=False, shuffle=False))
    return [int(start) for start in distinct + gap * np.arange(count)]


def second_start(
    first: int, num_frames: int, fps: float, window: WindowConfig, seed: int, epoch: int, index: int
) -> int:
    """The start of another window of the same video: any other start at which one fits, equally likely.

    The two may overlap. A video that has a single window gives it again.

    Args:
        first: start of the window.
        num_frames: frames of the video.
        fps: its frames per second.
        window: the config's window.
        seed: the run's seed, >= 0.
        epoch: number of the epoch.
        index: the video's row in its catalog.
    """
    states = window.sampling == "states"
    last = WINDOWS[window.length] - 1 if states else int(_last_start(num_frames, fps, window))
    if last <= 0:
        return first
    start = int(np.random.default_rng([seed, epoch, index, first, _SECOND]).integers(last))
    return start + (start >= first)


def evaluation_starts(num_frames: int, fps: float, window: WindowConfig, short_videos: ShortVideos) -> list[int]:
    """The starts of at most `eval_windows` windows of a video, evenly spread; a single one lies in the middle."""
    starts = window_starts(num_frames, fps, window, short_videos)
    count = min(len(starts), window.eval_windows)
    if count == 1 and window.sampling != "states":
        return [max(0, int(_last_start(num_frames, fps, window))) // 2]
    if count == 1:
        return [starts[len(starts) // 2]]
    return [starts[round(position)] for position in np.linspace(0, len(starts) - 1, count)] if count else []


def frame_indices(
    start: int, num_frames: int, fps: float, window: WindowConfig, short_videos: ShortVideos
) -> NDArray[np.int64]:
    """The frames of the window that begins at `start`: [T], positions in presentation order; of states, the fixed ones.

    Behind the end of a video that is too short for dense sampling `loop` begins again and `pad` repeats the last frame.

    Raises:
        ValueError: the window does not fit and `short_videos` is `skip`, or its frame rate is needed and not known.
    """
    if window.sampling == "states":
        return state_window(fixed_states(num_frames, window.end_share), window.length, start)
    numbers = np.arange(window.length, dtype=np.int64)
    if window.sampling == "uniform":
        return (start + numbers * num_frames) // window.length
    indices = start + _dense_offset(numbers, fps, window)
    if indices[-1] < num_frames:
        return indices
    if short_videos == "skip":
        raise ValueError(f"a window from frame {start} to {indices[-1]} does not fit into {num_frames} frames")
    return indices % num_frames if short_videos == "loop" else np.minimum(indices, num_frames - 1)


def training_frames(
    start: int,
    num_frames: int,
    fps: float,
    window: WindowConfig,
    short_videos: ShortVideos,
    seed: int,
    epoch: int,
    video: int,
) -> NDArray[np.int64]:
    """The frames of a training window: [T]; those of `frame_indices`, but states are drawn anew each epoch.

    Args:
        start: of the window, see `training_starts`.
        num_frames: frames of the video.
        fps: its frames per second.
        window: the config's window.
        short_videos: what becomes of a video shorter than the window.
        seed: the run's seed, >= 0.
        epoch: number of the epoch.
        video: the video's number, see `states.video_numbers`; it counts for nothing in other sampling.
    """
    if window.sampling != "states":
        return frame_indices(start, num_frames, fps, window, short_videos)
    states_5 = drawn_states(num_frames, window.end_share, seed, epoch, video)
    return state_window(states_5, window.length, start)


def epoch_order(num_items: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which an epoch takes `num_items` windows: a permutation."""
    return np.random.default_rng([seed, epoch, 0, _ORDER]).permutation(num_items)
