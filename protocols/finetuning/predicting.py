"""What a fine-tuned network says of the videos of a split: the mean over windows and their crops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_utils.batches.loader import Batch
from data_utils.catalog.annotations.multi import MultiLabelSet
from data_utils.views.views import evaluation_views
from protocols.encoded import EncodedData
from protocols.encoded_split import IntArray
from protocols.finetuning.network import LearningTask
from protocols.finetuning.targets import Targets
from protocols.predictions import MultiPredictions, Predictions, ViewPredictions


@torch.no_grad()
def predictions_of(
    task: LearningTask, data: EncodedData, split: str, targets: Targets, autocast: torch.autocast
) -> Predictions | MultiPredictions | None:
    """What it says of each video of a split that has a label, and each part of which a window shows.

    Args:
        task: left in evaluation mode.
        data: its windows, and where to compute.
        split: which one.
        targets: the labels of its videos.
        autocast: in which the network runs.

    Returns:
        None where there is no such video.
    """
    task.eval()
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    lengths_N = torch.from_numpy(data.catalogs[split].table["frames"].to_numpy(np.int64, copy=True))
    for batch in _labelled(data.windows(split), torch.from_numpy(targets.labels.is_known.copy())):
        views = evaluation_views(batch, data.config, data.device)
        lengths_B = lengths_N[views.rows_B].to(data.device)
        with autocast:
            said_BKC, share_BK = task.classify(views.video_BTCHW, views.frames_BT.to(data.device), lengths_B)
        found.append((views.rows_B, said_BKC.cpu(), share_BK.cpu()))
    if not found:
        return None
    row_V, probabilities_VKC, share_VK = (torch.cat(tensors).numpy() for tensors in zip(*found, strict=True))
    rows_N, video_V = np.unique(row_V, return_inverse=True)
    shown_NK = np.zeros((len(rows_N), share_VK.shape[1]), np.bool_)
    np.logical_or.at(shown_NK, video_V, share_VK > 0)
    whole_N: NDArray[np.bool_] = np.all(shown_NK, axis=1)
    if not whole_N.any():
        return None
    of_whole_V = whole_N[video_V]
    number_N = np.cumsum(whole_N) - 1
    views_of_whole = ViewPredictions(
        probabilities_VKC[of_whole_V], number_N[video_V[of_whole_V]], share_VK[of_whole_V] > 0
    )
    return _of_videos(task.level, targets, rows_N[whole_N], views_of_whole, task.learning.average == "logits")


def _labelled(batches: Iterator[Batch], known_N: Tensor) -> Iterator[Batch]:
    """The windows of videos with a label."""
    for batch in batches:
        known_B = known_N[batch.row_B]
        if known_B.any():
            video_BTCHW, row_B, frames_BT = (
                tensor[known_B] for tensor in (batch.video_BTCHW, batch.row_B, batch.frames_BT)
            )
            yield replace(batch, video_BTCHW=video_BTCHW, row_B=row_B, frames_BT=frames_BT)


def _of_videos(
    level: str, targets: Targets, rows_N: IntArray, views: ViewPredictions, logits: bool
) -> Predictions | MultiPredictions:
    kept = np.zeros(len(targets.labels.is_known), np.bool_)
    kept[rows_N] = True
    probabilities_NKC = views.of_videos(len(rows_N), logits and not targets.multi)
    if isinstance(targets.labels, MultiLabelSet):
        return MultiPredictions(level, targets.labels.with_rows(kept), rows_N, probabilities_NKC[:, 0])
    return Predictions(level, targets.labels.with_rows(kept), rows_N, probabilities_NKC, views)
