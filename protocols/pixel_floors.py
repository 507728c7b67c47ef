"""How far the pixels go without any learning: the floor that says whether an encoder was worth its training.

Looks at the pixels stand in for the levels of an encoder, so that protocols score them as they score features: the same
videos, windows, crops, averages and settings. On real videos, these beat weak encoders by far.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from architecture.encoder import Features
from config.errors import InputError
from config.schema import Config
from data_utils.batches.loader import Batch
from data_utils.views.views import crops_per_window, evaluation_views
from protocols.encoded_split import FloatArray
from protocols.encoding import evaluation_batches
from protocols.evaluation import EvaluationData, Plan
from runs.process.seeds import numpy_generator
from runs.results import Result

COMPONENTS = 64
"""A frame is seen as so many principal components of training frames."""

FIT_FRAMES, FIT_VIDEOS = 4096, 512
"""Frames, and training videos that they are of, that these are found from at most."""

FRAME_VALUES = 4096
"""Values of a frame at most; squares of pixels of larger ones are averaged."""

MAX_VIDEOS = 20_000
"""The most videos of a split that are looked at; of more, so many are drawn."""

MEAN, IN_ORDER, DIFFERENCES = "mean frame", "frames in order", "frame differences"
_DRAW = 7  # the last word of a generator's key, which keeps its draws apart from others

logger = logging.getLogger(__name__)


class PixelEncoder(nn.Module):
    """Looks at the pixels of a window in place of the levels of an encoder; nothing in it is trained.

    Args:
        side: of the squares of pixels that are averaged; 1: none are.
        mean_P: of a frame's values.
        axes_PQ: principal axes of frames.
    """

    mean_P: Tensor
    axes_PQ: Tensor

    def __init__(self, side: int, mean_P: Tensor, axes_PQ: Tensor) -> None:
        super().__init__()
        self.side = side
        self.register_buffer("mean_P", mean_P)
        self.register_buffer("axes_PQ", axes_PQ)

    def forward(self, video_BTCHW: Tensor) -> Features:
        """By look: one unit for each window, [B, 1, D]."""
        with torch.autocast(video_BTCHW.device.type, enabled=False):
            frames_BTQ = (frame_values(video_BTCHW, self.side) - self.mean_P) @ self.axes_PQ
        seen = {MEAN: frames_BTQ.mean(dim=1)}
        if frames_BTQ.shape[1] > 1:
            seen |= {IN_ORDER: frames_BTQ.flatten(1), DIFFERENCES: frames_BTQ.diff(dim=1).flatten(1)}
        return {name: look_BD[:, None] for name, look_BD in seen.items()}


def frame_values(video_BTCHW: Tensor, side: int) -> Tensor:
    """The frames of windows as vectors, [B, T, P]; squares of `side` pixels become one."""
    frames = video_BTCHW.float().flatten(0, 1)
    if side > 1:
        frames = F.avg_pool2d(frames, side)
    return frames.reshape(*video_BTCHW.shape[:2], -1)


def pixel_floors(plan: Plan, split: str, device: torch.device) -> list[Result]:
    """The scores of pixels on a split, by the evaluations that they are a floor of, with the settings of these.

    Returns:
        Results whose level is the name of a look; [] where nothing has labels.
    """
    results = []
    for data, evaluations in plan.on(split):
        scored = [each for each in evaluations if each.protocol.has_pixel_floor and any(each.labels.values())]
        if not scored:
            continue
        encoder = pixel_encoder(data, device)
        seen = _limited(data).seen_by(encoder, device)
        for evaluation in scored:
            names = list(dict.fromkeys(name for of_level in evaluation.labels.values() for name in of_level))
            labels = dict.fromkeys(looks_at(data.config), names)
            results += replace(evaluation, labels=labels, own={}).results(split, seen, None)
        seen.discard_files()
    return results


def looks_at(config: Config) -> list[str]:
    """The looks at windows of a config: those of one frame have neither order nor differences."""
    return [MEAN, IN_ORDER, DIFFERENCES] if config.window.length > 1 else [MEAN]


def _limited(data: EvaluationData) -> EvaluationData:
    """The data with at most `MAX_VIDEOS` of each split."""
    catalogs = dict(data.catalogs)
    for split, catalog in data.catalogs.items():
        if len(catalog.table) > MAX_VIDEOS:
            catalogs[split] = catalog.sample(MAX_VIDEOS, data.config.seed)
            logger.info(
                "pixel floors look at %d of %d %s videos of %s, drawn at random",
                *(MAX_VIDEOS, len(catalog.table), split, data.name),
            )
    return replace(data, catalogs=catalogs)


# ------------------------------------------------------------------------------------------ the axes of the frames


def pixel_encoder(data: EvaluationData, device: torch.device) -> PixelEncoder:
    """The looks at a dataset's pixels, with the principal axes of frames of its training videos."""
    side = averaged_side(data.config.frame_size)
    return PixelEncoder(side, *principal_axes(_training_frames(data, side, device))).to(device)


def averaged_side(frame_size: Sequence[int]) -> int:
    """Side of the squares that are averaged, so that a frame has at most `FRAME_VALUES` values; 1: none are."""
    height, width = frame_size
    side = 1
    while 3 * (height // side) * (width // side) > FRAME_VALUES:
        side += 1
    return side


def principal_axes(frames_MP: FloatArray) -> tuple[Tensor, Tensor]:
    """Mean [P] and the first `COMPONENTS` principal axes [P, Q] of frames, fewer where they span fewer."""
    from sklearn.decomposition import PCA

    count = min(COMPONENTS, *frames_MP.shape)
    pca = PCA(count, svd_solver="randomized", iterated_power=2, random_state=0).fit(frames_MP)
    return torch.from_numpy(pca.mean_).float(), torch.from_numpy(pca.components_.T.copy()).float()


@torch.no_grad()
def _training_frames(data: EvaluationData, side: int, device: torch.device) -> FloatArray:
    """[M, P] some frames of some training videos, at most `FIT_FRAMES`."""
    config = data.config
    views = config.window.eval_windows * crops_per_window(config)
    videos = len(data.catalogs["train"].table)
    count = max(1, min(FIT_VIDEOS, videos, FIT_FRAMES // views))
    step = math.ceil(config.window.length * views * count / FIT_FRAMES)
    frames = []
    for batch in _windows_of_some(data, count):
        video_BTCHW = evaluation_views(batch, config, device).video_BTCHW[:, ::step]
        frames.append(frame_values(video_BTCHW, side).flatten(0, 1).cpu())
    if not frames:
        raise InputError("no video of the split train can be read any more; bad_videos.csv says why")
    found: FloatArray = torch.cat(frames).numpy()
    return found


def _windows_of_some(data: EvaluationData, count: int) -> Iterator[Batch]:
    """The evaluation windows of so many training videos, which are not read where memory has those of all."""
    catalog = data.catalogs["train"]
    videos = len(catalog.table)
    drawn = numpy_generator(data.config.seed, videos, _DRAW).permutation(videos)[:count]
    keep_N = np.isin(np.arange(videos), drawn)
    read = (data.config, data.bad_videos)
    if not data.memory.has(("train", videos)):
        yield from evaluation_batches(catalog.with_rows(keep_N), *read)
        return
    for batch in data.memory.batches(("train", videos), catalog, *read):
        chosen = torch.from_numpy(keep_N)[batch.row_B]
        if chosen.any():
            yield replace(
                batch,
                video_BTCHW=batch.video_BTCHW[chosen],
                row_B=batch.row_B[chosen],
                frames_BT=batch.frames_BT[chosen],
            )
