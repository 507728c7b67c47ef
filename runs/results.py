"""A result is data: whoever prints, draws or compares results need not know how they were measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from statistics import fmean
from typing import Any


@dataclass(frozen=True)
class Result:
    """One number that an evaluation found, beside its floors."""

    evaluation: str
    """Its name in the config."""
    dataset: str
    split: str
    """`val` or `test`."""
    level: str | None
    """Whose features were scored; None: the task as a whole."""
    labels: str | None
    """The label set; None: a metric that needs no labels."""
    metric: str
    value: float | None
    """None where it is not finite."""
    unit: str = "%"
    random_init: float | None = None
    """The same measured on the untrained encoder."""
    chance: float | None = None
    interval: float | None = None
    """Half the width of the 95 % interval."""
    pixels: float | None = None
    """What the same evaluation reaches on these labels with the best look at the pixels instead of features."""
    own: bool = False
    """Whether these are the labels that the level is judged by."""
    primary: bool = True
    """Whether it is the number that tables and curves show; others are in files alone."""
    std: float | None = None
    """Over the seeds of the protocol, where there are several; `value` is their mean."""
    seeds: int = 1
    untrained: int = 0
    """Videos of the split that show a class that no training video shows: they count as wrong."""

    @property
    def floor(self) -> float | None:
        """The highest one of the floors that are known."""
        return _highest(self.random_init, self.chance, self.pixels)

    @property
    def verdict(self) -> str:
        """`above` or `below` the floor by more than the interval, or `within`; `unknown` where a number is missing."""
        return self._beside(self.floor)

    @property
    def learned(self) -> str:
        """The verdict without the pixels: whether training has taught the encoder what it is asked for."""
        return self._beside(_highest(self.random_init, self.chance))

    def _beside(self, floor: float | None) -> str:
        if self.value is None or floor is None or self.interval is None:
            return "unknown"
        if abs(self.value - floor) <= self.interval:
            return "within"
        return "above" if self.value > floor else "below"

    @property
    def column(self) -> str:
        """Distinguishes it from other results of the same evaluation and level: label set, and unusual metric."""
        parts = [self.labels or ""] + ([] if self.metric == "top1" and self.labels else [self.metric])
        return " ".join(filter(None, parts))

    @property
    def key(self) -> tuple[str | None, ...]:
        """The key of the measurement, whatever encoder it was made on."""
        return self.evaluation, self.split, self.level, self.labels, self.metric


def _highest(*values: float | None) -> float | None:
    return max((value for value in values if value is not None), default=None)


def with_random_init(results: Sequence[Result], at_init: Sequence[Result]) -> list[Result]:
    """The results, each with the value that the untrained encoder has, where that is known."""
    floors = {result.key: result.value for result in at_init}
    return [replace(result, random_init=floors.get(result.key)) for result in results]


def with_pixels(results: Sequence[Result], pixels: Iterable[Result]) -> list[Result]:
    """The results that tables show, each with the value that the best look at the pixels has, where that is known.

    Args:
        results: of an encoder.
        pixels: of looks at the pixels, which stand in the place of levels.
    """
    best: dict[tuple[str | None, ...], float] = {}
    for look in primary(pixels):
        if look.value is not None:
            key = look.evaluation, look.labels, look.metric
            best[key] = max(look.value, best.get(key, look.value))
    found = [best.get((result.evaluation, result.labels, result.metric)) for result in results]
    return [replace(result, pixels=value) for result, value in zip(results, found, strict=True)]


def primary(results: Iterable[Result]) -> list[Result]:
    """The results that tables and curves show."""
    return [result for result in results if result.primary]


def mean_score(results: Iterable[Result], evaluation: str) -> float | None:
    """The mean over the levels of what an evaluation says of each on its own labels, or of all that it says.

    Returns:
        None where it says nothing.
    """
    found = [result for result in primary(results) if result.evaluation == evaluation and result.value is not None]
    # The mean, so that no level is given up; other label sets than a level's own are not what it is there for.
    scores = [result.value for result in found if result.own] or [result.value for result in found]
    return fmean(value for value in scores if value is not None) if scores else None


# ------------------------------------------------------------------------------------------------------- as JSON


def nested(results: Iterable[Result]) -> dict[str, Any]:
    """Results as summary.json and metrics.jsonl have had them since the first version.

    Returns:
        `[evaluation][level][labels]`: the value under the metric's name, and `random_init`, `chance`, `pixels` and
        `interval` where they are known. A result of no level is `[evaluation]`, with the label set under `labels`.
    """
    tree: dict[str, Any] = {}
    for result in results:
        place = tree.setdefault(result.evaluation, {})
        for name in (result.level, result.labels) if result.level is not None else ():
            place = place.setdefault(name, {}) if name is not None else place
        place[result.metric] = result.value
        for floor in ("random_init", "chance", "interval", "pixels"):
            if getattr(result, floor) is not None:
                place.setdefault(floor, getattr(result, floor))
        if result.level is None and result.labels is not None:
            place["labels"] = result.labels
    return tree


def as_records(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Plain values, from which `results_of` makes the same results."""
    return [asdict(result) for result in results]


def results_of(record: Mapping[str, Any], own_labels: Mapping[str, str] | None = None) -> list[Result]:
    """The results in a validation record or a summary, in those of older versions, too.

    Args:
        record: of metrics.jsonl, of a checkpoint's history, or summary.json.
        own_labels: by level, the labels that it is judged by, which older records do not say.
    """
    if "results" in record:
        known = {field.name for field in fields(Result)}
        return [Result(**{key: value for key, value in item.items() if key in known}) for item in record["results"]]
    own = own_labels or {}
    split = "val" if record.get("kind", "validation") == "validation" else "test"
    return [
        Result(
            evaluation="knn",  # the only one that validation had
            dataset="",
            split=split,
            level=level,
            labels=labels,
            metric="top1",
            value=score.get("top1"),
            random_init=score.get("random_init"),
            chance=score.get("chance"),
            interval=score.get("interval"),
            own=own.get(level) == labels,
        )
        for level, by_labels in (record.get("knn") or {}).items()
        for labels, score in by_labels.items()
    ]
