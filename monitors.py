"""Collapse monitors: a model whose features have become alike predicts itself perfectly, and its loss looks best then.

Monitors are by name and level: `rank`, `std`, `lidar`, `shuffled_up`, `shuffled_down`, `shuffled_side`, `grad_norm`;
`cka` is by pair of levels (`space-time`). What cannot be measured is absent. A good value says nothing of usefulness:
that is for kNN and probes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, takewhile
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from config.errors import InputError
from runs.process.seeds import torch_generator
from runs.reporting.monitor_table import MONITORS
from tasks.task import Task

FloatArray = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Measured = Mapping[str, Mapping[str, float]]
"""By monitor, and by level or pair of levels."""

# At this ratio or above, what a level predicts for a video fits another video as well.
MAX_SHUFFLED_RATIO = 0.995

MAX_UNITS = 4096  # vectors of single units, and of single views, that are kept and measured
ALIKE = 1e-6  # vectors that differ by less, as a share of their largest number, differ by rounding
LIDAR_REGULARISATION = 1e-4  # of the within-class scatter, as a share of the mean variance
SHUFFLED = "shuffled_"  # and a direction: name of a monitor

# ------------------------------------------------------------------------------------------------------- features


@dataclass(frozen=True)
class Singles:
    """Some of the single units, and of the single views, of a split."""

    units: Mapping[str, FloatArray]
    """By level, lowest first: [M, D] single units, of all views as far as they fit into `MAX_UNITS`."""
    views: Mapping[str, FloatArray]
    """By level: [W, D], the mean units of single views, `MAX_UNITS` at most."""
    rows_W: NDArray[np.int64]
    """The views' videos."""


def _centred(vectors_ND: FloatArray) -> Float64Array:
    """Without their mean, in float64; zeros where they are alike up to rounding."""
    exact_ND = vectors_ND.astype(np.float64)
    centred_ND: Float64Array = exact_ND - exact_ND.mean(axis=0)
    alike = np.abs(centred_ND).max() <= ALIKE * np.abs(exact_ND).max()
    return np.zeros_like(centred_ND) if alike else centred_ND


def _exp_entropy(spectrum: NDArray[np.floating[Any]]) -> float:
    """How many of the values count; 1 where all are 0, and nan where one is not finite."""
    if not np.isfinite(spectrum).all():
        return math.nan
    spectrum = spectrum[spectrum > 0]
    share = spectrum / spectrum.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def effective_rank(units_MD: FloatArray) -> float:
    """RankMe (Garrido et al., 2023, arXiv 2210.02885) of the centred vectors: exp of the entropy of the spectrum.

    Returns:
        From 1 to D; nan where a number is not finite.
    """
    if not np.isfinite(units_MD).all():
        return math.nan
    return _exp_entropy(np.linalg.svd(_centred(units_MD), compute_uv=False))


def spread(units_MD: FloatArray) -> float:
    """Mean std of the L2-normalised vectors in units of 1/sqrt(D): 1 for a full sphere, 0 when all are alike."""
    exact_MD = units_MD.astype(np.float64)
    unit_MD = exact_MD / np.maximum(np.linalg.norm(exact_MD, axis=1, keepdims=True), 1e-12)
    return float(unit_MD.std(axis=0).mean() * math.sqrt(units_MD.shape[1]))


