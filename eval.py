"""Runs the evaluations of a config, puts floors beside every score, and says whether validation can choose.

As a program it scores finished runs, on any dataset: python eval.py RUN [RUN ...] [--protocol NAME ...].
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # Before the imports below, which take seconds; what follows is the module that main.py imports.
    from evaluation.command import main

    sys.exit(main())

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from config.curriculum import RANK
from config.errors import InputError
from config.schema import Config
from config.validation_schedule import never_validates
from data_utils.catalog.annotations.classes import LabelSet
from data_utils.views.views import evaluation_views
from monitors import collapse_alarms, effective_rank, feature_monitors, gradient_norms, shuffled_ratios, spread
from protocols.encoded import EncodedData
from protocols.encoded_split import EncodedSplit, FloatArray
from protocols.evaluation import Plan
from protocols.pixel_floors import pixel_floors
from protocols.predictions import MultiPredictions, Predictions
from runs.results import Result, as_records, mean_score, nested, results_of, with_pixels, with_random_init
from tasks.task import Task

MONITOR_BATCHES = 8  # of validation windows, on which predictions are compared with shuffled targets
MIN_CHOICE = 10  # validation videos; with fewer, one of them is more than a tenth of the score

# ---------------------------------------------------------------------------------------------------- validation


@dataclass(frozen=True)
class Validation:
    """What the evaluations say on the validation videos, and whether a level collapses."""

    results: list[Result]
    rank: dict[str, float]
    std: dict[str, float]
    monitors: dict[str, dict[str, float]]
    """The other monitors, by name and level; `cka` by pair of levels."""
    alarms: list[str]

    def measured(self) -> dict[str, dict[str, float]]:
        """All monitors, rank and std among them."""
        return {"rank": self.rank, "std": self.std, **self.monitors}

    def record(self) -> dict[str, Any]:
        """Plain values: the scores by name of the evaluation, the monitors, and all results as a list."""
        measured = {"rank": self.rank, "std": self.std, "monitors": self.monitors, "alarms": self.alarms}
        return nested(self.results) | measured | {"results": as_records(self.results)}

    @classmethod
    def restored(cls, record: Mapping[str, Any], own_labels: Mapping[str, str]) -> Validation:
        """From `record`; NO_FLOOR where that is empty.

        Args:
            record: in the form of older versions, too, which did not say each level's own labels.
            own_labels: by level.
        """
        if not record:
            return NO_FLOOR
        measured = {name: record[name] for name in ("rank", "std", "monitors", "alarms")}
        return cls(results_of(record, own_labels), **measured)


NO_FLOOR = Validation([], {}, {}, {}, [])
"""In place of a validation before training, where `validate_before` is false."""


class Validator:
    """Scores a task's encoder on validation videos, and watches it there."""

    def __init__(self, task: Task, plan: Plan, config: Config, device: torch.device) -> None:
        self._task, self._plan, self._config, self._device = task, plan, config, device

    def run(
        self,
        at_init: Validation | None,
        records: Sequence[Mapping[str, Any]] = (),
        *,
        first: bool = False,
        keep: Callable[[EncodedSplit], None] = lambda _: None,
    ) -> Validation:
        """One validation.

        Args:
            at_init: the validation of the untrained encoder, `NO_FLOOR` where there was none; None where this is it.
            records: of metrics.jsonl so far, for the gradient norms since the last validation.
            first: whether none has followed a training step before. Predictions need some steps before they tell videos
                apart: the first one is not held to that.
            keep: is given the validation videos as the encoder sees them.
        """
        own = self._plan.own.seen_by(self._task.encoder, self._device)
        results = score(self._plan, "val", own, self._task.classifier, lasting=False)
        queries = own.split("val")
        keep(queries)
        videos = {level: features_N1D[:, 0] for level, features_N1D in queries.features[1].items()}
        monitors = feature_monitors(queries.singles, videos)
        monitors |= shuffled_ratios(self._task, self._single_windows(), self._config.seed)
        monitors |= {"grad_norm": gradient_norms(records)} if at_init else {}
        own.discard_files()
        return Validation(
            with_random_init(results, at_init.results if at_init else results),
            alarms=collapse_alarms(monitors, at_init.measured(), first=first) if at_init else [],
            rank=monitors.pop("rank"),
            std=monitors.pop("std"),
            monitors=monitors,
        )

    def _single_windows(self) -> Iterator[Tensor]:
        """A few batches of normalised validation windows, the middle one of each of as many videos."""
        config, data = self._config, self._plan.own
        window = config.window.model_copy(update={"eval_windows": 1})
        crop = "centre" if config.eval_crop == "three" else config.eval_crop
        # Batches of one window have no other video to compare with.
        batch_size = max(2, config.batch_size)
        config = config.model_copy(update={"window": window, "batch_size": batch_size, "eval_crop": crop})
        some = data.catalogs["val"].sample(MONITOR_BATCHES * batch_size, config.seed)
        for batch in data.memory.batches("one window of each", some, config, data.bad_videos):
            yield evaluation_views(batch, config, self._device).video_BTCHW


