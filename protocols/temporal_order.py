"""Temporal order: can frozen features tell a window from its reverse, and from its shuffle? No labels are needed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from config.section import AboveZero, Positive, Section
from protocols.protocol import Protocol, Score, Subject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from data_utils.views.views import EvaluationViews
    from protocols.encoded_split import FloatArray, Groups, IntArray

KINDS = ("reversed", "shuffled")
"""What a window is to be told from, in the order of arrays."""
_DRAW = 6  # the last word of a generator's key, which keeps shuffles apart from other draws

logger = logging.getLogger(__name__)


class TemporalOrderSettings(Section):
    """`settings` of an evaluation by `protocol: temporal_order`."""

    videos: Positive = Field(
        default=500, description="at most so many training videos, and as many of the split that is scored"
    )
    units: Literal["in_order", "mean"] = Field(
        default="in_order",
        description="what the probe sees of a window: the units of a level one after another (patches as the mean of "
        "each frame), or their mean, as kNN and other probes do; a mean over single frames has no order at all",
    )
    inverse_penalty: AboveZero = Field(
        default=0.1, description="C of the logistic regression: the smaller, the stronger its L2 penalty"
    )
    max_iter: Positive = Field(default=300, description="iterations of its solver (L-BFGS) at most")


class TemporalOrder(Protocol[TemporalOrderSettings]):
    """How often a linear probe tells windows from the same frames backwards, and from the same frames shuffled.

    The probe learns on windows of training videos and is asked about those of other videos, so it must find what time
    looks like in general. Half of what it is asked about is as it was: chance is 50 %. The arrow of time as a test of
    what is known of motion is that of Pickup et al. (2014, CVPR, "Seeing the Arrow of Time"), the shuffle that of Misra
    et al. (2016, arXiv 1603.08561).
    """

    Settings = TemporalOrderSettings
    title = "temporal order"
    heading = "Temporal order"
    note = "A linear probe on frozen features tells windows from the same frames backwards, and shuffled."
    needs_labels = False

    def score(self, subject: Subject) -> list[Score]:
        """See `Protocol.score`; labels are not looked at."""
        if subject.data.config.window.length < 2:
            logger.warning("temporal order is not scored: windows of a single frame have none")
            return []
        train = encode_orders(subject, "train", self.settings)
        test = encode_orders(subject, subject.split, self.settings)
        levels = [level for level in test.features if level in subject.labels or not subject.labels]
        return order_scores(train, test, levels, self.settings)


@dataclass(frozen=True)
class Orders:
    """Windows of a split, each forward, reversed and shuffled, as an encoder sees them."""

    features: dict[str, FloatArray]
    """By level, [W, 3, D]: forward, and as `KINDS` has it."""
    differs_W2: NDArray[np.bool_]
    """Whether the reversed and the shuffled frames are other than the window's own, pixel by pixel."""
    video_W: IntArray
    """The catalog row of each window's video."""
    groups_W: Groups
    """Whatever may not be counted as independent: the group of each window's video; None: each video is one."""


def encode_orders(subject: Subject, split: str, settings: TemporalOrderSettings) -> Orders:
    """Encodes the evaluation windows of some videos of a split in three orders; the encoder is left as it was."""
    import torch

    from protocols.encoded_split import groups_of

    encoder, was_training = subject.data.encoder, subject.data.encoder.training
    encoder.eval()
    try:
        with torch.no_grad():
            found = list(_encoded(subject, split, settings))
    finally:
        encoder.train(was_training)
    features = {level: torch.cat([part[level] for part, _, _ in found]).numpy() for level in found[0][0]}
    differs_W2 = torch.cat([differs for _, differs, _ in found]).numpy()
    video_W = torch.cat([rows for _, _, rows in found]).numpy()
    _tell_alike(differs_W2, split)
    catalog = subject.data.catalogs[split]
    groups_N = groups_of(catalog.sample(settings.videos, subject.data.config.seed))
    return Orders(features, differs_W2, video_W, None if groups_N is None else groups_N[video_W])


def _encoded(
    subject: Subject, split: str, settings: TemporalOrderSettings
) -> Iterator[tuple[dict[str, Tensor], Tensor, Tensor]]:
    """By batch: features [W, 3, D] of every level, whether frames differ [W, 2], and rows [W]; on the CPU."""
    import torch

    from data_utils.views.views import evaluation_views
    from runs.precision import autocast_dtype

    data = subject.data
    dtype = autocast_dtype(data.config, data.device)
    for batch in data.windows(split, settings.videos):
        views = evaluation_views(batch, data.config, data.device)
        shuffles = [shuffle(subject.seed, *key, views.frames_BT.shape[1]) for key in _keys(views)]
        orders = [views.video_BTCHW, views.video_BTCHW.flip(1), reordered(views.video_BTCHW, torch.stack(shuffles))]
        by_order: list[dict[str, Tensor]] = []
        for video_BTCHW in orders:
            with torch.autocast(data.device.type, dtype, enabled=dtype is not None):
                features = data.encoder(video_BTCHW)
            frames = video_BTCHW.shape[1]
            by_order.append(
                {level: joined(units.float(), frames, settings.units).cpu() for level, units in features.items()}
            )
        differs = torch.stack([(other != orders[0]).flatten(1).any(dim=1) for other in orders[1:]], dim=1)
        stacked = {level: torch.stack([part[level] for part in by_order], dim=1) for level in by_order[0]}
        yield stacked, differs.cpu(), views.rows_B.cpu()