def lidar(windows_WD: FloatArray, rows_W: NDArray[np.int64]) -> float | None:
    """LiDAR (Thilak et al., 2023, arXiv 2312.04000): the directions in which videos differ more than their windows.

    Exp of the entropy of the eigenvalues of the LDA matrix Sw^-1/2 Sb Sw^-1/2: Sb is the scatter of the videos' means,
    Sw that of windows around their video's mean, plus a constant on its diagonal. The paper's constant is 1e-4; here it
    is that share of the mean variance, so that the score does not depend on the scale of the features.

    With q windows per video, a direction of pure noise keeps an eigenvalue of about 1/q: directions stop counting only
    beside others that separate videos, and noise alone scores high.

    Args:
        windows_WD: one vector per window.
        rows_W: the video that each window belongs to.

    Returns:
        From 1 to D; None where fewer than two videos have two windows; nan where a number is not finite.
    """
    _, video_W, windows_V = np.unique(rows_W, return_inverse=True, return_counts=True)
    several_W = windows_V[video_W] > 1
    _, video_W, windows_V = np.unique(rows_W[several_W], return_inverse=True, return_counts=True)
    if len(windows_V) < 2:
        return None
    if not np.isfinite(windows_WD).all():
        return math.nan
    centred_WD = _centred(windows_WD[several_W])
    mean_VD = np.zeros((len(windows_V), centred_WD.shape[1]))
    np.add.at(mean_VD, video_W, centred_WD)
    mean_VD /= windows_V[:, None]
    within_WD = centred_WD - mean_VD[video_W]
    between_VD = mean_VD - mean_VD.mean(axis=0)
    between_DD = between_VD.T @ between_VD / len(between_VD)
    within_DD = within_WD.T @ within_WD / len(within_WD)
    variance = (np.trace(between_DD) + np.trace(within_DD)) / len(within_DD)
    if variance == 0:
        return 1.0
    within_DD += LIDAR_REGULARISATION * variance * np.eye(len(within_DD))
    import scipy.linalg

    return _exp_entropy(scipy.linalg.eigh(between_DD, within_DD, eigvals_only=True))


def linear_cka(one_ND: FloatArray, other_NE: FloatArray) -> float | None:
    """Linear CKA of two sets of features of the same videos (Kornblith et al., 2019, arXiv 1905.00414).

    Returns:
        From 0 to 1, the same up to rotation and scale; with few videos too high: about D/N for independent features of
        width D. None where the features of one side are all alike or not finite.
    """
    one, other = _centred(one_ND), _centred(other_NE)
    norms = float(np.linalg.norm(one.T @ one) * np.linalg.norm(other.T @ other))
    return float(np.linalg.norm(other.T @ one) ** 2) / norms if norms > 0 else None


def feature_monitors(singles: Singles, videos: Mapping[str, FloatArray]) -> dict[str, dict[str, float]]:
    """Everything that is measured on the features of a split.

    Args:
        singles: its single units and windows.
        videos: by level: [N, D], one vector per video.

    Returns:
        `rank`, `std`, `lidar` and `cka`.
    """
    units = singles.units
    of_windows = {level: lidar(vectors, singles.rows_W) for level, vectors in singles.views.items()}
    pairs = {f"{one}-{other}": linear_cka(videos[one], videos[other]) for one, other in combinations(videos, 2)}
    return {
        "rank": {level: effective_rank(vectors) for level, vectors in units.items()},
        "std": {level: spread(vectors) for level, vectors in units.items()},
        "lidar": {level: value for level, value in of_windows.items() if value is not None},
        "cka": {pair: value for pair, value in pairs.items() if value is not None},
    }


# -------------------------------------------------------------------------------------- predictions and gradients


@torch.no_grad()
def shuffled_ratios(task: Task, videos: Iterable[Tensor], seed: int) -> dict[str, dict[str, float]]:
    """Prediction error against a video's own target as a share of that against another video's.

    Args:
        task: its predictors are asked, in evaluation mode; left in the mode that it was in.
        videos: batches [B, T, C, H, W], normalised; in each, every window is of another video.
        seed: what is drawn is a function of it and of the batch's number.

    Returns:
        By monitor, `shuffled_` and the direction, and by level; near 1 where predictions say nothing about the video.
    """
    errors: dict[str, dict[str, list[tuple[float, float]]]] = {}
    was_training = task.training
    task.eval()
    for number, video_BTCHW in enumerate(videos):
        if len(video_BTCHW) > 1:
            found = task.prediction_errors(video_BTCHW, torch_generator(seed, number, 2))
            for level, by_direction in found.items():
                for direction, pair in by_direction.items():
                    errors.setdefault(SHUFFLED + direction, {}).setdefault(level, []).append(pair)
    task.train(was_training)
    return {
        monitor: {level: _ratio(pairs) for level, pairs in by_level.items()} for monitor, by_level in errors.items()
    }


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    own, others = (math.fsum(pair[side] for pair in pairs) for side in (0, 1))
    # Where even another video's target is met exactly, all targets are the same.
    return own / others if others != 0 else 1.0


