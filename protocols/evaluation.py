"""The evaluations of a config, ready to be done: data open, label sets known, before anything trains."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from config.errors import InputError
from config.evaluations import Evaluation, When, data_of
from config.schema import Config
from data_utils.batches.few_videos import few_videos
from data_utils.batches.opening import open_bad_videos, open_catalogs
from data_utils.catalog.annotations.multi import MultiLabelSet
from data_utils.catalog.annotations.untrained import Untrained
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from data_utils.catalog.dataset_card import catalog_folder, completed
from data_utils.prepare.embedded import make_missing
from protocols import PROTOCOLS
from protocols.encoded import EncodedData
from protocols.predictions import Keep
from protocols.protocol import Protocol, Score, Subject
from protocols.window_memory import WindowMemory
from runs.results import Result, primary

logger = logging.getLogger(__name__)

SPLITS: dict[When, str] = {"validation": "val", "test": "test"}


@dataclass(frozen=True)
class EvaluationData:
    """A dataset that encoders are scored on."""

    name: str
    catalogs: Mapping[str, Catalog]
    config: Config
    """The run's, with this dataset, its windows and sizes."""
    bad_videos: BadVideos
    memory: WindowMemory
    """Windows that were read already."""
    folder: Path | None = None
    """For features that take too much memory; None: they stay in memory all the same."""

    @classmethod
    def of(
        cls, catalogs: Mapping[str, Catalog], config: Config, bad_videos: BadVideos, folder: Path | None = None
    ) -> EvaluationData:
        """The data of `config`, opened already."""
        memory = WindowMemory(config.eval_memory_mb)
        return cls(catalog_folder(config).name, catalogs, config, bad_videos, memory, folder)

    @property
    def own(self) -> dict[str, str]:
        """By level, lowest first, the label set that it is judged by; {} where there are no labels."""
        return self.catalogs["train"].own_labels(self.config.levels)

    @property
    def own_multi(self) -> dict[str, str]:
        """By level, lowest first, the label set that it is judged by where that says several classes at once."""
        train = self.catalogs["train"]
        judged = {level: train.judged_by.get(level, "") for level in self.config.levels}
        return {level: name for level, name in judged.items() if name in self.multi}

    @property
    def multi(self) -> list[str]:
        """The label sets that say several classes at once."""
        annotations = self.catalogs["train"].annotations
        return [name for name, annotation in annotations.items() if isinstance(annotation, MultiLabelSet)]

    def untrained(self, split: str, labels: str | None) -> Untrained:
        """The videos of a split that show classes that no training video shows; none of what is no label set."""
        scored = self.catalogs[split]
        if labels not in scored.classified:
            return Untrained(labels or "", 0, len(scored.table), [])
        return scored.untrained(labels, self.catalogs["train"])

    def seen_by(self, encoder: nn.Module, device: torch.device) -> EncodedData:
        """The data with an encoder, nothing encoded yet."""
        return EncodedData(
            encoder, self.name, self.catalogs, self.config, device, self.bad_videos, self.memory, self.folder
        )


@dataclass(frozen=True)
class PlannedEvaluation:
    """An evaluation with all that it needs."""

    name: str
    title: str
    """For the console and for axes."""
    protocol: Protocol[Any]
    settings: Evaluation
    data: EvaluationData
    labels: Mapping[str, list[str]]
    """By level, the label sets that it is scored on."""
    own: Mapping[str, str]
    """By level, lowest first, the label set that it is judged by."""

    @property
    def split_names(self) -> list[str]:
        """The splits that it scores."""
        return [SPLITS[when] for when in self.settings.when]

    def described(self) -> dict[str, str]:
        """Its description in the report."""
        heading = (
            self.protocol.heading if self.title == self.protocol.title else f"{self.protocol.heading} ({self.name})"
        )
        return {"protocol": self.settings.protocol, "title": self.title, "heading": heading, "note": self.protocol.note}

    def results(
        self,
        split: str,
        data: EncodedData,
        classifier: nn.Module | None,
        keep: Keep = lambda _: None,
        repetition: int = 0,
    ) -> list[Result]:
        """The protocol's scores of an encoder on a split, without random init.

        Args:
            split: `val` or `test`.
            data: this evaluation's, with the encoder.
            classifier: the task's own, where it has one and it is trained.
            keep: is given what a classifier says of each video.
            repetition: is added to the run's seed, for all that the protocol draws.
        """
        seed = self.data.config.seed + repetition
        scores = self.protocol.score(Subject(data, split, self.labels, self.own, classifier, seed, keep))
        return [self._result(score, split) for score in scores]

    def _result(self, score: Score, split: str) -> Result:
        own = score.labels is not None and (score.level is None or self.own.get(score.level) == score.labels)
        return Result(
            self.name,
            self.data.name,
            split,
            score.level,
            score.labels,
            score.metric,
            score.value,
            score.unit,
            chance=score.chance,
            interval=score.interval,
            own=own,
            primary=score.primary,
            untrained=self.data.untrained(split, score.labels).videos,
        )