def _keys(views: EvaluationViews) -> list[tuple[int, int]]:
    """The video and the first frame of each window: crops of one window are shuffled alike."""
    return list(zip(views.rows_B.tolist(), views.frames_BT[:, 0].tolist(), strict=True))


def shuffle(seed: int, row: int, first: int, frames: int) -> Tensor:
    """An order of a window's frames, [T], never their own; of two frames, the other one.

    Args:
        seed: of the protocol.
        row: of the video in the catalog.
        first: the position of the window's first frame in its video.
        frames: T, at least 2.
    """
    import torch

    from runs.process.seeds import torch_generator

    generator, own_T = torch_generator(seed, row, first, _DRAW), torch.arange(frames)
    order_T = own_T
    while torch.equal(order_T, own_T):
        order_T = torch.randperm(frames, generator=generator)
    return order_T


def reordered(video_BTCHW: Tensor, order_BT: Tensor) -> Tensor:
    """Each window with its frames in another order."""
    import torch

    window_B1 = torch.arange(len(video_BTCHW), device=video_BTCHW.device)[:, None]
    return video_BTCHW[window_B1, order_BT.to(video_BTCHW.device)]


def joined(units_BUD: Tensor, frames: int, how: Literal["in_order", "mean"]) -> Tensor:
    """One vector for each window.

    Args:
        units_BUD: of a level, in order of time; of several units of each frame, those of the first frame come first.
        frames: of a window.
        how: one after another, [B, U * D], where units of one frame are averaged first; or their mean, [B, D].
    """
    if how == "mean":
        return units_BUD.mean(dim=1)
    if units_BUD.shape[1] > frames:
        units_BUD = units_BUD.unflatten(1, (frames, -1)).mean(dim=2)
    return units_BUD.flatten(1)


def _tell_alike(differs_W2: NDArray[np.bool_], split: str) -> None:
    """Says how many windows no features can tell from their reverse or shuffle."""
    for kind, differs_W in zip(KINDS, differs_W2.T, strict=True):
        if not differs_W.all():
            logger.warning(
                "temporal order: %d of %d windows of %s are the same when %s (nothing moves): they are left out",
                *(int((~differs_W).sum()), len(differs_W), split, kind),
            )


def order_scores(train: Orders, test: Orders, levels: Sequence[str], settings: TemporalOrderSettings) -> list[Score]:
    """`reversed` and `shuffled` by level: how often the probe is right, in percent, the mean over videos.

    Args:
        train: what the probe learns from.
        test: what it is asked about.
        levels: that are scored.
        settings: of the probe.
    """
    import numpy as np

    from protocols.metrics import mean_interval

    scores = []
    for number, kind in enumerate(KINDS):
        learned_W, asked_W = train.differs_W2[:, number], test.differs_W2[:, number]
        if not (learned_W.any() and asked_W.any()):
            continue
        _, first, video_W = np.unique(test.video_W[asked_W], return_index=True, return_inverse=True)
        groups_N = None if test.groups_W is None else test.groups_W[asked_W][first]
        for level in levels:
            pairs = [orders.features[level][:, [0, number + 1]] for orders in (train, test)]
            right_W2 = probe_pairs(pairs[0][learned_W], pairs[1][asked_W], settings)
            share_N = np.bincount(video_W, right_W2.mean(axis=1)) / np.bincount(video_W)
            interval = mean_interval(share_N, groups_N)
            scores.append(Score(level, None, kind, 100 * float(share_N.mean()), 50.0, interval))
    return sorted(scores, key=lambda score: levels.index(str(score.level)))


def probe_pairs(train_W2D: FloatArray, test_W2D: FloatArray, settings: TemporalOrderSettings) -> NDArray[np.bool_]:
    """Learns to tell the first of each pair from the second, and says of which it is right, [W, 2]."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    truth_train, truth_test = (np.tile([0, 1], len(pairs)) for pairs in (train_W2D, test_W2D))
    flat_train, flat_test = (pairs.reshape(-1, pairs.shape[2]) for pairs in (train_W2D, test_W2D))
    regression = LogisticRegression(C=settings.inverse_penalty, max_iter=settings.max_iter)
    named = make_pipeline(StandardScaler(), regression).fit(flat_train, truth_train).predict(flat_test)
    right: NDArray[np.bool_] = (named == truth_test).reshape(-1, 2)
    return right
