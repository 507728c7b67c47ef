"""Rejects frames, windows and encoders that cannot work together, and says which values would fit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from architecture.geometry import CONV_STEM_STRIDE, MIN_FRAMES
from config.hints import refuse
from tasks.table import TASKS

if TYPE_CHECKING:
    from config.schema import Config
    from tasks.joint_settings import JointSettings

STATE_LENGTHS = (1, 2, 5)  # frames of windows of states, see data_utils/batches/states.py, which needs NumPy
_SMALLEST_PATCH = 4  # that a hint names


def check_sizes(config: Config) -> None:
    """Raises ValueError where frames are larger than what is read, or cannot be cut into patches as asked."""
    _check_unscaled(config)
    if config.joint is not None and config.encoder == "joint":
        _check_patches(config, "joint", config.joint.patch_size)
        _check_joint(config, config.joint)
    hierarchy = config.hierarchy
    if config.encoder != "hierarchical" or hierarchy is None:
        return
    patch = hierarchy.patch_size
    _check_patches(config, "hierarchy", patch)
    if hierarchy.stem == "cnn" and patch % CONV_STEM_STRIDE:
        below, above = multiples(patch, CONV_STEM_STRIDE)
        nearest = [multiples(size, above)[1] for size in config.frame_size]
        refuse(
            config,
            f"hierarchy.stem and hierarchy.patch_size disagree: a cnn stem has a stride of {CONV_STEM_STRIDE}, which "
            f"does not divide {patch}",
            *({"hierarchy.patch_size": size} for size in (below, above) if size),
            {"hierarchy.patch_size": above, "frame_size": nearest},
        )
    if hierarchy.temporal_stem and hierarchy.stem == "linear":
        refuse(
            config,
            "hierarchy.temporal_stem and hierarchy.stem disagree: a linear stem has no time",
            {"hierarchy.stem": "cnn"},
            {"hierarchy.stem": "cnn", "hierarchy.patch_size": multiples(patch, CONV_STEM_STRIDE)[1]},
            {"hierarchy.temporal_stem": False},
        )


def _check_patches(config: Config, section: str, patch: int) -> None:
    """Raises ValueError where frames cannot be cut into patches; `section` holds their size."""
    for axis, size in zip(("height", "width"), config.frame_size, strict=True):
        if size % patch:
            lower, upper = ([multiples(side, patch)[end] for side in config.frame_size] for end in (0, 1))
            shared = math.gcd(*config.frame_size)
            refuse(
                config,
                f"frame_size and {section}.patch_size disagree: {axis} {size} is not divisible by {patch}",
                *({"frame_size": sides} for sides in (lower, upper) if all(sides)),
                *([{f"{section}.patch_size": shared}] if shared >= _SMALLEST_PATCH else []),
            )


def _check_joint(config: Config, joint: JointSettings) -> None:
    """Raises ValueError where windows cannot be cut into tubelets, or the numbers of the encoder do not fit."""
    length, tubelet = config.window.length, joint.tubelet
    if length != 1 and length % tubelet:
        below, above = multiples(length, tubelet)
        refuse(
            config,
            f"window.length and joint.tubelet disagree: {length} frames cannot be cut into tubelets of {tubelet}",
            *({"window.length": frames} for frames in (below, above) if frames),
            {"joint.tubelet": 1},
        )
    if joint.dim % joint.heads:
        fitting = [heads for heads in range(joint.heads, 0, -1) if joint.dim % heads == 0]
        refuse(
            config,
            f"joint.dim and joint.heads disagree: {joint.heads} heads cannot share a width of {joint.dim}",
            {"joint.heads": fitting[0]},
            {"joint.dim": multiples(joint.dim, joint.heads)[1]},
        )
    if joint.features == "cls" and not joint.cls_token:
        refuse(
            config,
            "joint.features and joint.cls_token disagree: there is no CLS token",
            {"joint.cls_token": True},
            {"joint.features": "mean"},
        )


def _check_unscaled(config: Config) -> None:
    """Raises ValueError where the model's frames are to be cut out of smaller ones."""
    missing = [side for side, read in zip(config.frame_size, config.read_size, strict=True) if side > read]
    if config.eval_crop == "unscaled" and missing:
        least = [max(sides) for sides in zip(config.frame_size, config.read_size, strict=True)]
        refuse(
            config,
            f"eval_crop, load_size and frame_size disagree: {config.read_size[0]} x {config.read_size[1]} pixels hold "
            f"no {config.frame_size[0]} x {config.frame_size[1]}",
            {"load_size": least},
            {"eval_crop": "centre"},
        )


