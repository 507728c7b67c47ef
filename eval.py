"""Everything that scores an encoder: kNN, linear probe, and the floors beside them."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from config.errors import InputError
from config.schema import Config
from data_utils.bad_videos import BadVideos
from data_utils.catalog import Catalog
from data_utils.labels import LabelSet, part_shares
from data_utils.loader import Batch, Loader
from data_utils.views import crops_per_window, evaluation_views
from monitors import (
    Singles,
    collapse_alarms,
    effective_rank,
    feature_monitors,
    gradient_norms,
    shuffled_ratios,
    spread,
)
from tasks.task import Task

Scores = dict[str, dict[str, float]]
"""Accuracy in percent by level and label set."""

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
Scorer = Callable[[FloatArray, IntArray, FloatArray, IntArray], float]
"""Accuracy in [0, 1] on (query features, query labels), given (known features, known labels)."""

logger = logging.getLogger(__name__)

MONITOR_BATCHES = 8  # of validation windows, on which predictions are compared with shuffled targets


@dataclass(frozen=True)
class EncodedSplit:
    """A split as an encoder sees it.

    Attributes:
        features: by number of parts K and level: [N, K, D], the mean over windows, their crops, and units of each K-th
            of a video.
        singles: single units and windows, for the monitors.
        labels: the label sets of the N videos.
        rows: [N] catalog rows; a video that could not be read is absent.
    """

    features: dict[int, dict[str, FloatArray]]
    singles: Singles
    labels: dict[str, LabelSet]
    rows: IntArray


@torch.no_grad()
def encode_split(
    encoder: nn.Module, catalog: Catalog, config: Config, device: torch.device, bad_videos: BadVideos
) -> EncodedSplit:
    """Encodes every evaluation window and crop of a split and averages to one vector per video, part and level.

    Args:
        encoder: gives Features; left in the mode that it was in.
        catalog: the split.
        config: the whole config.
        device: where the encoder is.
        bad_videos: is told what cannot be read.

    Raises:
        InputError: no video is left, or too many cannot be read.
    """
    labels = catalog.labels
    parts = sorted({1} | {label_set.values.shape[1] for label_set in labels.values()})
    sums: dict[int, dict[str, Tensor]] = {count: {} for count in parts}
    weights: dict[int, dict[str, Tensor]] = {count: {} for count in parts}
    windows = len(catalog.table) * config.window.eval_windows * crops_per_window(config)
    singles = Singles(windows, config.seed)
    lengths_N = torch.from_numpy(catalog.table["frames"].to_numpy(np.int64, copy=True))
    was_training = encoder.training
    encoder.eval()
    for batch in evaluation_batches(catalog, config, bad_videos):
        views = evaluation_views(batch, config, device)
        features = encoder(views.video_BTCHW)
        singles.add(features, views.rows_B)
        for level, units_BUD in features.items():
            for count in parts:
                share_BKU = part_shares(views.frames_BT, lengths_N[views.rows_B], units_BUD.shape[1], count)
                total_NKD = sums[count].setdefault(level, torch.zeros(len(lengths_N), count, units_BUD.shape[2]))
                total_NKD.index_add_(0, views.rows_B, (share_BKU.to(device) @ units_BUD.float()).cpu())
                weight_NK = weights[count].setdefault(level, torch.zeros(len(lengths_N), count))
                weight_NK.index_add_(0, views.rows_B, share_BKU.sum(dim=2))
    encoder.train(was_training)
    seen_N = _fully_seen(weights, catalog)
    return EncodedSplit(
        features={
            count: {lv: (sums[count][lv][seen_N] / weights[count][lv][seen_N, :, None]).numpy() for lv in sums[count]}
            for count in parts
        },
        singles=singles,
        labels={name: replace(known, values=known.values[seen_N.numpy()]) for name, known in labels.items()},
        rows=np.flatnonzero(seen_N.numpy()),
    )


def _fully_seen(weights: dict[int, dict[str, Tensor]], catalog: Catalog) -> Tensor:
    """[N] whether windows show every part of a video: where they do not, it is left out rather than guessed."""
    if not weights[1]:
        raise InputError(f"no video of the split {catalog.split} can be read any more; bad_videos.csv says why")
    # All levels see the same frames: any one will do.
    shown = {count: next(iter(by_level.values())).amin(dim=1) > 0 for count, by_level in weights.items()}
    seen_N = torch.stack(list(shown.values())).all(dim=0)
    missed = int((shown[1] & ~seen_N).sum())
    advice = "some of its labels are of parts that no window shows; raise window.eval_windows"
    if not seen_N.any():
        raise InputError(f"no video of the split {catalog.split} can be scored: {advice}")
    if missed:
        logger.warning("%s: %d videos are left out: %s", catalog.split, missed, advice)
    return seen_N


def evaluation_batches(catalog: Catalog, config: Config, bad_videos: BadVideos) -> Iterator[Batch]:
    """The batches of a split, in order; processes that decode live as long as this does."""
    with closing(Loader(catalog, config, config.batch_size, config.seed, training=False)) as loader:
        for batch in loader.epoch(0):
            bad_videos.add(catalog.failures(batch.failed))
            if len(batch.row_B):
                yield batch


# ------------------------------------------------------------------------------------------------------ scores


def knn_scores(bank: EncodedSplit, queries: EncodedSplit, k: int, temperature: float) -> Scores:
    """KNN accuracy of every level on every label set, in percent.

    A label set with K parts is scored part by part, the mean counts.
    """

    def score(bank_ND: FloatArray, bank_N: IntArray, query_MD: FloatArray, query_M: IntArray) -> float:
        return float((knn_predict(bank_ND, bank_N, query_MD, k, temperature) == query_M).mean())

    return _score_everything(bank, queries, score)


def probe_scores(train: EncodedSplit, test: EncodedSplit) -> Scores:
    """Accuracy of a linear probe (logistic regression on standardised features) fitted on train, in percent."""
    # Late: their imports take seconds, and training is under way by then.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def score(train_ND: FloatArray, train_N: IntArray, test_MD: FloatArray, test_M: IntArray) -> float:
        if len(np.unique(train_N)) < 2:
            return float((test_M == train_N[0]).mean())
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
        return float(probe.fit(train_ND, train_N).score(test_MD, test_M))

    return _score_everything(train, test, score)


def _score_everything(bank: EncodedSplit, queries: EncodedSplit, score: Scorer) -> Scores:
    scores: Scores = {}
    for level in bank.features[1]:
        scores[level] = {}
        for name, label_set in bank.labels.items():
            parts = label_set.values.shape[1]
            known, asked = bank.features[parts][level], queries.features[parts][level]
            mine, theirs = label_set.is_known, queries.labels[name].is_known  # videos without a label are not scored
            if not (mine.any() and theirs.any()):  # the catalog has said so
                continue
            answers, truth = label_set.values[mine], queries.labels[name].values[theirs]
            accuracies = [score(known[mine, i], answers[:, i], asked[theirs, i], truth[:, i]) for i in range(parts)]
            scores[level][name] = 100 * float(np.mean(accuracies))
    return scores


def knn_predict(
    bank_ND: FloatArray, labels_N: IntArray, queries_MD: FloatArray, k: int, temperature: float
) -> IntArray:
    """The class that the k nearest neighbours vote for (weighted kNN of Wu et al., 2018, arXiv 1805.01978).

    Features are centred by the bank's mean and L2-normalised; a neighbour of cosine s counts exp(s / temperature).

    Args:
        bank_ND: [N, D].
        labels_N: [N] int, from 0.
        queries_MD: [M, D].
        k: neighbours; fewer when the bank is smaller.
        temperature: of the votes.

    Returns:
        [M].
    """
    mean_D = bank_ND.mean(axis=0)
    bank = F.normalize(torch.from_numpy(bank_ND - mean_D), dim=1)
    queries = F.normalize(torch.from_numpy(queries_MD - mean_D), dim=1)
    labels = torch.from_numpy(labels_N)
    votes_MC = torch.zeros(len(queries), int(labels.max()) + 1)
    for start in range(0, len(queries), 1024):
        cosine, neighbour = (queries[start : start + 1024] @ bank.T).topk(min(k, len(bank)), dim=1)
        # exp of a difference: the largest vote is 1, whatever the temperature.
        vote = ((cosine - cosine[:, :1]) / temperature).exp()
        votes_MC[start : start + 1024].scatter_add_(1, labels[neighbour], vote)
    predicted: IntArray = votes_MC.argmax(dim=1).numpy()
    return predicted


@torch.no_grad()
def classifier_score(classifier: nn.Module, split: EncodedSplit, labels: str, device: torch.device) -> float:
    """Accuracy in percent of a task's own classifier on the last level's features."""
    known_N = split.labels[labels].is_known
    features_ND = torch.from_numpy(list(split.features[1].values())[-1][known_N, 0]).to(device)
    predicted_N = classifier(features_ND).argmax(dim=1).cpu().numpy()
    return 100 * float((predicted_N == split.labels[labels].values[known_N, 0]).mean())


def chance(labels: LabelSet) -> float:
    """Accuracy in percent of always naming each part's commonest class."""
    counts = [np.bincount(values).max() / len(values) for values in labels.values[labels.is_known].T if len(values)]
    return 100 * float(np.mean(counts)) if counts else 0.0


