"""What a finished run scores, by the one number that a sweep compares its runs by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from config.errors import InputError
from runs.folder import RunFolder
from runs.metrics import MetricLog
from runs.results import Result, primary, results_of

SPLITS = {"val": "validation", "test": "test"}


@dataclass(frozen=True)
class Score:
    """A number beside its floors; each is None where it is not known."""

    value: float | None
    random_init: float | None
    chance: float | None
    unit: str


@dataclass(frozen=True)
class Measure:
    """What runs are compared by: of an evaluation the mean over all levels on their own labels, or a part of that.

    Attributes:
        evaluation: its name in the config.
        level: one level alone.
        labels: another label set than the level's own.
        metric: where the evaluation has several.
    """

    evaluation: str
    level: str | None = None
    labels: str | None = None
    metric: str | None = None

    @classmethod
    def parse(cls, text: str) -> Measure:
        """From `EVALUATION[/LEVEL[/LABELS[/METRIC]]]`. InputError: it is something else."""
        parts = text.split("/")
        if not all(parts) or len(parts) > 4:
            raise InputError(f"--by {text}: expected EVALUATION[/LEVEL[/LABELS[/METRIC]]], such as knn or knn/clip")
        return cls(*parts)

    def __str__(self) -> str:
        return "/".join(filter(None, (self.evaluation, self.level, self.labels, self.metric)))

    def score(self, results: Iterable[Result]) -> Score | None:
        """The score among a run's results on one split; None where they say nothing of it."""
        found = [result for result in results if result.evaluation == self.evaluation and result.value is not None]
        for name, wanted in (("level", self.level), ("labels", self.labels), ("metric", self.metric)):
            found = [result for result in found if wanted is None or getattr(result, name) == wanted]
        found = primary(found) if self.metric is None else found
        if self.labels is None:  # other label sets than a level's own are not what it is there for
            found = [result for result in found if result.own] or found
        if not found:
            return None
        return Score(_mean(found, "value"), _mean(found, "random_init"), _mean(found, "chance"), found[0].unit)


@dataclass(frozen=True)
class RunScores:
    """The results of a finished run.

    Attributes:
        results: by split: `val`, of the checkpoint that was chosen, and `test`.
        seconds: wall time.
        alarms: of collapse, how many were raised.
    """

    results: dict[str, list[Result]]
    seconds: float
    alarms: int


def read_scores(run: RunFolder) -> RunScores:
    """The results of a run that has a summary.

    Raises:
        InputError: a file of it cannot be read.
    """
    try:
        summary: dict[str, Any] = json.loads(run.summary.read_text(encoding="utf-8"))
        own = summary["own_labels"]
        records = [record for record in MetricLog.read(run.metrics) if record["kind"] == "validation"]
        chosen = [record for record in records if record["step"] == summary["best_step"]]
        results = {"val": results_of(chosen[-1], own) if chosen else [], "test": results_of(summary, own)}
        return RunScores(results, float(summary["wall_seconds"]), len(summary["alarms"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{run.summary} cannot be used ({error!r}); remove the run's folder to run it again") from None


def known_measures(scores: Sequence[RunScores]) -> list[str]:
    """What runs can be compared by, for messages."""
    results = [result for run in scores for of_split in run.results.values() for result in of_split]
    found = dict.fromkeys(result.evaluation for result in results)
    levels = dict.fromkeys(f"{result.evaluation}/{result.level}" for result in results if result.level)
    return [*found, *levels]


def _mean(results: Sequence[Result], name: str) -> float | None:
    values = [getattr(result, name) for result in results]
    return None if None in values else fmean(values)
