"""The results as Markdown: one table for each dataset, floors first, and below it where each row came from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t as student

from benchmarks.quality.plan import FLOORS, Book
from config.yaml_text import to_yaml
from protocols.metrics import confidence_interval

Result = dict[str, Any]

KINDS = {"knn": "kNN", "linear_probe": "linear"}
LEGEND = (
    "Accuracy in percent on the {split} videos, mean over seeds ± half a 95 % interval: of the mean over seeds (`s`, "
    "Student's t) or of a score on so many videos (`v`, Wilson), whichever is larger. **Bold**: the label set that the "
    "level is judged by. RankMe on test windows. Windows seen in training, and views of each; seconds (of the training "
    "alone) and memory are means over seeds."
)
OF_VALIDATION = (
    " kNN of the runs is that of their last validation, whose bank is `evaluations.knn.settings.bank` training videos; "
    "that of the floors has all of them. At random init no probe is fitted for validation videos."
)
NONE = "–"


def render(results: Sequence[Result], book: Book, split: str) -> str:
    """All tables.

    Args:
        results: what the result files hold.
        book: gives the order and what each recipe shows.
        split: `val` or `test`.
    """
    datasets = _in_order([result["dataset"] for result in results], list(book.datasets))
    parts = [LEGEND.format(split="test") if split == "test" else LEGEND.format(split="validation") + OF_VALIDATION]
    for dataset in datasets:
        of_dataset = [result for result in results if result["dataset"] == dataset]
        parts.append("\n".join(_section(dataset, of_dataset, book, split)))
    return "\n\n".join(parts)


def _section(dataset: str, results: Sequence[Result], book: Book, split: str) -> Iterator[str]:
    """One dataset's heading, table and notes."""
    floors = [result for result in results if result["recipe"] == FLOORS]
    runs = [result for result in results if result["recipe"] != FLOORS]
    if runs:
        own = dict.fromkeys(label for run in runs for label in run["own_labels"].values())
        labels = list(own | dict.fromkeys(runs[0]["test"]["chance"]))
    else:
        labels = list(floors[0]["test"]["chance"])
    videos = ", ".join(f"{count} {part}" for part, count in results[0]["videos"].items())
    columns = ["recipe", "level", *(f"{kind} {label}" for kind in KINDS.values() for label in labels)]
    columns += ["RankMe", "windows", "views", "epochs x batch", "steps", "seconds (training)", "MB", "alarms", "seeds"]
    yield from (f"### {dataset} ({videos} videos)", "", _row(columns), "|---" * len(columns) + "|")
    chances = [f"{results[0][split]['chance'][label]:.1f}" for label in labels]
    yield _row(["chance", "", *chances * len(KINDS), *[""] * 9])
    for result in floors:
        yield from _floor_rows(result, labels, split)
    groups = list(_groups(runs, book))
    for title, group, at_init in groups:
        yield from _run_rows(title, group, labels, split, at_init)
    yield ""
    for result in floors:
        yield _floor_note(result)
    for title, group, at_init in groups:
        yield _note(title, group, book, split, at_init)


def _groups(runs: Sequence[Result], book: Book) -> Iterator[tuple[str, list[Result], bool]]:
    """Title, results of all seeds, and whether the row is of the untrained encoder; in the book's order.

    Results of different configs are never averaged: their fingerprints are shown.
    """
    for recipe in _in_order([*(run["recipe"] for run in runs), *book.recipes], list(book.recipes)):
        start_of = book.recipes[recipe].at_init_of if recipe in book.recipes else None
        of_recipe = [run for run in runs if run["recipe"] == (start_of or recipe)]
        prints = list(dict.fromkeys(run["fingerprint"] for run in of_recipe))
        for fingerprint in prints:
            title = recipe if len(prints) == 1 else f"{recipe} ({fingerprint[:8]})"
            group = [run for run in of_recipe if run["fingerprint"] == fingerprint]
            yield title, sorted(group, key=lambda run: int(run["seed"])), start_of is not None


def _run_rows(title: str, group: Sequence[Result], labels: Sequence[str], split: str, at_init: bool) -> Iterator[str]:
    """A row per level; what is of the whole run stands in the first one."""
    videos = min(run["videos"][split] for run in group)
    for number, level in enumerate(group[0]["test"]["knn"]):
        cells = []
        for kind in KINDS:
            for label in labels:
                found = [(run[split]["at_init"] if at_init else run[split])[kind] for run in group]
                cell = score_cell([scores[level][label] for scores in found if scores is not None], videos)
                own = group[0]["own_labels"].get(level) == label and cell != NONE
                cells.append(f"**{cell}**" if own else cell)
        ranks = [run["rank_at_init" if at_init else "rank"][level] for run in group]
        first = number == 0
        cost = [""] * 8
        if first and not at_init:
            cost = _cost(group)
        elif first:
            cost = [*["0"] * 2, *[""] * 5, str(len(group))]
        yield _row([title if first else "", level, *cells, f"{fmean(ranks):.1f}", *cost])