def confidence_interval(accuracy: float, samples: int) -> float:
    """Half the width of the 95 % interval of an accuracy (Wilson, 1927), both in percent."""
    if samples == 0:
        return 100.0
    p, z = accuracy / 100, 1.96
    return 100 * z / (1 + z**2 / samples) * math.sqrt(p * (1 - p) / samples + z**2 / (4 * samples**2))


# ------------------------------------------------------------------------------------- validation and final test


@dataclass(frozen=True)
class Validation:
    """What kNN says of every level on the validation videos, and whether a level collapses."""

    knn: dict[str, dict[str, dict[str, float]]]
    """By level and label set: `top1`, and its floors `random_init` and `chance`, in percent."""
    rank: dict[str, float]
    std: dict[str, float]
    monitors: dict[str, dict[str, float]]
    """The other monitors, by name and level; `cka` by pair of levels."""
    alarms: list[str]

    def measured(self) -> dict[str, dict[str, float]]:
        """All monitors, rank and std among them."""
        return {"rank": self.rank, "std": self.std, **self.monitors}


MIN_CHOICE = 10  # validation videos; with fewer, one of them is more than a tenth of the score


def why_no_choice(own: Mapping[str, LabelSet]) -> str | None:
    """Why scores on a validation split cannot choose between checkpoints; None where they can.

    Args:
        own: by level, the label set of the split that the level is judged by.
    """
    if not own:
        return "no level is scored"
    known = [label_set.values[label_set.is_known] for label_set in own.values()]
    videos = min(map(len, known))
    if videos == 0:
        return "no validation video has a label"
    if videos < MIN_CHOICE:
        are = "is only 1 validation video" if videos == 1 else f"are only {videos} validation videos"
        return f"there {are} with a label"
    if all(len(np.unique(values)) < 2 for values in known):
        return "all validation videos have the same label"
    return None


