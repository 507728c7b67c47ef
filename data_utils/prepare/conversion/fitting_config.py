"""A config that fits what was prepared: the defaults are those of small embedded videos, and fit little else."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from config.data import WindowConfig
from data_utils.batches.windows import frames_needed, num_training_windows, num_windows

_STEPS = 600  # of training: some minutes on two cores
_LEAST_EPOCHS, _MOST_EPOCHS = 3, 1000
_VALIDATIONS = 10
_BATCHES = (32, 16, 8, 4, 2)
_STEPS_PER_EPOCH = 4  # that a batch should leave, as long as it is not small
_SMALL_BATCH = 8  # losses over a batch compare its windows
_SMALLEST_PATCH, _LARGEST_PATCH, _MOST_PATCHES = 4, 16, 96
_FRAMES_PER_SECOND = 6.0  # of a window: about a second of motion in 8 frames
_LEAST_FRAMES_PER_SECOND = 3.0  # of a window that spans a whole clip; with fewer, motion is lost
_MOST_WINDOWS = 4
_MOST_NEIGHBOURS = 20


def fitting_config(root: Path, catalog: Path, facts: pd.DataFrame, train_labels: pd.Series[str]) -> str:
    """YAML of a config that trains on prepared videos.

    Frame and patch size follow from the sizes of the videos, the window from their lengths and rates, batch and epochs
    from the number of windows, neighbours from the smallest class.

    Args:
        root: folder that the paths are relative to.
        catalog: folder of the CSV files.
        facts: columns `frames`, `height`, `width`, `fps` of the videos, or of a sample of them; without rows, they are
            not known, and the config says where the videos are and no more.
        train_labels: the label of each training video; empty where it has none.
    """
    places = {"root": str(root)} | ({"catalog": str(catalog)} if catalog != root else {})
    config: dict[str, Any] = {"dataset": {"name": "catalog", **places}}
    if len(facts):
        config |= _sizes(facts) | _window(facts)
        config |= _steps(facts, config["window"], config.get("short_videos", "skip"), len(train_labels))
        classes = train_labels[train_labels != ""].value_counts()
        if len(classes) and classes.min() <= _MOST_NEIGHBOURS:
            config["evaluations"] = {"knn": {"settings": {"k": max(1, int(classes.min()) - 1)}}}
    return "\n".join(_line(key, value) for key, value in config.items())


def _line(key: str, value: Any) -> str:
    # Width: a path must not be broken. YAML ends a document of one word with dots.
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=True, width=10_000)
    return f"{key}: {text.strip().removesuffix('...').strip()}"


def _sizes(facts: pd.DataFrame) -> dict[str, Any]:
    """Frame and patch size: patches of at most 16 pixels, four to six along the shorter side of most videos."""
    height, width = float(facts["height"].median()), float(facts["width"].median())
    shorter, longer = sorted((height, width))
    patch = int(min(_LARGEST_PATCH, max(_SMALLEST_PATCH, shorter // 4)))
    along_shorter = int(min(6, max(2, shorter // patch)))
    along_longer = max(along_shorter, round(along_shorter * longer / shorter))
    along_longer = min(along_longer, _MOST_PATCHES // along_shorter)
    grid = (along_shorter, along_longer) if height <= width else (along_longer, along_shorter)
    return {"frame_size": [patch * grid[0], patch * grid[1]], "patch_size": patch}


def _window(facts: pd.DataFrame) -> dict[str, Any]:
    """The window: all of short clips; else about a second of motion, by seconds where frame rates differ."""
    frames, fps = facts["frames"].to_numpy(np.int64), facts["fps"].to_numpy(np.float64)
    if (frames == 1).all():  # pictures: without the level `time`, patches are the units of the lowest level
        return {
            "groups": ["backbone", "space"],
            "window": {"length": 1, "frequency": 1, "eval_windows": 1},
        }
    usual = int(np.percentile(frames, 25))
    length = 8 if usual >= 8 else 4
    if (fps > 0).all() and np.percentile(frames / fps, 75) * _LEAST_FRAMES_PER_SECOND <= length:
        return _whole_clips(frames, fps, length)
    rate = float(np.median(fps))
    wanted = max(1, round(rate / _FRAMES_PER_SECOND)) if rate else 2
    frequency = max(1, min(wanted, (usual - 1) // (length - 1)))
    window: dict[str, Any] = {"length": length, "frequency": frequency}
    if (fps > 0).all() and np.percentile(fps, 90) > 1.1 * np.percentile(fps, 10):
        window["frequency_fps"] = round(rate / frequency, 1)
    made = _whole(window)
    fitting = num_windows(frames, fps, made, "pad")
    window["max_seq_per_video"] = int(min(_MOST_WINDOWS, max(1, np.median(fitting))))
    window["eval_windows"] = int(min(_MOST_WINDOWS, max(1, np.percentile(fitting, 75))))
    values = _levels(length) | {"window": window}
    if (frames < frames_needed(fps, made)).any():
        values["short_videos"] = "pad"
    return values


def _whole_clips(frames: NDArray[np.int64], fps: NDArray[np.float64], length: int) -> dict[str, Any]:
    """Windows of `length` frames that span the whole video, whatever its length."""
    window: dict[str, Any] = {"length": length, "sampling": "uniform", "max_seq_per_video": 1}
    differing = num_windows(frames, fps, _whole(window), "pad")
    window["eval_windows"] = int(min(_MOST_WINDOWS, max(1, np.percentile(differing, 75))))
    return _levels(length) | {"window": window}


def _levels(length: int) -> dict[str, Any]:
    """Frames of a clip, where the default is as long as the window."""
    return {"frames_per_clip": 2} if length == 4 else {}


def _steps(
    facts: pd.DataFrame, window: dict[str, Any], short_videos: Literal["skip", "loop", "pad"], videos: int
) -> dict[str, Any]:
    """Batch and epochs for a sensible number of steps, and how often to validate."""
    frames, fps = facts["frames"].to_numpy(np.int64), facts["fps"].to_numpy(np.float64)
    per_video = float(num_training_windows(frames, fps, _whole(window), short_videos).mean())
    windows = max(1, int(per_video * videos))
    fitting = [size for size in _BATCHES if windows >= (size if size <= _SMALL_BATCH else size * _STEPS_PER_EPOCH)]
    batch = max(fitting, default=_BATCHES[-1])
    epochs = min(_MOST_EPOCHS, max(_LEAST_EPOCHS, math.ceil(_STEPS / max(1, windows // batch))))
    return {"batch_size": batch, "num_epochs": epochs, "val_interval": max(1, epochs // _VALIDATIONS)}


def _whole(window: dict[str, Any]) -> WindowConfig:
    """The window with what the config's defaults say of the rest."""
    rest = {"frequency": 1, "frequency_fps": None, "step": None, "max_seq_per_video": 1, "eval_windows": 4}
    return WindowConfig.model_validate(rest | window)