def _cost(group: Sequence[Result]) -> list[str]:
    seconds, training = (fmean(run[key] for run in group) for key in ("seconds", "training_seconds"))
    keys = ("windows", "views", "epochs", "batch_size", "steps")
    windows, views, epochs, batch, steps = (_range([run["budget"][key] for run in group]) for key in keys)
    memory = f"{fmean(run['peak_memory_mb'] for run in group):.0f}"
    alarms = str(sum(len(run["alarms"]) for run in group))
    return [
        windows,
        views,
        f"{epochs} x {batch}",
        steps,
        f"{seconds:.0f} ({training:.0f})",
        memory,
        alarms,
        str(len(group)),
    ]


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low}" if low == high else f"{low} to {high}"


def _floor_rows(result: Result, labels: Sequence[str], split: str) -> Iterator[str]:
    for name, knn in result[split]["knn"].items():
        by_kind = [knn, result[split]["linear_probe"][name]]
        cells = [score_cell([scores[label]], result["videos"][split]) for scores in by_kind for label in labels]
        yield _row([name, "", *cells, "", "0", *[""] * 7])


def score_cell(scores: Sequence[float], videos: int) -> str:
    """The mean of the seeds' scores in percent, half its interval, and which interval that is."""
    if not scores:
        return NONE
    mean = fmean(scores)
    half, which = confidence_interval(mean, videos), "v"
    if len(scores) > 1:
        of_mean = float(student.ppf(0.975, len(scores) - 1)) * stdev(scores) / math.sqrt(len(scores))
        if of_mean > half:
            half, which = of_mean, "s"
    return f"{mean:.1f} ± {half:.1f} {which}"


def _note(title: str, group: Sequence[Result], book: Book, split: str, at_init: bool) -> str:
    """Says what a row shows and how to reproduce it."""
    recipe = book.recipes.get(title.partition(" ")[0])
    shows = f"{recipe.shows}. " if recipe else ""
    if at_init:
        return f"- `{title}`: {shows.strip()}"
    own = [run["classifier"] for run in group if run["classifier"]]
    if own and split == "test":
        score = score_cell([found["top1"] for found in own], group[0]["videos"]["test"])
        shows += f"Its own classifier knows {score} % of {own[0]['labels']}. "
    return f"- `{title}`: {shows}{_origin(group)}"


def _floor_note(result: Result) -> str:
    averaged, looks = result["averaged"], ", ".join(f"`{look}`" for look in result["test"]["knn"])
    squares = f" Squares of {averaged} x {averaged} pixels are averaged." if averaged > 1 else ""
    if "probe_dim" in result:  # of an earlier version
        seen = f"kNN sees all pixels, the linear probe their first {result['probe_dim']} principal components."
    else:
        seen = f"Both see the first {result['components']} principal components of every frame."
    return (
        f"- {looks}: floors, of the same windows, a video as their mean. {seen}{squares} "
        f"{result['seconds']:.0f} s, {result['peak_memory_mb']:.0f} MB. {_origin([result])}"
    )


def _origin(group: Sequence[Result]) -> str:
    """Command, config, commit and machine of a row."""
    seeds = ", ".join(str(run["seed"]) for run in group)
    commits = dict.fromkeys(
        str(run["git"]["commit"])[:7] + (" with changes" if run["git"]["dirty"] else "") for run in group
    )
    machines = dict.fromkeys(
        "{device_name}, {cpus} CPUs, threads of a run: {threads}, runs side by side: {jobs}".format(**run["machine"])
        for run in group
    )
    settings = [f"{key}: {to_yaml(value)}" for key, value in group[0]["config_settings"].items()]
    inside = f" ({group[0]['config']}: `{'; '.join(settings)}`)" if settings else ""
    return f"`{group[0]['command']}`{inside}; seeds {seeds}; commit {', '.join(commits)}; {' and '.join(machines)}."


def _in_order(names: Sequence[str], order: Sequence[str]) -> list[str]:
    """Each name once: those of `order` as there, the others behind them by name."""
    known = [name for name in order if name in names]
    return known + sorted(set(names) - set(order))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
