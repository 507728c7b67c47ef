"""Folders of runs that are done, with scores of the test's choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runs.metrics import MetricLog
from runs.process.atomic import write_json
from runs.results import Result, as_records
from sweeps.folder import Manifest, SweepFolder, SweepRun

OWN = {"space": "digit", "clip": "program"}


def results(split: str, values: Mapping[str, float], init: float, evaluation: str = "knn") -> list[Result]:
    """Scores of the levels on their own labels, and 99 on every other label set."""
    found = []
    for level, value in values.items():
        for labels in OWN.values():
            own = OWN[level] == labels
            score = value if own else 99.0
            found.append(
                Result(
                    evaluation,
                    "moving_digits",
                    split,
                    level,
                    labels,
                    "top1",
                    score,
                    random_init=init,
                    chance=10.0,
                    own=own,
                )
            )
    return found


def finish(
    folder: SweepFolder, name: str, val: float | None, test: float, init: float = 20.0, seconds: float = 60.0
) -> None:
    """A run that scores `val` and `test`, the mean of 10 less (space) and 10 more (clip), at its best step.

    `val` None: kNN does not score validation videos.
    """
    run = folder.run(name)
    run.root.mkdir(parents=True)

    def both(split: str, score: float, evaluation: str = "knn") -> list[dict[str, Any]]:
        return as_records(results(split, {"space": score - 10, "clip": score + 10}, init, evaluation))

    with MetricLog(run.metrics) as log:
        for step, offset in ((0, -30.0), (3, 0.0), (6, -5.0)):
            log.write("step", step=step, epoch=0)
            log.write(
                "validation", step=step, epoch=step // 3, results=both("val", val + offset) if val is not None else []
            )
    summary = {"own_labels": OWN, "best_step": 3, "wall_seconds": seconds, "alarms": ["step 3: rank fell"]}
    write_json(run.summary, summary | {"results": both("test", test) + both("test", test - 5, "linear_probe")})


def sweep_of(folder: SweepFolder, runs: Sequence[tuple[dict[str, Any], int]], drawn: Sequence[str] = ()) -> Manifest:
    """The manifest of runs that are named a, b, c, ... in their order."""
    names = [chr(ord("a") + number) for number in range(len(runs))]
    made = [SweepRun(name, values, seed, f"{name}.yaml") for name, (values, seed) in zip(names, runs, strict=True)]
    manifest = Manifest("base.yaml", list(runs[0][0]), list(drawn), made)
    folder.root.mkdir(parents=True, exist_ok=True)
    folder.write(manifest)
    return manifest
