"""The course of one fine-tuning: which videos, how long, which epoch is taken, and what it says of the videos."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from math import ceil

import numpy as np
import torch
from torch import Tensor

from config.errors import InputError
from config.optimizers import AdamW, Cosine
from config.schema import Config, PredictorConfig
from data_utils.catalog.annotations.classes import LabelSet
from data_utils.catalog.annotations.multi import MultiLabelSet
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import View
from protocols.encoded_split import groups_of
from protocols.finetune import FinetuneSettings
from protocols.finetuning.few_shot import few_of_each, tell_too_few
from protocols.finetuning.network import NAME, FinetuneTask
from protocols.finetuning.targets import Targets
from protocols.finetuning.testing import predictions_of
from protocols.metrics import average_precisions
from protocols.predictions import MultiPredictions, Predictions, class_scores, multi_scores
from protocols.protocol import Score, Subject
from tasks.encoder import feature_dim
from train import Trainer, training_loader

logger = logging.getLogger(__name__)

MIN_CHOICE = 10  # validation videos with a label; fewer say too little to choose an epoch by
_BYTES = 16  # of a trained parameter: weight, gradient and AdamW's two running means in float32


def fine_tuned(subject: Subject, level: str, name: str, settings: FinetuneSettings) -> list[Score]:
    """Fine-tunes a copy of the encoder on one label set, and scores it.

    Args:
        subject: with an encoder, which is left as it is.
        level: whose features are classified.
        name: of the label set.
        settings: of the fine-tuning.

    Returns:
        What `class_scores` or `multi_scores` has; [] where there is nothing to learn from or to score.

    Raises:
        InputError: the loss or the gradient of `max_bad_steps` steps in a row was not finite.
    """
    catalogs = subject.data.catalogs
    train, tested = (Targets(labels_of(catalogs[split], name)) for split in ("train", subject.split))
    if not (train.labels.is_known.any() and tested.labels.is_known.any()):  # told when the evaluations were planned
        return []
    with _own_draws(subject.data.device):
        course = FineTuning(subject, level, name, settings)
        course.run()
        found = predictions_of(course.task, subject.data, subject.split, tested, course.trainer.autocast)
    if found is None:
        logger.warning("%s: no window shows all that the labels of the %s videos name", course.title, subject.split)
        return []
    subject.keep(found)
    groups = groups_of(catalogs[subject.split])
    groups_N = None if groups is None else groups[found.rows_N]
    return class_scores(found, groups_N) if isinstance(found, Predictions) else multi_scores(found, groups_N)


def labels_of(catalog: Catalog, name: str) -> LabelSet | MultiLabelSet:
    """The label set of that name, of whichever kind."""
    if name in catalog.labels:
        return catalog.labels[name]
    annotation = catalog.annotations[name]
    if not isinstance(annotation, MultiLabelSet):
        raise TypeError(f"'{name}' holds no classes")
    return annotation


class FineTuning:
    """One fine-tuning, on one label set.

    Args:
        subject: with the encoder.
        level: whose features are classified.
        name: of the label set.
        settings: of the fine-tuning.
    """

    def __init__(self, subject: Subject, level: str, name: str, settings: FinetuneSettings) -> None:
        self.title = f"fine-tuning of {level} on '{name}'"
        self._subject, self._settings, self._data = subject, settings, subject.data
        self._catalog, targets = self._learned(name)
        config = self._data.config
        augmentations = {"strong": config.augmentation, "weak": config.weak_augmentation, "none": None}
        self.task = FinetuneTask(
            subject.data.encoder,
            level,
            feature_dim(config, level),
            targets,
            torch.from_numpy(self._catalog.table["frames"].to_numpy(np.int64, copy=True)),
            settings,
            View(augmentation=augmentations[settings.augment]),
            subject.seed,
        ).to(self._data.device)
        batch_size = settings.batch_size or fitting_batch(config, len(self._catalog.table))
        self._config = _training_config(config, settings, batch_size, subject.seed)
        self._loader = training_loader(self.task, self._catalog, self._config)
        self.trainer = Trainer(self.task, self._config, len(self._loader), self._data.device)
        self._judge = self._judged_by(name) if settings.choose == "best" else None

    def _learned(self, name: str) -> tuple[Catalog, Targets]:
        """The training videos with a label, or a few of each class."""
        catalog = self._data.catalogs["train"]
        labels, count = labels_of(catalog, name), self._settings.few_shot
        kept_N = labels.is_known.copy()
        if count is not None:
            shows_MC = Targets(labels).shows()[kept_N]
            tell_too_few(shows_MC, labels.classes, count, self.title)
            kept_N[kept_N] = few_of_each(shows_MC, count, self._subject.seed)
        catalog = catalog.with_rows(kept_N)
        return catalog, Targets(labels_of(catalog, name))

    def _judged_by(self, name: str) -> Targets | None:
        """The labels of the validation videos, which choose the epoch; None where they cannot."""
        reason = None
        if self._subject.split == "val":
            reason = "validation videos are what is scored"
        else:
            labels = labels_of(self._data.catalogs["val"], name)
            if labels.is_known.sum() >= MIN_CHOICE:
                return Targets(labels)
            reason = f"{labels.is_known.sum()} validation videos have a label"
        logger.info("%s: the last epoch is taken, as %s", self.title, reason)
        return None

    def run(self) -> None:
        """Trains, and leaves the weights of the chosen epoch."""
        epochs = self._settings.epochs
        self._tell_beginning()
        looks = looking_epochs(epochs, self._settings.validations) if self._judge else {epochs}
        best: tuple[float, float] | None = None
        state: dict[str, Tensor] = {}
        losses: list[float] = []
        with closing(self._loader):
            for epoch in range(1, epochs + 1):
                losses += self._trained(epoch - 1)
                if epoch not in looks:
                    continue
                said, quality = self._judgement()
                mean = f"loss {np.mean(losses):.4g}" if losses else "no step"
                logger.info("%s, epoch %d of %d: %s%s", self.title, epoch, epochs, mean, said)
                losses = []
                if quality is not None and (best is None or quality > best):
                    best, state = quality, {key: value.cpu().clone() for key, value in self.task.state_dict().items()}
                    chosen = epoch
        if best is not None:
            self.task.load_state_dict(state)
            logger.info("%s: epoch %d is taken, the best one on validation videos", self.title, chosen)

    def _trained(self, epoch: int) -> list[float]:
        """The losses of an epoch's steps."""
        losses = []
        for report in self.trainer.epoch(self._loader, epoch, 0, self._note_failures):
            if not report.skipped:
                losses.append(report.loss[NAME]["loss"])
            if self.trainer.bad_in_a_row >= self._data.config.max_bad_steps:
                raise InputError(
                    f"{self.title}: step {report.step}: loss or gradient is not finite, in bad step "
                    f"{self.trainer.bad_in_a_row} in a row (max_bad_steps); give this evaluation a lower settings.lr"
                )
        return losses

    def _note_failures(self, failed: list[tuple[int, str]]) -> None:
        self._data.bad_videos.add(self._catalog.failures(failed))

    def _judgement(self) -> tuple[str, tuple[float, float] | None]:
        """What validation videos say, in words, and as what epochs are compared by."""
        if self._judge is None:
            return "", None
        found = predictions_of(self.task, self._data, "val", self._judge, self.trainer.autocast)
        if found is None:
            return "", None
        quality = quality_of(found)
        metric = "top1" if isinstance(found, Predictions) else "mAP"
        return f", {100 * quality[0]:.1f} % {metric} on validation videos", quality

    def _tell_beginning(self) -> None:
        count = sum(parameter.numel() for parameter in self.trainer.groups[NAME])
        logger.info(
            "%s: %d videos, %d classes, %d epochs of %d steps; %s parameters are trained, which take %s MB with "
            "gradient and moments",
            self.title,
            len(self._catalog.table),
            self.task.targets.classes,
            self._settings.epochs,
            self.trainer.steps_per_epoch,
            f"{count:,}",
            f"{_BYTES * count / 1e6:,.1f}",
        )