@dataclass(frozen=True)
class Plan:
    """All evaluations of a run."""

    own: EvaluationData
    """The data that the run trains on; monitors and figures use it, too."""
    evaluations: list[PlannedEvaluation]
    skipped: dict[str, str]
    """By name, why an evaluation cannot be done."""

    def on(self, split: str) -> Iterator[tuple[EvaluationData, list[PlannedEvaluation]]]:
        """The evaluations of a split by their data, the run's own first, so that it is encoded once for all of them."""
        by_data: dict[int, list[PlannedEvaluation]] = {id(self.own): []}
        for evaluation in self.evaluations:
            if split in evaluation.split_names:
                by_data.setdefault(id(evaluation.data), []).append(evaluation)
        for evaluations in by_data.values():
            yield (evaluations[0].data if evaluations else self.own), evaluations

    def catalogs(self, split: str) -> dict[str, Catalog]:
        """By name of the evaluation, the videos of a split that it looks at."""
        return {evaluation.name: evaluation.data.catalogs[split] for evaluation in self.evaluations}

    def untrained(self) -> list[dict[str, Any]]:
        """What counts as wrong in any case: see `Untrained`; by dataset, scored split and label set."""
        found = {}
        for evaluation in self.evaluations:
            for split in evaluation.split_names:
                for labels in dict.fromkeys(name for of_level in evaluation.labels.values() for name in of_level):
                    untrained = evaluation.data.untrained(split, labels)
                    if untrained.videos:
                        place = {"dataset": evaluation.data.name, "split": split, "labels": labels}
                        told = {"videos": untrained.videos, "of": untrained.of, "classes": untrained.classes}
                        found[id(evaluation.data), split, labels] = place | told
        return list(found.values())

    @property
    def titles(self) -> dict[str, str]:
        """By name, how the console and figures call the evaluations, in the order of the config."""
        return {evaluation.name: evaluation.title for evaluation in self.evaluations}

    def described(self) -> dict[str, dict[str, str]]:
        """By name, what the report says of the evaluations."""
        return {evaluation.name: evaluation.described() for evaluation in self.evaluations}

    def scores_in_words(self, results: Sequence[Result], name: str | None) -> dict[tuple[str, str], str]:
        """Scores of an evaluation on the run's own data, by (level, label set), for the titles of panels."""
        evaluation = self.find(name)
        if evaluation is None or evaluation.data is not self.own:
            return {}
        return {
            (result.level, result.labels): f"{evaluation.title} {result.value:.1f} {result.unit}"
            for result in primary(results)
            if result.evaluation == name and result.level and result.labels and result.value is not None
        }

    def find(self, name: str | None) -> PlannedEvaluation | None:
        """The evaluation of that name, where it can be done."""
        return next((evaluation for evaluation in self.evaluations if evaluation.name == name), None)


