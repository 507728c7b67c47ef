"""Results of several encoders and datasets as one table: Markdown to read, CSV and JSON to go on with."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.scoring import Evaluated
from runs.process.atomic import write_json, write_text
from runs.results import Result, primary

_MARKS = {"above": "", "within": " ~", "below": " !", "unknown": ""}
MARKS_IN_WORDS = "~ within the interval of its highest floor, ! below it; * the labels that the level is judged by"


def write_tables(folder: Path, found: Sequence[Evaluated], command: str) -> list[Path]:
    """Writes `results.md`, `results.csv` and `results.json` into an existing folder.

    Raises:
        InputError: a file cannot be written.
    """
    rows = [
        {"encoder": each.encoder, "weights": each.weights} | asdict(result) for each in found for result in each.results
    ]
    files = [folder / f"results.{kind}" for kind in ("md", "csv", "json")]
    write_text(files[0], f"`{command}`\n\n{markdown(found)}\n")
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_text(files[1], text.getvalue())
    pixels = [{"encoder": each.encoder} | asdict(look) for each in found for look in each.pixels]
    skipped = {each.encoder: each.skipped for each in found}
    write_json(files[2], {"command": command, "results": rows, "pixel_floors": pixels, "skipped": skipped})
    return files


def markdown(found: Sequence[Evaluated]) -> str:
    """A row for every dataset, evaluation, level and label set; a column for every encoder, with its random init.

    Chance is the same for all encoders; of pixels, which each sees in windows and sizes of its own, the best are shown.
    """
    by_dataset: dict[str, dict[str, Evaluated]] = {}
    for each in found:
        by_dataset.setdefault(each.dataset, {})[each.encoder] = each
    parts = []
    for dataset, encoders in by_dataset.items():
        names = list(encoders)
        lines = [
            _line(["evaluation", "level", "labels", "metric", *names, "chance", "pixels"]),
            _line(["---"] * (6 + len(names))),
        ]
        cells: dict[tuple[Any, ...], dict[str, Result]] = {}
        for name, each in encoders.items():
            for result in primary(each.results):
                cells.setdefault((result.evaluation, result.level, result.labels, result.metric), {})[name] = result
        for (evaluation, level, labels, metric), of_row in cells.items():
            first = next(iter(of_row.values()))
            star = "*" if first.own else ""
            values = [_cell(of_row[name]) if name in of_row else "–" for name in names]
            floors = [result.pixels for result in of_row.values() if result.pixels is not None]
            values += [_number(first.chance), _number(max(floors, default=None))]
            lines.append(_line([evaluation, level or "–", f"{labels or '–'}{star}", metric, *values]))
        parts.append(f"### {_escaped(dataset)}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + f"\n\n± half of the 95 % interval; in brackets the random init; {MARKS_IN_WORDS}"


def _cell(result: Result) -> str:
    text = _number(result.value)
    if result.interval is not None:
        text += f" ±{result.interval:.1f}"
    if result.std is not None:
        text += f" (std {result.std:.1f} of {result.seeds})"
    if result.random_init is not None:
        text += f" ({result.random_init:.1f})"
    return text + _MARKS[result.verdict]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
