"""Frames that tell what a clip does from its beginning to its end: an initial state, three in between, a final one.

They are drawn anew each epoch, as a pure function of (seed, epoch, video), and whoever trains on single states, on
pairs or on all five of them sees the same frames: "data-locked" comparisons of methods (Karamcheti et al., 2023, arXiv
2302.12766). The video is known by its path, so that which others a catalog lists changes nothing.

The initial state is one of the first `share` of the frames, the final one of the last, and the others are three
different ones between these two, in order. Where fewer than three lie between, in clips of four frames or less with the
share 0.2, they are spread evenly instead, and a frame may be several states: a single picture is all five.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WINDOWS = {1: 5, 2: 4, 5: 1}
"""By frames of a window, the windows of a video: its states one by one, the first with each other, all at once."""
_STATES = 5
# The last word of a generator's seed keeps its stream apart from every other draw, see windows.py.
_STREAM = 6


def drawn_states(num_frames: int, share: float, seed: int, epoch: int, video: int) -> NDArray[np.int64]:
    """The states that an epoch takes of a video: [5], positions in presentation order, ascending.

    Args:
        num_frames: frames of the video, at least one.
        share: of the frames, at either end.
        seed: the run's seed, >= 0.
        epoch: number of the epoch.
        video: the video's number, see `video_numbers`.
    """
    first, last = _ends(num_frames, share)
    generator = np.random.default_rng([seed, epoch, video, _STREAM])
    initial = int(generator.integers(first))
    final = int(generator.integers(last, num_frames))
    between = final - initial - 1
    if between < _STATES - 2:
        return _spread(initial, final)
    inner = np.sort(generator.choice(between, size=_STATES - 2, replace=False, shuffle=False)) + initial + 1
    return np.concatenate([[initial], inner, [final]]).astype(np.int64)


def fixed_states(num_frames: int, share: float) -> NDArray[np.int64]:
    """The states that evaluation takes of a video: [5], the middle of either end and three evenly between.

    Args:
        num_frames: frames of the video, at least one.
        share: of the frames, at either end.
    """
    first, last = _ends(num_frames, share)
    return _spread((first - 1) // 2, (last + num_frames) // 2)


def state_window(states_5: NDArray[np.int64], length: int, number: int) -> NDArray[np.int64]:
    """Window `number` of those that a video has: [length].

    Args:
        states_5: of the video.
        length: frames of a window; one of `WINDOWS`.
        number: which of the windows, from 0.
    """
    places = {1: [number], 2: [0, number + 1], _STATES: list(range(_STATES))}[length]
    return states_5[places]


def video_numbers(paths: NDArray[np.object_]) -> NDArray[np.uint64]:
    """A number for each path in a catalog, the same everywhere and always."""
    from data_utils.formats.numbers_by_path import hashes_of

    return hashes_of(paths).view(np.uint64)


def _ends(num_frames: int, share: float) -> tuple[int, int]:
    """How many frames the initial state may be, and the first that the final one may be."""
    return max(1, round(share * num_frames)), min(num_frames - 1, round((1 - share) * num_frames))


def _spread(initial: int, final: int) -> NDArray[np.int64]:
    """Both, and three frames evenly between."""
    return np.floor(np.linspace(initial, final, _STATES) + 0.5).astype(np.int64)
