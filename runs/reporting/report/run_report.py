"""The report of a run: one self-contained HTML file that opens anywhere, fetches nothing, and prints well."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runs.folder import RunFolder
from runs.metrics import MetricLog
from runs.process.atomic import plain, write_text
from runs.reporting.report.charts import NOTES, charts_of
from runs.reporting.report.config_changes import changes, flat
from runs.reporting.report.drawn_chart import DrawnChart, drawn
from runs.reporting.report.facts import collapse_watch, commands, facts, stage
from runs.reporting.report.page import render_page
from runs.reporting.report.pictures import CHARTS, pictures
from runs.reporting.report.scatter import read_scatter
from runs.reporting.report.scores import described, headline, main_table, pixel_table, score_tables
from runs.results import primary, results_of

logger = logging.getLogger(__name__)

_MAX_BAD_VIDEOS = 50  # rows; all are in bad_videos.csv
_WHILE_TRAINING = ("windows", "views")  # pictures that do not change while a run goes on


@dataclass(frozen=True)
class Progress:
    """How far a run has come that has not ended."""

    step: int
    total_steps: int | None
    """None: not known."""
    epoch: int
    epochs: int
    stopped: bool = False
    """Whether nothing goes on: it was stopped, or nobody knows."""

    @property
    def words(self) -> str:
        """Where it is."""
        is_at = "Stopped at" if self.stopped else "In training: at"
        of = "" if self.total_steps is None else f" of {self.total_steps:,}"
        return f"{is_at} step {self.step:,}{of}, {self.epoch} of {self.epochs} epochs done."


def write_report(
    run: RunFolder,
    summary: Mapping[str, Any],
    config_yaml: str,
    environment: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    progress: Progress | None = None,
) -> Path:
    """Assemble `report.html` from the numbers, the figures in `run.figures`, and `run.bad_videos`.

    Args:
        run: the run's folder.
        summary: as in summary.json. Absent keys leave out their part.
        config_yaml: the full, merged config.
        environment: as in environment.json.
        records: of metrics.jsonl.
        progress: of a run that has not ended: then the scores are those of the last validation; None: it has.

    Returns:
        The path of the report.

    Raises:
        InputError: the file cannot be written.
    """
    summary = plain(summary)
    evaluations = summary.get("evaluations") or {}
    validations = [record for record in records if record["kind"] == "validation"]
    last = validations[-1] if validations else {}
    scored = last if progress else summary
    results = primary(results_of(scored, summary.get("own_labels")) if scored else [])
    tables = score_tables(results, evaluations)
    charts = [drawn(chart) for chart in charts_of(records, {name: e["title"] for name, e in evaluations.items()})]
    scatter = None if progress else read_scatter(run.figures)
    config = flat(config_yaml)
    html = render_page(
        "run.html.j2",
        ["charts.js", "scatter.js", "renewal.js"],
        {"charts": [chart.data for chart in charts], "scatter": scatter.data if scatter else None},
        name=run.root.name,
        started=environment.get("started", ""),
        dataset=config.get("dataset.name", ""),
        task=summary.get("task", ""),
        debug=summary.get("debug"),
        progress=progress,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        main=main_table(results, evaluations),
        tables=tables,
        pixels=pixel_table(summary, evaluations),
        singles=[(described(evaluations, r)["heading"], r) for r in results if r.level is None],
        skipped=summary.get("skipped") or {},
        untrained=summary.get("untrained") or [],
        headline=headline(tables),
        alarms=_alarms(summary, validations),
        last_alarms=last.get("alarms") or [],
        watch=collapse_watch(summary),
        facts=facts(summary, environment),
        stages=[stage(found) for found in summary.get("stages") or []],
        sections=sections_of(charts),
        scatter=scatter,
        pictures=_pictures(run, evaluations, charts, progress),
        failed_figures=summary.get("failed_figures") or {},
        bad_videos=run.bad_video_rows(),
        max_bad_videos=_MAX_BAD_VIDEOS,
        changes=changes(config_yaml),
        config=config_yaml.strip(),
        environment=json.dumps(plain(environment), indent=2),
        commands=commands(run.root, environment, ended=progress is None),
    )
    write_text(run.report, html)
    return run.report


def renew_report(
    run: RunFolder,
    known: Mapping[str, Any],
    config_yaml: str,
    environment: Mapping[str, Any],
    progress: Progress,
) -> None:
    """Writes the report of a run that has not ended. Where that fails, the run goes on, and the log says so.

    Args:
        run: the run's folder.
        known: of what summary.json will say.
        config_yaml: the full, merged config.
        environment: as in environment.json.
        progress: how far it has come.
    """
    try:
        write_report(run, known, config_yaml, environment, MetricLog.read(run.metrics), progress)
    except Exception as error:  # whatever it is: the report can be written again, an epoch cannot be had again soon
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        logger.warning("%s could not be renewed: %s", run.report, reason)


def _alarms(summary: Mapping[str, Any], validations: Iterable[Mapping[str, Any]]) -> list[str] | None:
    """All that were raised; None where nothing was measured."""
    if "alarms" in summary:
        alarms: list[str] | None = summary["alarms"]
        return alarms
    found = [record for record in validations if "alarms" in record]
    return [f"step {record['step']}: {alarm}" for record in found for alarm in record["alarms"]] if found else None


def sections_of(charts: Sequence[DrawnChart], notes: Mapping[str, str] = NOTES) -> list[dict[str, Any]]:
    """The charts by section, each with its number in the data of the script; `notes` say how to read a section."""
    sections: dict[str, dict[str, Any]] = {}
    for number, chart in enumerate(charts):
        name = chart.chart.section
        section = sections.setdefault(name, {"title": name, "note": notes[name], "shown": [], "folded": []})
        section["shown" if chart.chart.own else "folded"].append((number, chart))
    return list(sections.values())


def _pictures(
    run: RunFolder,
    evaluations: Mapping[str, Any],
    charts: Sequence[DrawnChart],
    progress: Progress | None,
) -> list[dict[str, Any]]:
    """The pictures that belong to what the report shows: while a run goes on, others are of an earlier part of it."""
    left_out = {*CHARTS, *evaluations} if charts else set()
    if progress:
        left_out |= {path.stem for path in run.figures.glob("*.png") if path.stem not in _WHILE_TRAINING}
    return pictures(run.figures, left_out)
