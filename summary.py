"""What a run says of itself: summary.json and the report, on the way and at its end."""

from __future__ import annotations

from typing import Any

from config.load import render_config
from eval import FinalTest
from experiment import Experiment
from runs.history import History
from runs.process.atomic import write_json
from runs.process.clock import seconds_since_start
from runs.process.environment import device_name
from runs.reporting.report.run_report import Progress, renew_report, write_report


def summarise(
    experiment: Experiment, history: History, test: FinalTest, records: list[dict[str, Any]]
) -> dict[str, Any]:
    """What summary.json says of a run, but for what only its end can tell."""
    config, plan = experiment.config, experiment.plan
    return test.record() | {
        "evaluations": plan.described(),
        "skipped": plan.skipped,
        "untrained": plan.untrained(),
        "drawn_val": experiment.catalogs["val"].drawn or None,
        "own_labels": plan.own.own,
        "alarms": [f"step {record['step']}: {alarm}" for record in records for alarm in record.get("alarms", [])],
        "task": config.task,
        "debug": config.debug,
        "epochs": history.first_epoch + history.epoch,
        "steps": history.total_steps,
        "best_step": history.total_best_step,
        "bad_steps": history.bad_steps + sum(stage["bad_steps"] for stage in history.finished),
        "bad_videos": len(experiment.bad_videos),
        "device": device_name(experiment.device),
        "command": experiment.environment["command"],
        "bytes_per_window": history.bytes_per_window,
        **history.speed(config.window.length),
    }


def publish(
    experiment: Experiment, summary: dict[str, Any], records: list[dict[str, Any]], seconds_before: float
) -> None:
    """Writes summary.json, and the report with the figures that there are.

    Args:
        experiment: the run's.
        summary: gets the time and the memory that the run has taken so far.
        records: of metrics.jsonl.
        seconds_before: wall time of earlier parts of the run.
    """
    summary["wall_seconds"] = seconds_before + seconds_since_start()
    summary["peak_memory_mb"] = experiment.memory.peak_mb
    write_json(experiment.run.summary, summary)
    write_report(experiment.run, summary, render_config(experiment.loaded), experiment.environment, records)


def renew(experiment: Experiment, progress: Progress) -> None:
    """Writes the report of a run that has not ended, with what metrics.jsonl says so far."""
    plan, config = experiment.plan, experiment.config
    known = {
        "evaluations": plan.described(),
        "skipped": plan.skipped,
        "own_labels": plan.own.own,
        "task": config.task,
        "debug": config.debug,
        "device": device_name(experiment.device),
        "command": experiment.environment["command"],
        "bad_videos": len(experiment.bad_videos),
    }
    renew_report(experiment.run, known, render_config(experiment.loaded), experiment.environment, progress)
