"""The course of one fine-tuning: which videos, how long, which epoch is taken, and what it says of the videos."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import numpy as np
import torch
from torch import Tensor

from config.errors import InputError
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import View
from protocols.encoded_split import groups_of
from protocols.finetune import LearningSettings
from protocols.finetuning.choosing import Quality, judged_by, looking_epochs, quality_of
from protocols.finetuning.few_shot import few_of_each, tell_too_few
from protocols.finetuning.network import NAME, FinetuneTask, LearningTask
from protocols.finetuning.predicting import predictions_of
from protocols.finetuning.recipe import fitting_batch, training_config
from protocols.finetuning.targets import Targets, labels_of
from protocols.predictions import Predictions, class_scores, multi_scores
from protocols.protocol import Score, Subject
from tasks.encoder import feature_dim
from train import Trainer, training_loader

logger = logging.getLogger(__name__)

_BYTES = 16  # of a trained parameter: weight, gradient and AdamW's two running means in float32


MakeTask = Callable[..., LearningTask]
"""Makes what is trained: takes what `FinetuneTask` takes."""


def fine_tuned(
    subject: Subject,
    level: str,
    name: str,
    settings: LearningSettings,
    make_task: MakeTask = FinetuneTask,
    tell: Callable[[FineTuning], None] = lambda _: None,
) -> list[Score]:
    """Fine-tunes a copy of the encoder on one label set, and scores it.

    Args:
        subject: with an encoder, which is left as it is.
        level: whose features are classified.
        name: of the label set.
        settings: of the fine-tuning.
        make_task: what is trained.
        tell: is given the course once it is over.

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
        course = FineTuning(subject, level, name, settings, make_task)
        course.run()
        tell(course)
        found = predictions_of(course.task, subject.data, subject.split, tested, course.trainer.autocast)
    if found is None:
        logger.warning("%s: no window shows all that the labels of the %s videos name", course.title, subject.split)
        return []
    subject.keep(found)
    groups = groups_of(catalogs[subject.split])
    groups_N = None if groups is None else groups[found.rows_N]
    return class_scores(found, groups_N) if isinstance(found, Predictions) else multi_scores(found, groups_N)


class FineTuning:
    """One fine-tuning, on one label set.

    Args:
        subject: with the encoder.
        level: whose features are classified.
        name: of the label set.
        settings: of the fine-tuning.
        make_task: what is trained.
    """

    def __init__(
        self, subject: Subject, level: str, name: str, settings: LearningSettings, make_task: MakeTask = FinetuneTask
    ) -> None:
        self.title = f"fine-tuning of {level} on '{name}'"
        self._subject, self._settings, self._data = subject, settings, subject.data
        self._catalog, targets = self._learned(name)
        config = self._data.config
        augmentations = {"strong": config.augmentation, "weak": config.weak_augmentation, "none": None}
        self.task = make_task(
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
        self._config = training_config(config, settings, batch_size, subject.seed)
        self._loader = training_loader(self.task, self._catalog, self._config)
        self.trainer = Trainer(self.task, self._config, len(self._loader), self._data.device)
        self._judge = judged_by(subject, name, self.title) if settings.choose == "best" else None

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

    def run(self) -> None:
        """Trains, and leaves the weights of the chosen epoch."""
        epochs = self._settings.epochs
        self._tell_beginning()
        looks = looking_epochs(epochs, self._settings.validations)
        best: Quality | None = None
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

    def _judgement(self) -> tuple[str, Quality | None]:
        """What validation videos say, in words, and as what epochs are compared by."""
        if self._judge is None:
            return "", None
        said = predictions_of(self.task, self._data, "val", self._judge, self.trainer.autocast)
        if said is None:
            return "", None
        quality = quality_of(said)
        metric = "top1" if isinstance(said, Predictions) else "mAP"
        return f", {100 * quality[0]:.1f} % {metric} on validation videos", quality

    def _tell_beginning(self) -> None:
        count = sum(parameter.numel() for parameter in self.trainer.groups[NAME])
        logger.info(
            "%s: %s of %s, %s of %s; %s parameters are trained, which take %s MB with gradient and moments",
            self.title,
            _counted(len(self._catalog.table), "video", "videos"),
            _counted(self.task.targets.classes, "class", "classes"),
            _counted(self._settings.epochs, "epoch", "epochs"),
            _counted(self.trainer.steps_per_epoch, "step", "steps"),
            f"{count:,}",
            f"{_BYTES * count / 1e6:,.1f}",
        )


def _counted(number: int, one: str, several: str) -> str:
    return f"1 {one}" if number == 1 else f"{number:,} {several}"


@contextmanager
def _own_draws(device: torch.device) -> Iterator[None]:
    """Inside, dropout and its like may draw; afterwards the global generators are as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
