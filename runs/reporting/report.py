"""The report of a run: one self-contained HTML file that opens anywhere, fetches nothing, and prints well."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2

from runs.folder import RunFolder
from runs.metric_names import TEST, score_name
from runs.process.atomic import plain, write_text
from runs.reporting.model_figure_captions import MODEL_FIGURE_CAPTIONS, PACE
from runs.reporting.monitor_table import MONITORS
from runs.results import Result, primary, results_of

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_MAX_BAD_VIDEOS = 50  # rows; all are in bad_videos.csv

# Every figure by its file name, in the order of the report: its title, and how to read it.
_FIGURES: dict[str, tuple[str, str]] = {
    "windows": (
        "What the model sees",
        "Decoded input windows before augmentation, one per row of frames, with a wider gap between clips. The thing "
        "that the labels name must be visible here; if it is not, no model can learn it.",
    ),
    "views": (
        "What the levels learn from",
        "Some of these windows, each above what the first epoch's augmentation makes of it, view by view, with the "
        "levels that learn from it. What the labels name must be in all views; what differs is forgotten.",
    ),
    "loss": (
        "Losses and gradients",
        "Every term of every level's loss (logarithmic where it spans orders of magnitude), and the norm of its "
        "gradient before clipping. A falling loss alone proves nothing: a collapsed model predicts itself perfectly.",
    ),
    "pace": PACE,
    "collapse": (
        "Collapse watch",
        "On the validation videos; dashed: the same model before training. "
        + " ".join(f"{monitor.panel[0].upper()}{monitor.panel[1:]}: {monitor.meaning}" for monitor in MONITORS.values())
        + " A red line marks a validation that raised an alarm.",
    ),
    **MODEL_FIGURE_CAPTIONS,
    "pca": (
        "PCA",
        "The two directions in which the features vary most. Distances are true to the features, but two directions "
        "can hide what others separate.",
    ),
    "tsne": (
        "t-SNE",
        "Neighbours stay neighbours: groups of one colour are what kNN finds. Sizes of groups and distances between "
        "them mean nothing.",
    ),
    "umap": (
        "UMAP",
        "As t-SNE, but the places of the groups relative to each other say a little more.",
    ),
    "epochs": (
        "How the space forms",
        "PCA of the same validation videos after some of the epochs, each level coloured by its own labels. Each "
        "picture is turned as a whole to lie upon the next one: what moves is what training has moved.",
    ),
}

_SCORES = "The blue line must leave both floors behind: dashed is the same model before training, dotted is chance."


@dataclass(frozen=True)
class ScoreTable:
    """The results of an evaluation: every level (row) on every label set (column)."""

    title: str
    note: str
    columns: list[str]
    rows: dict[str, list[Result | None]]

    @property
    def measured(self) -> str:
        """Says what the numbers are, and on which videos."""
        first = next(result for row in self.rows.values() for result in row if result)
        videos = f"videos of {first.dataset}" if first.dataset else "videos"
        return f"{first.metric} on the test {videos}, {first.unit}"

    @property
    def metric_name(self) -> str:
        """The name of its numbers wherever they are shown."""
        first = next(result for row in self.rows.values() for result in row if result)
        return f"{TEST}/{score_name(replace(first, level='LEVEL', labels=first.labels and 'LABELS'))}"


def write_report(
    run: RunFolder,
    summary: Mapping[str, Any],
    config_yaml: str,
    environment: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
) -> Path:
    """Assemble `report.html` from the final numbers, the figures in `run.figures`, and `run.bad_videos`.

    Args:
        run: the run's folder.
        summary: as in summary.json. Absent keys leave out their part.
        config_yaml: the full, merged config.
        environment: as in environment.json.
        records: of metrics.jsonl; the last validation tells whether a collapse lasts.

    Returns:
        The path of the report.

    Raises:
        InputError: the file cannot be written.
    """
    summary = plain(summary)
    results, evaluations = primary(results_of(summary)), summary.get("evaluations") or {}
    tables = _score_tables(results, evaluations)
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(_TEMPLATE.read_text(encoding="utf-8"))
    html = template.render(
        name=run.root.name,
        started=environment.get("started", ""),
        task=summary.get("task", ""),
        debug=summary.get("debug"),
        tables=tables,
        pixels=_pixel_table(summary, evaluations),
        singles=[(_described(evaluations, r)["heading"], r) for r in results if r.level is None],
        skipped=summary.get("skipped") or {},
        untrained=summary.get("untrained") or [],
        headline=_headline(tables),
        alarms=summary.get("alarms"),
        last_alarms=next((r.get("alarms") or [] for r in reversed(records) if r["kind"] == "validation"), []),
        watch=_collapse_watch(summary),
        facts=_facts(summary, environment),
        stages=[_stage(stage) for stage in summary.get("stages") or []],
        figures=_figures(run.figures, evaluations),
        failed_figures=summary.get("failed_figures") or {},
        bad_videos=run.bad_video_rows(),
        max_bad_videos=_MAX_BAD_VIDEOS,
        config=config_yaml.strip(),
        environment=json.dumps(plain(environment), indent=2),
    )
    write_text(run.report, html)
    return run.report


def _described(evaluations: Mapping[str, Mapping[str, str]], result: Result) -> Mapping[str, str]:
    """Heading and note of the evaluation that a result is of."""
    return evaluations.get(result.evaluation) or {"heading": result.evaluation, "note": ""}


def _score_tables(results: Sequence[Result], evaluations: Mapping[str, Mapping[str, str]]) -> list[ScoreTable]:
    """A table for every evaluation, of its results that are of a level."""
    tables = []
    by_evaluation: dict[str, list[Result]] = {}
    for result in results:
        if result.level is not None:
            by_evaluation.setdefault(result.evaluation, []).append(result)
    for mine in by_evaluation.values():
        columns = list(dict.fromkeys(result.column for result in mine))
        rows: dict[str, list[Result | None]] = {}
        for level in dict.fromkeys(str(result.level) for result in mine):
            cells = {result.column: result for result in mine if result.level == level}
            rows[level] = [cells.get(column) for column in columns]
        described = _described(evaluations, mine[0])
        tables.append(ScoreTable(described["heading"], described["note"], columns, rows))
    return tables


def _pixel_table(summary: Mapping[str, Any], evaluations: Mapping[str, Mapping[str, str]]) -> dict[str, Any] | None:
    """What evaluations say of looks at the pixels: `looks`, and `rows` by evaluation and label set; None without."""
    shown = primary(results_of({"results": summary.get("pixel_floors") or []}))
    if not shown:
        return None
    looks = list(dict.fromkeys(result.level for result in shown))
    rows: dict[str, dict[str | None, float | None]] = {}
    for result in shown:
        title = _described(evaluations, result).get("title", result.evaluation)
        rows.setdefault(f"{title}, {result.column}", {})[result.level] = result.value
    return {"looks": looks, "rows": {name: [cells.get(look) for look in looks] for name, cells in rows.items()}}


def _headline(tables: Sequence[ScoreTable]) -> tuple[str, str]:
    """The rows of the first table: for every level and its own labels a verdict and a sentence."""
    own = {
        level: score
        for table in tables[:1]
        for level, row in table.rows.items()
        for score in row
        if score and score.own
    }
    if not own:
        return "unknown", "No level was scored on labels of its own."
    failed = [level for level, score in own.items() if score.learned != "above"]
    by_pixels = [level for level, score in own.items() if score.learned == "above" and score.verdict != "above"]
    verdict = "within" if failed or by_pixels else "above"
    beyond = "by more than the 95 % interval"
    if failed:
        text = (
            f"{len(own) - len(failed)} of {len(own)} levels know their own labels. Not above the higher one of random "
            f"init and chance {beyond}: {', '.join(failed)}."
        )
    else:
        text = f"Every level knows its own labels: above random init and above chance {beyond}."
    if by_pixels:
        text += (
            f" Plain pixels, without any learning, do as well within that interval, or better: {', '.join(by_pixels)}."
        )
    return verdict, text


def _collapse_watch(summary: Mapping[str, Any]) -> dict[str, list[float | None]]:
    """Per level: final rank, rank at random init, final std, std at random init."""
    rank, std = summary.get("rank") or {}, summary.get("std") or {}
    return {
        level: [(values.get(level) or {}).get(key) for values in (rank, std) for key in ("final", "random_init")]
        for level in dict.fromkeys([*rank, *std])
    }


def _facts(summary: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, str]:
    """The cost and the environment of the run, in words."""

    def text(key: str, form: str = "{}", scale: float = 1) -> str | None:
        value = summary.get(key)
        return None if value is None else form.format(value if isinstance(value, str) else value * scale)

    seconds = summary.get("wall_seconds")
    git = environment.get("git")
    facts = {
        "Task": text("task"),
        "Command": text("command") or environment.get("command"),
        "Device": " \u00b7 ".join(dict.fromkeys(filter(None, (text("device"), environment.get("device_name"))))),
        "Wall time": None if seconds is None else _duration(seconds),
        "Training": ", ".join(filter(None, (text("epochs", "{:,} epochs"), text("steps", "{:,} steps")))),
        "Encoder": text("chosen", "of {}"),
        "Validation videos": text("drawn_val"),
        "Speed": ", ".join(
            filter(
                None,
                (
                    text("windows_per_second", "{:,.1f} windows/s"),
                    text("frames_per_second", "{:,.1f} frames/s"),
                ),
            )
        ),
        "Waiting for data": text("data_wait", "{:.1f} % of the time", 100),
        "Peak memory": text("peak_memory_mb", "{:,.0f} MB"),
        "Unreadable videos": text("bad_videos"),
        "Git commit": git and git["commit"] + (" with uncommitted changes" if git["dirty"] else ""),
    }
    return {key: value for key, value in facts.items() if value}


def _stage(stage: Mapping[str, Any]) -> dict[str, str]:
    """A row of the table of stages."""
    levels = [f"{level} (frozen)" if level in stage["frozen"] else level for level in stage["levels"]]
    height, width = stage["frame_size"]
    frames = "a single frame" if stage["frames"] == 1 else f"{stage['frames']} frames"
    tensors = stage.get("tensors") or {}
    return {
        "Levels": ", ".join(levels),
        "Windows": f"{frames} of {height} x {width} pixels, from {stage['dataset']}",
        "Training": f"{_counted(stage['epochs'], 'epoch')}, {_counted(stage['steps'], 'step')}, "
        f"{_duration(stage['training_seconds'])}",
        "Ended with": stage["ended"],
        "Checkpoint": stage["chosen"],
        "Began with": ", ".join(f"{_counted(number, 'tensor')} {kind}" for kind, number in tensors.items() if number)
        or "random init",
    }


def _counted(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number:,} {what}s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _figures(folder: Path, evaluations: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    """The PNG files of `folder`: those that the report knows in its order, then the others by name."""
    found = {path.stem: path for path in sorted(folder.glob("*.png"))}
    scores = {name: (f"{described['title']} while training", _SCORES) for name, described in evaluations.items()}
    known = {"windows": _FIGURES["windows"], "views": _FIGURES["views"]} | scores | _FIGURES
    figures = []
    for stem in [*(stem for stem in known if stem in found), *(stem for stem in found if stem not in known)]:
        title, caption = known.get(stem, (stem, ""))
        data = found[stem].read_bytes()
        width, height = struct.unpack(">II", data[16:24])  # of the PNG header: the page keeps its layout while it loads
        source = "data:image/png;base64," + base64.b64encode(data).decode()
        figures.append({"title": title, "caption": caption, "source": source, "width": width, "height": height})
    return figures
