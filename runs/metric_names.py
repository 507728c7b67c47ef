"""The name of every number of a run, the same wherever it is shown; `python -m runs.metric_names > docs/metrics.md`.

A record of metrics.jsonl is a tree of keys; a name is the way to one of its numbers, with slashes: `loss/space/up`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from runs.reporting.monitor_table import MONITORS
from runs.results import Result, results_of

STAGE = "stage"  # in the records of a curriculum
TEST, WHOLE_RUN = "test", "run"  # the first part of the names of what only the end of a run can tell
FLOORS = ("random_init", "chance", "pixels", "interval")
_MEASURED = ("rank", "std")  # of summary.json, on the test videos
# Of a record: where it belongs, and what is told elsewhere in it.
_NO_METRICS = {"step": {"kind", "step"}, "validation": {"kind", "step", "epoch", "results"}}
_MEAN = {"grad_norm": "mean_grad_norm"}  # of monitors, whose name a step has for something else
_OF_WHOLE_RUN = {
    "best_step": "step whose encoder was exported",
    "epochs": "epochs trained",
    "steps": "steps trained",
    "bad_steps": "steps that were skipped because a loss or a gradient was not finite",
    "bad_videos": "videos that could not be read",
    "test_videos": "test videos that were scored",
    "wall_seconds": "duration, earlier parts included",
    "windows_per_second": "training speed",
    "frames_per_second": "training speed times `window.length`",
    "data_wait": "share of the training time spent waiting for data",
    "peak_memory_mb": "memory of the process and its children, megabytes",
    "bytes_per_window": "memory of the device that a window of a batch takes in a step",
}
_OF_STEPS = {
    "loss/LEVEL/TERM": "a term of a level's loss, weighted, mean over the windows of the step",
    "grad_norm/GROUP": "norm of the gradient of a level, or of all that share an optimizer group, before clipping",
    "lr": "learning rate, before `lr_scale` and `pred_multiplier`",
    "windows": "windows of the step",
    "seconds": "duration of the step, the wait for data included",
    "data_wait": "seconds of it spent waiting for data",
    "skipped": "1 where a loss or a gradient was not finite, so that the step was skipped",
    "batch": "batches of the epoch done",
    "epoch": "epochs ended before the step",
    "stage": "stage of a curriculum",
}


# ------------------------------------------------------------------------------------------------- from records


def metrics_of(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record of metrics.jsonl by name; those that are null (not finite) are left out.

    Args:
        record: of any kind and version.
    """
    results = results_of(record) if record.get("kind") == "validation" else []
    told = _NO_METRICS.get(record.get("kind", ""), {"kind", "step"}) | {result.evaluation for result in results}
    metrics = dict(_scores(results))
    for key, value in record.items():
        if key in told:
            continue
        if key == "alarms":
            metrics[key] = float(len(value))
        elif key == "monitors":  # they have names of their own
            metrics |= _flat({_MEAN.get(name, name): by_level for name, by_level in value.items()}, ())
        else:
            metrics |= _flat(value, (key,))
    return metrics


