"""The report of a run: one self-contained HTML file that opens anywhere, fetches nothing, and prints well."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from runs.atomic import plain, write_text
from runs.folder import RunFolder

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_MAX_BAD_VIDEOS = 50  # rows; all are in bad_videos.csv

# Every figure by its file name, in the order of the report: its title, and how to read it.
_FIGURES = {
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
    "knn": (
        "kNN while training",
        "The blue line must leave both floors behind: dashed is the same model before training, dotted is chance.",
    ),
    "loss": (
        "Losses and gradients",
        "Every term of every level's loss (logarithmic where it spans orders of magnitude), and the norm of its "
        "gradient before clipping. A falling loss alone proves nothing: a collapsed model predicts itself perfectly.",
    ),
    "collapse": (
        "Collapse watch",
        "On the validation videos; dashed: the same model before training. Effective rank (how many directions the "
        "features use), LiDAR (along how many of them videos differ more than the windows of a video) and the standard "
        "deviation must not fall far below it. A prediction that says something about its video errs less against its "
        "own target than against another video's: its ratio leaves 1. A level whose gradient is 0 does not learn. CKA "
        "of two levels is 1 where they show the same. A red line marks a validation that raised an alarm.",
    ),
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
}


@dataclass(frozen=True)
class Score:
    """A score in percent beside its floors; None: not measured."""

    top1: float | None
    random_init: float | None
    chance: float | None
    interval: float | None
    own: bool = False

    @property
    def floor(self) -> float | None:
        """The higher one of the floors that are known."""
        return max((value for value in (self.random_init, self.chance) if value is not None), default=None)

    @property
    def verdict(self) -> str:
        """`above` or `below` the floor by more than the interval, or `within`; `unknown` where a number is missing."""
        if self.top1 is None or self.floor is None or self.interval is None:
            return "unknown"
        if abs(self.top1 - self.floor) <= self.interval:
            return "within"
        return "above" if self.top1 > self.floor else "below"


@dataclass(frozen=True)
class ScoreTable:
    """Scores of every level (row) for every label set (column)."""

    title: str
    note: str
    labels: list[str]
    rows: dict[str, list[Score | None]]


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
        summary: as in summary.json; scores and intervals (half width) in percent. Absent keys leave out their part.
        config_yaml: the full, merged config.
        environment: as in environment.json.
        records: of metrics.jsonl; the last validation tells whether a collapse lasts.

    Returns:
        The path of the report.

    Raises:
        InputError: the file cannot be written.
    """
    summary = plain(summary)
    tables = _score_tables(summary)
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(_TEMPLATE.read_text(encoding="utf-8"))
    html = template.render(
        name=run.root.name,
        started=environment.get("started", ""),
        task=summary.get("task", ""),
        tables=tables,
        supervised=_score(summary["supervised"]) if summary.get("supervised") else None,
        supervised_labels=(summary.get("supervised") or {}).get("labels"),
        headline=_headline(tables),
        alarms=summary.get("alarms"),
        last_alarms=next((r.get("alarms") or [] for r in reversed(records) if r["kind"] == "validation"), []),
        watch=_collapse_watch(summary),
        facts=_facts(summary, environment),
        figures=_figures(run.figures),
        failed_figures=summary.get("failed_figures") or {},
        bad_videos=run.bad_video_rows(),
        max_bad_videos=_MAX_BAD_VIDEOS,
        config=config_yaml.strip(),
        environment=json.dumps(plain(environment), indent=2),
    )
    write_text(run.report, html)
    return run.report


def _score(values: Mapping[str, Any], own: bool = False) -> Score:
    return Score(values.get("top1"), values.get("random_init"), values.get("chance"), values.get("interval"), own)


def _score_tables(summary: Mapping[str, Any]) -> list[ScoreTable]:
    """The tables of kNN and of the linear probe, those that the summary has."""
    titles = {
        "knn": (
            "k nearest neighbours",
            "Frozen features; the label of a test video is voted by its nearest training videos.",
        ),
        "linear_probe": ("Linear probe", "A linear classifier trained on the frozen features of the training videos."),
    }
    own = summary.get("own_labels") or {}
    tables = []
    for key, (title, note) in titles.items():
        scores = summary.get(key) or {}
        labels = list(dict.fromkeys(name for of_level in scores.values() for name in of_level))
        rows: dict[str, list[Score | None]] = {
            level: [_score(of_level[name], own.get(level) == name) if name in of_level else None for name in labels]
            for level, of_level in scores.items()
        }
        if labels:
            tables.append(ScoreTable(title, note, labels, rows))
    return tables


def _headline(tables: Sequence[ScoreTable]) -> tuple[str, str]:
    """What the first table says about every level and its own labels: a verdict and a sentence."""
    own = {
        level: score.verdict
        for table in tables[:1]
        for level, row in table.rows.items()
        for score in row
        if score and score.own
    }
    if not own:
        return "unknown", "No level was scored on labels of its own."
    failed = [level for level, verdict in own.items() if verdict != "above"]
    if not failed:
        return "above", (
            "Every level knows its own labels: above random init and above chance by more than the 95 % interval."
        )
    return "within", (
        f"{len(own) - len(failed)} of {len(own)} levels know their own labels. Not above the floor (the higher one of "
        f"random init and chance) by more than the 95 % interval: {', '.join(failed)}."
    )


def _collapse_watch(summary: Mapping[str, Any]) -> dict[str, list[float | None]]:
    """Per level: final rank, rank at random init, final std, std at random init."""
    rank, std = summary.get("rank") or {}, summary.get("std") or {}
    return {
        level: [(values.get(level) or {}).get(key) for values in (rank, std) for key in ("final", "random_init")]
        for level in dict.fromkeys([*rank, *std])
    }


def _facts(summary: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, str]:
    """What the run cost and what it ran on, in words."""

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


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _figures(folder: Path) -> list[dict[str, Any]]:
    """The PNG files of `folder`: those that the report knows in its order, then the others by name."""
    found = {path.stem: path for path in sorted(folder.glob("*.png"))}
    figures = []
    for stem in [*(stem for stem in _FIGURES if stem in found), *(stem for stem in found if stem not in _FIGURES)]:
        title, caption = _FIGURES.get(stem, (stem, ""))
        data = found[stem].read_bytes()
        width, height = struct.unpack(">II", data[16:24])  # of the PNG header: the page keeps its layout while it loads
        source = "data:image/png;base64," + base64.b64encode(data).decode()
        figures.append({"title": title, "caption": caption, "source": source, "width": width, "height": height})
    return figures