KeepOf = Callable[[str, Predictions | MultiPredictions], None]
"""Is given the name of an evaluation, and what a classifier says of each video."""


def score(
    plan: Plan,
    split: str,
    own: EncodedData,
    classifier: nn.Module | None,
    keep: KeepOf = lambda *_: None,
    repetition: int = 0,
    lasting: bool = True,
    untrained: bool = False,
) -> list[Result]:
    """What all evaluations say of an encoder on a split, without random init.

    Args:
        plan: the evaluations.
        split: `val` or `test`.
        own: the run's own data with the encoder, which is left as it was.
        classifier: the task's own, where it has one and it is trained.
        keep: is given what classifiers say of each video.
        repetition: is added to the seed of all that protocols draw.
        lasting: whether anyone will ask for features of this encoder again; else files of other data are deleted.
        untrained: the encoder is the floor; evaluations that have none are left out.

    Returns:
        the results, in the order of the config.
    """
    by_name: dict[str, list[Result]] = {}
    for data, evaluations in plan.on(split):
        # Features of other data are dropped after its evaluations: two datasets at a time need not fit into memory.
        encoded = own if data is plan.own else data.seen_by(own.encoder, own.device)
        for evaluation in evaluations:
            if untrained and not evaluation.protocol.has_random_floor:
                continue
            told = partial(keep, evaluation.name)
            by_name[evaluation.name] = evaluation.results(split, encoded, classifier, told, repetition)
        if encoded is not own and not lasting:
            encoded.discard_files()
    return [result for name in plan.titles if name in by_name for result in by_name[name]]


# ---------------------------------------------------------------------------------------------- the final test


@dataclass(frozen=True)
class FinalTest:
    """What the evaluations say of the chosen checkpoint on the test videos."""

    results: list[Result]
    rank: dict[str, dict[str, float]]
    """By level: `final`, and `random_init`."""
    std: dict[str, dict[str, float]]
    encoded: EncodedData
    """The run's own data with the trained encoder."""
    predictions: list[tuple[str, Predictions | MultiPredictions]]
    """By name of the evaluation, what classifiers on the trained encoder say of each test video."""
    pixels: list[Result]
    """What evaluations say of pixels in place of features; [] where that is not asked for."""

    @property
    def split(self) -> EncodedSplit:
        """The run's own test videos."""
        return self.encoded.split("test")

    def record(self) -> dict[str, Any]:
        """For summary.json: the scores by name of the evaluation, and all results as a list."""
        measured = {"rank": self.rank, "std": self.std, "test_videos": len(self.split.rows)}
        lists = {"results": as_records(self.results), "pixel_floors": as_records(self.pixels)}
        return nested(self.results) | measured | lists