def plan_evaluations(config: Config, own: EvaluationData, lists: Path) -> Plan:
    """Opens what the evaluations of a config look at.

    Args:
        config: the run's.
        own: the run's own data.
        lists: the run's list of unreadable videos; those of other data are listed beside it.

    Raises:
        InputError: a dataset cannot be used, or has no such label set.
    """
    opened: list[tuple[Config, EvaluationData]] = []
    planned, skipped = [], {}
    for name, settings in config.evaluations.items():
        if settings is None:
            continue
        data = own
        if settings.data:
            wanted = data_of(config, settings.data)
            found = [data for other, data in opened if other == wanted]
            data = found[0] if found else _open(name, wanted, lists, own.folder)
            opened.append((wanted, data))
        protocol = PROTOCOLS[settings.protocol]
        own_labels = data.own | (data.own_multi if protocol.scores_multi else {})
        labels = _labels(name, settings, data, own_labels, data.multi if protocol.scores_multi else [])
        if protocol.needs_labels and not any(labels.values()):
            skipped[name] = f"{data.name} has no labels" + (
                f" that {settings.protocol} can score" if data.multi else ""
            )
            logger.warning("evaluations.%s is skipped: %s", name, skipped[name])
            continue
        if protocol.uses_classifier and config.task_settings.learns_classes:
            _check_classes(name, own, data)
        _tell_what_is_not_scored(name, settings, data, labels)
        title = protocol.title if name in (settings.protocol, protocol.title) else f"{protocol.title} ({name})"
        planned.append(PlannedEvaluation(name, title, protocol(settings.settings), settings, data, labels, own_labels))
    return Plan(own, planned, skipped)


def _check_classes(name: str, own: EvaluationData, data: EvaluationData) -> None:
    """Raises InputError where the classifier that the task trains cannot name the classes of other data."""
    if not own.own or not data.own:
        return
    (learned, asked) = (each.catalogs["train"].labels[list(each.own.values())[-1]] for each in (own, data))
    if learned.classes != asked.classes:
        raise InputError(
            f"evaluations.{name}: the classifier learns the {len(learned.classes)} classes of '{learned.name}' in "
            f"{own.name}, and the {len(asked.classes)} of '{asked.name}' in {data.name} are others; use the protocol "
            "knn or linear_probe there"
        )


def _tell_what_is_not_scored(
    name: str, settings: Evaluation, data: EvaluationData, labels: Mapping[str, list[str]]
) -> None:
    """Warns of label sets that no training video, or no video of a scored split, has a label of."""
    known = {
        split: {name: catalog.labels.get(name) or catalog.annotations[name] for name in [*catalog.labels, *data.multi]}
        for split, catalog in data.catalogs.items()
    }
    for label_set in dict.fromkeys(label_set for of_level in labels.values() for label_set in of_level):
        for split in [SPLITS[when] for when in settings.when]:
            lacking = [each for each in ("train", split) if not known[each][label_set].is_known.any()]
            if lacking:
                logger.warning(
                    "evaluations.%s does not score '%s' on %s videos: no video of %s has such a label",
                    *(name, label_set, split, lacking[0]),
                )


def _open(name: str, config: Config, lists: Path, folder: Path | None) -> EvaluationData:
    try:
        make_missing(config.dataset)
        config = completed(config)
        catalogs = open_catalogs(config, config.groups, lists)
        if config.debug:
            catalogs = few_videos(catalogs, config, config.batch_size * config.num_iters_grad_accum, config.seed)
    except InputError as error:
        raise InputError(f"evaluations.{name}: {error}") from None
    counts = ", ".join(f"{len(catalog.table)} {split}" for split, catalog in catalogs.items())
    logger.info("videos of evaluations.%s: %s", name, counts)
    return EvaluationData.of(catalogs, config, open_bad_videos(config, catalogs, lists), folder)


def _labels(
    name: str, settings: Evaluation, data: EvaluationData, own: Mapping[str, str], multi: Sequence[str]
) -> dict[str, list[str]]:
    """By level, lowest first, the label sets that it is scored on.

    Args:
        name: of the evaluation.
        settings: of the evaluation.
        data: that it looks at.
        own: by level, the label set that it is judged by.
        multi: the label sets that say several classes at once, if its protocol can score them.
    """
    there = [*data.catalogs["train"].labels, *multi]
    last_alone = PROTOCOLS[settings.protocol].last_level_alone
    levels = settings.levels or (data.config.levels[-1:] if last_alone else data.config.levels)
    chosen = [level for level in data.config.levels if level in levels]
    if settings.labels is None:
        return {level: [own[level]] for level in chosen if level in own}
    if settings.labels == "all":
        return dict.fromkeys(chosen, there)
    unknown = [label for label in settings.labels if label not in there]
    if unknown:
        has = f"has {', '.join(there)}, which dataset.labels names" if there else "has no labels"
        raise InputError(f"evaluations.{name}.labels: there is no label set {unknown[0]}; {data.name} {has}")
    return dict.fromkeys(chosen, settings.labels)