class Validator:
    """Scores a task's encoder by kNN (training videos are the bank, validation videos the queries), and watches it."""

    def __init__(
        self,
        task: Task,
        catalogs: Mapping[str, Catalog],
        config: Config,
        device: torch.device,
        bad_videos: BadVideos,
    ) -> None:
        self._task, self._config, self._device, self._bad_videos = task, config, device, bad_videos
        self._bank = catalogs["train"].sample(config.knn_bank, config.seed)
        self._queries = catalogs["val"]

    def run(self, at_init: Validation | None, records: Sequence[Mapping[str, Any]] = ()) -> Validation:
        """One validation.

        Args:
            at_init: the validation of the untrained encoder; None where this is it.
            records: of metrics.jsonl so far, for the gradient norms since the last validation.
        """
        config = self._config
        bank, queries = (
            encode_split(self._task.encoder, catalog, config, self._device, self._bad_videos)
            for catalog in (self._bank, self._queries)
        )
        top1 = knn_scores(bank, queries, config.knn_k, config.knn_temperature)
        floor = {lv: {name: s["top1"] for name, s in by.items()} for lv, by in at_init.knn.items()} if at_init else top1
        videos = {level: features_N1D[:, 0] for level, features_N1D in queries.features[1].items()}
        monitors = feature_monitors(queries.singles, videos)
        monitors |= shuffled_ratios(self._task, self._single_windows(), config.seed)
        monitors |= {"grad_norm": gradient_norms(records)} if at_init else {}
        is_first = sum(record["kind"] == "validation" for record in records) < 2  # the one at init is among them
        return Validation(
            knn={
                level: {
                    name: {"top1": score, "random_init": floor[level][name], "chance": chance(queries.labels[name])}
                    for name, score in by_labels.items()
                }
                for level, by_labels in top1.items()
            },
            alarms=collapse_alarms(monitors, at_init.measured(), first=is_first) if at_init else [],
            rank=monitors.pop("rank"),
            std=monitors.pop("std"),
            monitors=monitors,
        )

    def _single_windows(self) -> Iterator[Tensor]:
        """A few batches of normalised validation windows, the middle one of each of as many videos."""
        config = self._config
        window = config.window.model_copy(update={"eval_windows": 1})
        crop = "centre" if config.eval_crop == "three" else config.eval_crop
        # Batches of one window have no other video to compare with.
        batch_size = max(2, config.batch_size)
        config = config.model_copy(update={"window": window, "batch_size": batch_size, "eval_crop": crop})
        for batch in evaluation_batches(
            self._queries.sample(MONITOR_BATCHES * batch_size, config.seed), config, self._bad_videos
        ):
            yield evaluation_views(batch, config, self._device).video_BTCHW