def final_metrics(summary: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of summary.json by name: `test/...` is of the test videos, `run/...` of the run as a whole."""
    looks = results_of({"results": summary.get("pixel_floors") or []})
    metrics = {f"{TEST}/{name}": value for name, value in _scores([*results_of(summary), *looks])}
    for measure in _MEASURED:
        for level, values in (summary.get(measure) or {}).items():
            metrics |= _flat(values.get("final"), (TEST, measure, level))
            metrics |= _flat(values.get("random_init"), (TEST, measure, level, "random_init"))
    for key in _OF_WHOLE_RUN:
        metrics |= _flat(summary.get(key), (WHOLE_RUN, key))
    return metrics


def score_name(result: Result) -> str:
    """`EVALUATION/LEVEL/LABELS`, without what a result does not have, and with the metric where that is not top1."""
    parts = [result.evaluation, result.level, result.labels]
    if result.metric != "top1" or not result.labels:
        parts.append(result.metric)
    return _joined(part for part in parts if part)


def _scores(results: Iterable[Result]) -> Iterator[tuple[str, float]]:
    for result in results:
        name = score_name(result)
        if result.value is not None:
            yield name, float(result.value)
        for floor in FLOORS:
            if getattr(result, floor) is not None:
                yield f"{name}/{floor}", float(getattr(result, floor))


def _flat(value: Any, path: tuple[str, ...]) -> dict[str, float]:
    """The numbers in `value`, by the way to them."""
    if isinstance(value, Mapping):
        found: dict[str, float] = {}
        for key, inner in value.items():
            found |= _flat(inner, (*path, str(key)))
        return found
    return {_joined(path): float(value)} if isinstance(value, (bool, int, float)) else {}


def _joined(parts: Iterable[str]) -> str:
    # TensorBoard has letters, digits, and - _ . alone, and would change all others by itself.
    return "/".join(re.sub(r"[^\w.-]", "_", part) for part in parts)


# --------------------------------------------------------------------------------------------------- the page

_INTRODUCTION = """\
# The numbers of a run, by name

This page is made from the code: `python -m runs.metric_names > docs/metrics.md`.

Every number has one name, in W&B, in TensorBoard, in the report and here: the way to it in metrics.jsonl, with
slashes. The record `{"kind": "step", "step": 10, "loss": {"space": {"up": 0.8}}}` has `loss/space/up`. Two words in
metrics.jsonl are left out of names: `monitors` (what it holds is named like `rank`, which stands beside it), and the
metric `top1` (`{"knn": {"space": {"digit": {"top1": 17.6}}}}` has `knn/space/digit`). What is neither a letter nor a
digit nor `_`, `-` or `.` becomes `_`. Numbers that are not finite have no point.

LEVEL is a level (`space`), PAIR two of them (`space-time`), GROUP a group of parameters (mostly those of a level), TERM
a term of a loss (`up`), EVALUATION a name in `evaluations` (`knn`), LABELS a label set (`digit`), METRIC what is
measured where that is not top-1 accuracy. A score that belongs to no level lacks that part, and so does one without
labels.
"""


def describe() -> str:
    """The page docs/metrics.md: every name, and what it means."""
    scores = {
        "EVALUATION/LEVEL/LABELS": "a score, in percent unless the evaluation says otherwise",
        "EVALUATION/LEVEL/LABELS/METRIC": "the same, where the metric is not top-1 accuracy",
        **{f"EVALUATION/LEVEL/LABELS/{floor}": meaning for floor, meaning in _FLOOR_MEANINGS.items()},
        "EVALUATION/LEVEL/LABELS/METRIC/FLOOR": "these three, where the metric is not top-1 accuracy",
    }
    monitors = {
        f"{_MEAN.get(name, name)}/{_OF.get(name, 'LEVEL')}": monitor.meaning for name, monitor in MONITORS.items()
    }
    monitors |= {"alarms": "monitors that point to a collapse"}
    measured = {f"{measure}/LEVEL": MONITORS[measure].meaning for measure in _MEASURED}
    of_pixels = {
        "EVALUATION/LEVEL/LABELS/pixels": "the same of the best look at the pixels in place of features",
        "EVALUATION/LOOK/LABELS": "the score of a look at the pixels: `mean_frame`, `frames_in_order`, or "
        "`frame_differences` in the place of a level",
    }
    of_test = scores | of_pixels | measured | {f"{name}/random_init": "the same before training" for name in measured}
    parts = [
        _INTRODUCTION,
        _section("Training steps (`kind: step`)", _OF_STEPS),
        _section("Validations (`kind: validation`)", scores | monitors),
        _section("The end of a run: test videos", {f"{TEST}/{name}": text for name, text in of_test.items()}),
        _section("The end of a run: as a whole", {f"{WHOLE_RUN}/{key}": text for key, text in _OF_WHOLE_RUN.items()}),
    ]
    return "".join(parts)


_OF = {"cka": "PAIR", "grad_norm": "GROUP"}
_FLOOR_MEANINGS = {
    "random_init": "the same of the untrained encoder",
    "chance": "the same of naming the most common class always",
    "interval": "half the width of the 95 % interval",
}


def _section(title: str, rows: Mapping[str, str]) -> str:
    lines = [f"| `{name}` | {meaning.rstrip('.')} |\n" for name, meaning in rows.items()]
    return f"\n## {title}\n\n| name | meaning |\n|---|---|\n" + "".join(lines)


if __name__ == "__main__":
    sys.stdout.write(describe())
