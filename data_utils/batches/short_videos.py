"""Reports videos that have no window, or only one that repeats frames, and leaves them out if the config says so."""

from __future__ import annotations

import logging

import numpy as np

from config.data import DataConfig
from config.errors import InputError
from data_utils.batches.windows import frames_needed, repeats_frames
from data_utils.catalog.catalog import Catalog

logger = logging.getLogger(__name__)


def without_short(catalog: Catalog, data: DataConfig) -> Catalog:
    """Tells how many videos are shorter than the window, and leaves them out where they are to be skipped.

    Raises:
        InputError: all videos are shorter, and would be skipped.
    """
    frames, fps = catalog.table["frames"].to_numpy(np.int64), catalog.table["fps"].to_numpy(np.float64)
    repeating = repeats_frames(fps, data.window)
    if repeating.any():
        logger.warning(
            "%s: %d of %d videos have fewer frames per second than window.frequency_fps (%g) and repeat frames",
            catalog.split,
            repeating.sum(),
            len(fps),
            data.window.frequency_fps,
        )
    needed = frames_needed(fps, data.window)
    short = frames < needed
    if not short.any():
        return catalog
    if data.short_videos == "skip" and short.all():
        longest = int(np.argmax(frames / needed))
        by_time = data.window.frequency_fps is not None
        keys = "window.length / frequency_fps" if by_time else "window.length x frequency"
        remedy = "raise window.frequency_fps" if by_time else "lower window.frequency"
        raise InputError(
            f"window longer than every video: {keys} needs {needed[longest]} frames, the longest video of the split "
            f"{catalog.split} has {frames[longest]}; lower window.length, {remedy}, or set short_videos to loop or pad"
        )
    logger.warning(
        "%s: %d of %d videos are shorter than the window's %s frames (short_videos: %s)",
        catalog.split,
        short.sum(),
        len(frames),
        " to ".join(str(number) for number in sorted({needed[short].min(), needed[short].max()})),
        data.short_videos,
    )
    return catalog.with_rows(~short) if data.short_videos == "skip" else catalog