def check_window(config: Config) -> None:
    """Raises ValueError where a window's frames cannot be chosen as asked, or the levels cannot be made of them."""
    sampling = config.window.sampling
    if sampling == "states" and config.window.length not in STATE_LENGTHS:
        refuse(
            config,
            f"window.sampling and window.length disagree: windows of states have 1, 2 or 5 frames, not "
            f"{config.window.length}",
            *({"window.length": length} for length in STATE_LENGTHS),
            {"window.sampling": "uniform"},
        )
    for key in ("frequency_fps", "step"):
        if sampling != "dense" and getattr(config.window, key) is not None:
            what = "a uniform window spans" if sampling == "uniform" else "states are of"
            refuse(
                config,
                f"window.sampling and window.{key} disagree: {what} the whole video",
                {f"window.{key}": None},
                {"window.sampling": "dense"},
            )
    if config.encoder != "hierarchical" or config.hierarchy is None:
        return
    length, clip, per_clip = config.window.length, config.hierarchy.frames_per_clip, "hierarchy.frames_per_clip"
    if "clip" in config.groups and length % clip:
        below, above = multiples(length, clip)
        dividing = max(frames for frames in range(1, clip + 1) if length % frames == 0)
        refuse(
            config,
            f"window.length and {per_clip} disagree: {length} frames cannot be cut into clips of {clip}",
            *([{"groups": ["backbone", "space"]}] if length == 1 else []),
            *({"window.length": frames} for frames in (below, above) if frames),
            {per_clip: dividing},
        )
    if config.groups[-1] == "space" and length != 1:
        refuse(
            config,
            f"groups and window.length disagree: without the level `time` a window is one frame, not {length}",
            {"window.length": 1},
            {"groups": ["backbone", "space", "time"]},
            {"groups": ["backbone", "space", "time", "clip"]},
        )
    geometry = config.geometry
    for level in geometry.joining:
        if config.causal(level) and geometry.tokens(level) < 2:
            refuse(
                config,
                f"hierarchy.{level}.causal_mask: a unit of {level} is a single token, so there is no next one "
                "to predict",
                {f"hierarchy.{level}.causal_mask": False},
            )


def check_encoder(config: Config) -> None:
    """Raises ValueError where encoder, decoder or normalisation do not go with the rest."""
    if (config.mean is None) != (config.std is None):
        raise ValueError("mean and std disagree: give both, or null for both")
    if config.video_decoder == "opencv" and config.num_workers == 0:
        refuse(
            config,
            "video_decoder and num_workers disagree: OpenCV may abort its process on a broken file, so it needs "
            "one of its own",
            {"num_workers": 1},
            {"video_decoder": "auto"},
        )
    if config.encoder != "hierarchical" and not config.task_settings.takes_any_encoder:
        refuse(
            config,
            f"encoder and task disagree: {config.encoder} has no levels for {config.task}",
            {"encoder": "hierarchical"},
            *({"task": name} for name, kind in TASKS.items() if kind.takes_any_encoder),
        )
    least = MIN_FRAMES.get(config.encoder, 1)
    if config.window.length < least:
        refuse(
            config,
            f"encoder and window.length disagree: {config.encoder} needs {least} frames or more, not "
            f"{config.window.length}",
            {"window.length": least},
            {"encoder": "r2plus1d_18"},
        )


def multiples(value: int, divisor: int) -> tuple[int, int]:
    """The multiples of `divisor` around `value`, the lower one 0 where `value` is smaller than `divisor`."""
    below = value // divisor * divisor
    return below, below if below == value else below + divisor