def looking_epochs(epochs: int, validations: int) -> set[int]:
    """The epochs, from 1, after which validation videos are looked at: evenly spread, the last one among them."""
    return {ceil(epochs * number / validations) for number in range(1, validations + 1)}


def quality_of(found: Predictions | MultiPredictions) -> tuple[float, float]:
    """What epochs are compared by: accuracy or mAP in [0, 1], and where these are equal, the lower cross-entropy."""
    if isinstance(found, MultiPredictions):
        known_N = found.labels.is_known
        precisions_C = average_precisions(found.scores_NC[known_N], found.labels.shows_NC[known_N])[0]
        return (0.0 if np.isnan(precisions_C).all() else float(np.nanmean(precisions_C))), 0.0
    known_N = found.labels.is_known
    truth_MK, said_MKC = found.labels.values[known_N], found.probabilities_NKC[known_N]
    of_truth_MK1 = np.take_along_axis(said_MKC, truth_MK[:, :, None], axis=2)
    right = float((said_MKC.argmax(axis=2) == truth_MK).mean())
    return right, float(np.log(np.maximum(of_truth_MK1, 1e-12)).mean())


def fitting_batch(config: Config, videos: int) -> int:
    """The run's batch size, or where there are few videos a quarter of what an epoch takes from them.

    An incomplete last batch is dropped, which would be half of a few videos, and one step an epoch leads nowhere.
    """
    return min(config.batch_size, max(2, videos * config.window.max_seq_per_video // 4))


def _training_config(config: Config, settings: FinetuneSettings, batch_size: int, seed: int) -> Config:
    """The run's config with the optimizer and the schedule of the fine-tuning."""
    head_lr = settings.lr if settings.head_lr is None else settings.head_lr
    return config.model_copy(
        update={
            "seed": seed,
            "num_epochs": settings.epochs,
            "batch_size": batch_size,
            "num_iters_grad_accum": 1,
            "optimizer": AdamW(name="adamw", lr=settings.lr, weight_decay=settings.weight_decay, betas=[0.9, 0.999]),
            "scheduler": Cosine(name="cosine", warmup=settings.warmup),
            "predictor": PredictorConfig(pred_multiplier=head_lr / settings.lr, pred_aside=1),
            "clip_grad_norm": settings.clip_grad,
            "max_bad_steps": 10**9,  # told here, in words that fit
            "use_single_optimizer": False,
            "lr_scale": {},
            "stage_lr": {},
            "alternating_interval": None,
            "explicit_freeze": False,
            "always_compute_loss": False,
        }
    )


@contextmanager
def _own_draws(device: torch.device) -> Iterator[None]:
    """Inside, dropout and its like may draw; afterwards the global generators are as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
