"""Runs what is planned, each run in a process of its own, and leaves one small result file for each."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality.plan import FLOORS, Run
from config.errors import InputError
from config.yaml_text import to_yaml
from runs.metrics import MetricLog
from runs.process.atomic import write_json
from sweeps.process import ROOT, run_python
from sweeps.training import Training, train

RESULTS = ROOT / "benchmarks/results/quality"


class RunFailed(Exception):
    """A run did not reach its end; the message is the line with which it ended."""


@dataclass(frozen=True)
class Executor:
    """Where runs lie, and what they get of the machine.

    Attributes:
        runs: folder of the run folders.
        results: folder of the result files.
        threads: of each run.
        jobs: number of parallel runs; recorded in the results, since they share the machine.
        val_probes: whether linear probes are fitted for the validation videos.
    """

    runs: Path
    results: Path
    threads: int
    jobs: int
    val_probes: bool

    def execute(self, run: Run) -> str:
        """Does what is still missing of a run.

        Returns:
            What was done, in a few words.

        Raises:
            RunFailed: it did not reach its end.
            InputError: a file cannot be read or written.
        """
        file = self.results / f"{run.name}.json"
        if file.is_file() and not self._lacks(read_result(file), run):
            return "complete already"
        self.results.mkdir(parents=True, exist_ok=True)
        result = self._floors(run) if run.recipe == FLOORS else self._trained(run)
        write_json(file, result)
        return f"done in {result['seconds']:.0f} s"

    def _lacks(self, result: Mapping[str, Any], run: Run) -> bool:
        """Whether a result is of another config, or without the probes that are wanted now."""
        other = result["fingerprint"] != run.fingerprint or result["seed"] != run.seed
        return other or (self.val_probes and result["val"]["linear_probe"] is None)

    def _trained(self, run: Run) -> dict[str, Any]:
        """Trains, scores, and puts together what both have left."""
        name = f"{run.name}-{run.fingerprint[:8]}"  # a run is never resumed with another config
        runs = self.runs.resolve()
        places = (f"save_path={to_yaml(str(runs))}", f"model_name={to_yaml(name)}")
        training = Training(name, runs, run.config, (*run.overrides, *places), start_in=ROOT)
        if ended := train(training, self.threads):
            raise RunFailed(ended.removeprefix("error: "))
        folder, scores = training.run.root, runs / f"{name}.scores.json"
        skip = [] if self.val_probes else ["--skip-val-probes"]
        self._python(run, "benchmarks.quality.score", str(folder), str(scores), *skip)
        environment = read_json(folder / "environment.json")
        found = gather(read_json(folder / "summary.json"), MetricLog.read(folder / "metrics.jsonl"), read_json(scores))
        return self._described(run, environment) | found

    def _floors(self, run: Run) -> dict[str, Any]:
        scores = self.runs.resolve() / f"{run.name}.scores.json"
        self._python(run, "benchmarks.quality.floors", run.config, str(scores), *run.overrides)
        found = read_json(scores)
        return self._described(run, found.pop("environment")) | found

    def _python(self, run: Run, module: str, *arguments: str) -> None:
        if ended := run_python(["-m", module, *arguments], self.threads, self.runs / f"{run.name}.scores.log"):
            raise RunFailed(ended)

    def _described(self, run: Run, environment: Mapping[str, Any]) -> dict[str, Any]:
        commit = (environment["git"] or {}).get("commit")
        machine = {key: environment[key] for key in ("device_name", "cpus", "memory_gb")}
        return {
            "dataset": run.dataset,
            "recipe": run.recipe,
            "seed": run.seed,
            "fingerprint": run.fingerprint,
            **run.description,
            "git": {"commit": commit, "dirty": code_differs()},
            "machine": machine | {"threads": self.threads, "jobs": self.jobs},
        }


def gather(
    summary: Mapping[str, Any], records: Sequence[Mapping[str, Any]], scored: Mapping[str, Any]
) -> dict[str, Any]:
    """The numbers of a finished run.

    Args:
        summary: its summary.json.
        records: of its metrics.jsonl, every step among them.
        scored: what `benchmarks.quality.score` adds.

    Returns:
        what a result says beside its description: scores (percent, by level and label set) of both splits, trained and
        at random init, RankMe, the budget, and the cost.
    """
    steps = [record for record in records if record["kind"] == "step"]
    validations = [record for record in records if record["kind"] == "validation"]
    best = [record for record in validations if record["step"] == summary["best_step"]][-1]
    levels = summary["knn"]
    chances = {split: knn[next(iter(levels))] for split, knn in (("val", best["knn"]), ("test", levels))}
    return {
        "budget": {
            "epochs": summary["epochs"],
            "batch_size": scored["batch_size"],
            "steps": summary["steps"],
            "windows": sum(step["windows"] for step in steps),
            "views": scored["views"],
        },
        "videos": scored["videos"],
        "own_labels": summary["own_labels"],
        "val": {
            "chance": _only(chances["val"], "chance"),
            "knn": _pick(best["knn"], "top1"),
            "linear_probe": scored["linear_probe"],
            "at_init": {"knn": _pick(best["knn"], "random_init"), "linear_probe": None},
        },
        "test": {
            "chance": _only(chances["test"], "chance"),
            "knn": _pick(summary["knn"], "top1"),
            "linear_probe": _pick(summary["linear_probe"], "top1"),
            "at_init": {kind: _pick(summary[kind], "random_init") for kind in ("knn", "linear_probe")},
        },
        "rank": _only(summary["rank"], "final"),
        "rank_at_init": _only(summary["rank"], "random_init"),
        "classifier": summary.get("supervised"),
        "alarms": summary["alarms"],
        "bad_steps": summary["bad_steps"],
        "bad_videos": summary["bad_videos"],
        "seconds": summary["wall_seconds"],
        "training_seconds": sum(step["seconds"] for step in steps),
        "peak_memory_mb": summary["peak_memory_mb"],
    }


def _pick(scores: Mapping[str, Mapping[str, Mapping[str, float]]], what: str) -> dict[str, dict[str, float]]:
    return {level: _only(by_labels, what) for level, by_labels in scores.items()}


def _only(by_name: Mapping[str, Mapping[str, float]], what: str) -> dict[str, float]:
    return {name: values[what] for name, values in by_name.items()}


def code_differs() -> bool | None:
    """Whether the repository differs from its commit, the results apart; None where there is no git."""
    command = ["git", "-C", str(ROOT), "status", "--porcelain", "--", ".", ":(exclude)benchmarks/results"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return bool(answer.stdout) if answer.returncode == 0 else None


def read_result(file: Path) -> dict[str, Any]:
    """A result file. InputError: it is damaged, or is none."""
    result = read_json(file)
    if missing := {"dataset", "recipe", "seed", "fingerprint", "val", "test"} - result.keys():
        raise InputError(f"{file} is not a result of a run ({min(missing)} is missing); remove it")
    return result


def read_json(file: Path) -> dict[str, Any]:
    """The object that a JSON file holds. InputError: it cannot be read, or holds something else."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{file} is damaged ({error}); remove it") from None
    if not isinstance(content, dict):
        raise InputError(f"{file} holds no object; remove it")
    return content