def final_test(
    task: Task,
    at_init: nn.Module,
    catalogs: Mapping[str, Catalog],
    target: str | None,
    config: Config,
    device: torch.device,
    bad_videos: BadVideos,
) -> tuple[dict[str, Any], EncodedSplit]:
    """Scores the trained encoder, and the untrained one for the floors, on the test split.

    Args:
        task: trained.
        at_init: the same encoder, untrained.
        catalogs: all splits; train is the bank of kNN and what the probes are fitted on.
        target: the last level's label set; None: it has none.
        config: the whole config.
        device: where the models are.
        bad_videos: is told what cannot be read.

    Returns:
        the results for summary.json, and the encoded test split.
    """
    train, test = (encode_split(task.encoder, catalogs[s], config, device, bad_videos) for s in ("train", "test"))
    init_train, init_test = (encode_split(at_init, catalogs[s], config, device, bad_videos) for s in ("train", "test"))
    k, temperature = config.knn_k, config.knn_temperature
    results: dict[str, Any] = {
        "knn": with_floors(
            knn_scores(train, test, k, temperature), knn_scores(init_train, init_test, k, temperature), test
        ),
        "linear_probe": with_floors(probe_scores(train, test), probe_scores(init_train, init_test), test),
        "rank": _beside_init(effective_rank, test, init_test),
        "std": _beside_init(spread, test, init_test),
        "test_videos": len(test.rows),
    }
    if task.classifier is not None and target is not None and test.labels[target].is_known.any():
        score = classifier_score(task.classifier, test, target, device)
        interval = confidence_interval(score, int(test.labels[target].is_known.sum()))
        results["supervised"] = {
            "top1": score,
            "chance": chance(test.labels[target]),
            "interval": interval,
            "labels": target,
        }
    return results, test


def _beside_init(
    measure: Callable[[FloatArray], float], trained: EncodedSplit, untrained: EncodedSplit
) -> dict[str, dict[str, float]]:
    """What `measure` gives for the single units of each level, trained and untrained."""
    final, at_init = trained.singles.units(), untrained.singles.units()
    return {level: {"final": measure(final[level]), "random_init": measure(at_init[level])} for level in final}


def with_floors(scores: Scores, at_init: Scores, split: EncodedSplit) -> dict[str, dict[str, dict[str, float]]]:
    """Every score with its floors, and half its 95 % interval for the number of videos: by level and label set."""
    return {
        level: {
            name: {
                "top1": score,
                "random_init": at_init[level][name],
                "chance": chance(split.labels[name]),
                "interval": confidence_interval(score, int(split.labels[name].is_known.sum())),
            }
            for name, score in by_labels.items()
        }
        for level, by_labels in scores.items()
    }