def gradient_norms(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean of each parameter group's gradient norm over the steps logged since the last validation.

    Args:
        records: of metrics.jsonl, in which a norm that is not finite is null.

    Returns:
        By group; nan where no logged norm was finite. Steps whose norm is not finite are skipped by the trainer, which
        ends the run where there are many, so a single one does not count here.
    """
    latest = list(takewhile(lambda record: record["kind"] != "validation", reversed(records)))
    norms: dict[str, list[float]] = {}
    for record in reversed(latest):
        for group, norm in record.get("grad_norm", {}).items():
            norms.setdefault(group, []).extend([] if norm is None else [norm])
    return {group: fmean(found) if found else math.nan for group, found in norms.items()}


# -------------------------------------------------------------------------------------------------- the alarms


def collapse_alarms(now: Measured, at_init: Measured, *, first: bool = False) -> list[str]:
    """One sentence for every monitor and level that points to a collapse. CKA is shown, but raises no alarm.

    Args:
        now: the monitors.
        at_init: those of the untrained encoder.
        first: whether this is the first validation of trained weights, when predictions may not have begun to tell one
            video from another.
    """
    alarms = []
    for name, monitor in MONITORS.items():
        for level, value in now.get(name, {}).items() if monitor.collapse == "falls" else ():
            start = at_init.get(name, {}).get(level, math.nan)
            if not math.isfinite(value):
                alarms.append(f"{monitor.title} of {level} is {value}: its features are not finite")
            elif value < monitor.share_of_init * start:
                limit = f"{100 * monitor.share_of_init:.0f} % of its value at init ({_text(start)})"
                alarms.append(f"{monitor.title} of {level} fell to {_text(value)}, below {limit}")
            elif value < monitor.least:
                limit = f"{monitor.least:g}: {monitor.below_least}"
                alarms.append(f"{monitor.title} of {level} is {_text(value)}, below {limit}")
    return [*alarms, *([] if first else _shuffled_alarms(now)), *_gradient_alarms(now)]


def _shuffled_alarms(now: Measured) -> list[str]:
    """For levels of which no direction tells one video from another."""
    ratios: dict[str, dict[str, float]] = {}
    for monitor, by_level in now.items():
        for level, ratio in by_level.items() if monitor.startswith(SHUFFLED) else ():
            ratios.setdefault(level, {})[monitor.removeprefix(SHUFFLED)] = ratio
    return [
        f"predictions of {level} say nothing about the video: in every direction their error is at least "
        f"{100 * MAX_SHUFFLED_RATIO:.1f} % of that against another video's target ("
        + ", ".join(f"{direction} {100 * ratio:.1f} %" for direction, ratio in by_direction.items())
        + ")"
        for level, by_direction in ratios.items()
        if not any(ratio < MAX_SHUFFLED_RATIO for ratio in by_direction.values())
    ]


def _gradient_alarms(now: Measured) -> list[str]:
    norms = now.get("grad_norm", {})
    return [
        f"gradient norm of {group} is 0: it does not learn" if norm == 0 else f"gradient norm of {group} is not finite"
        for group, norm in norms.items()
        if norm == 0 or not math.isfinite(norm)
    ]


def _text(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def end_run_on_alarms(alarms: Sequence[str], step: int) -> None:
    """For `strict_monitors`: call it where the checkpoint and the records of the validation are saved.

    Raises:
        InputError: there is an alarm.
    """
    if alarms:
        more = f" (and {len(alarms) - 1} more)" if len(alarms) > 1 else ""
        raise InputError(
            f"strict_monitors: alarm at step {step}: {alarms[0]}{more}; last.pt is saved: resume with "
            "strict_monitors=false, or start a new run with other weights of losses and regulariser"
        )