def final_test(task: Task, at_init: nn.Module, plan: Plan, device: torch.device) -> FinalTest:
    """Scores the trained encoder, and for the floors the untrained one and the pixels, on the test split.

    Args:
        task: trained.
        at_init: the same encoder, untrained.
        plan: the evaluations.
        device: where the models are.
    """
    predictions: list[tuple[str, Predictions | MultiPredictions]] = []
    own, own_at_init = plan.own.seen_by(task.encoder, device), plan.own.seen_by(at_init, device)
    results = score(plan, "test", own, task.classifier, lambda *said: predictions.append((said[0], said[1])))
    floors = score(plan, "test", own_at_init, None, untrained=True)
    test, untrained = own.split("test"), own_at_init.split("test")
    pixels = pixel_floors(plan, "test", device) if plan.own.config.pixel_floors else []
    return FinalTest(
        with_pixels(with_random_init(results, floors), pixels),
        _beside_init(effective_rank, test, untrained),
        _beside_init(spread, test, untrained),
        own,
        predictions,
        pixels,
    )


def _beside_init(
    measure: Callable[[FloatArray], float], trained: EncodedSplit, untrained: EncodedSplit
) -> dict[str, dict[str, float]]:
    """What `measure` gives for the single units of each level, trained and untrained."""
    final, at_init = trained.singles.units, untrained.singles.units
    return {level: {"final": measure(final[level]), "random_init": measure(at_init[level])} for level in final}


# ------------------------------------------------------------------------------------- choosing the checkpoint


def choosing_score(results: Sequence[Result], config: Config) -> float:
    """What the checkpoints are compared by; 0 where nothing says it, and then nothing is chosen by it."""
    found = mean_score(results, config.choose_by) if config.choose_by else None
    return 0.0 if found is None else found


def why_no_choice(plan: Plan, config: Config) -> str | None:
    """Why validation cannot choose between checkpoints, so that the last one is taken; None where it can."""
    if config.choose_by is None:
        return "choose_by is null"
    if never_validates(config):
        return "val_interval is 0"
    chooses = plan.find(config.choose_by)
    if chooses is None:
        return plan.skipped.get(config.choose_by, f"evaluations.{config.choose_by} is null")
    known, asked = (chooses.data.catalogs[split].labels for split in ("train", "val"))
    own = [name for level, name in chooses.data.own.items() if level in chooses.labels]
    if not own:  # it needs no labels
        return None
    return too_few_labels([asked[name] for name in own if known[name].is_known.any()])


def watched_value(validation: Validation, config: Config) -> float | None:
    """The value in which a plateau shows: the last level's rank, or its score; None where there is none."""
    last = config.levels[-1]
    if config.watch == RANK:
        return validation.rank.get(last)
    return mean_score([result for result in validation.results if result.level in (last, None)], config.watch)


def check_plateau(plan: Plan, config: Config) -> None:
    """Raises InputError where training is to end at a plateau of a score that nothing measures."""
    if config.until != "plateau" or config.watch == RANK:
        return
    last, watched = config.levels[-1], plan.find(config.watch)
    reason = plan.skipped.get(config.watch)
    if watched is not None and watched.protocol.needs_labels and not watched.labels.get(last):
        reason = f"{watched.data.name} has no labels for {last}"
    if reason is not None:
        raise InputError(f"until=plateau watches {config.watch} of {last}, but {reason}; watch=rank needs no labels")


def too_few_labels(judged: Sequence[LabelSet]) -> str | None:
    """Why scores on these label sets of a validation split say too little; None where they say enough.

    A handful of videos, or videos of one class, give checkpoints equal scores, or different ones by chance.
    """
    known = [label_set.values[label_set.is_known] for label_set in judged]
    videos = min(map(len, known), default=0)
    if videos == 0:
        return "no validation video has a label"
    if videos < MIN_CHOICE:
        are = "is only 1 validation video" if videos == 1 else f"are only {videos} validation videos"
        return f"there {are} with a label"
    if all(len(np.unique(values)) < 2 for values in known):
        return "all validation videos have the same label"
    return None
