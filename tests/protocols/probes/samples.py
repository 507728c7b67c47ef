"""Label sets, and splits with several views of each video, that the tests of probes share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from data_utils.catalog.annotations.classes import LabelSet
from data_utils.catalog.annotations.multi import MultiLabelSet
from monitors import Singles
from protocols.encoded_split import EncodedSplit, Groups
from tests.protocols.clouds import label_set, rng

CPU = torch.device("cpu")


def multi_set(shows: Any, is_known: Any = None) -> MultiLabelSet:
    """Several classes of a video at once, under the name `shows`."""
    shows_NC = np.asarray(shows, np.bool_)
    known_N = np.ones(len(shows_NC), np.bool_) if is_known is None else np.asarray(is_known, np.bool_)
    return MultiLabelSet("shows", [f"class {number}" for number in range(shows_NC.shape[1])], shows_NC, known_N)


def viewed(
    views_VKD: Any,
    video_V: Any,
    labels: LabelSet | MultiLabelSet,
    shown_VK: Any = None,
    groups: Groups = None,
) -> EncodedSplit:
    """A split of one level whose videos have several views."""
    video_V = np.asarray(video_V, np.int64)
    views_VKD = np.asarray(views_VKD, np.float32)
    parts, videos = views_VKD.shape[1], len(labels.is_known)
    shown = np.ones(views_VKD.shape[:2]) if shown_VK is None else np.asarray(shown_VK)
    sums, weights = np.zeros((videos, *views_VKD.shape[1:])), np.zeros((videos, parts))
    np.add.at(sums, video_V, views_VKD * shown[:, :, None])
    np.add.at(weights, video_V, shown)
    means = (sums / np.maximum(weights, 1e-12)[:, :, None]).astype(np.float32)
    return EncodedSplit(
        {parts: {"space": means}},
        Singles({}, {}, np.arange(videos)),
        {labels.name: labels} if isinstance(labels, LabelSet) else {},
        np.arange(videos),
        views={parts: {"space": views_VKD}},
        view_shown={parts: shown.astype(np.float32)},
        view_video=video_V,
        view_frames=np.zeros((len(video_V), 0), np.int64),
        multi={labels.name: labels} if isinstance(labels, MultiLabelSet) else {},
        groups=groups,
    )


def noisy(videos: int, seed: int, views: int = 1, parts: int = 1, dim: int = 6, classes: int = 4) -> EncodedSplit:
    """Videos of overlapping classes; `seed` draws the videos, the clouds are always the same."""
    centre = rng(99).normal(size=(classes, dim))
    values = rng(seed).integers(classes, size=(videos, parts))
    video_V = np.repeat(np.arange(videos), views)
    return viewed(
        centre[values[video_V]] + rng(seed + 1).normal(size=(len(video_V), parts, dim)),
        video_V,
        label_set(values, classes),
    )
