"""The command line of visualization.py: which run is drawn, and how. A typo must not wait for heavy imports."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from config.errors import InputError
from config.load import parse_overrides
from config.places import place

MethodName = Literal["pca", "tsne", "umap"]
FormatName = Literal["png", "svg", "pdf"]
METHODS: tuple[MethodName, ...] = get_args(MethodName)
FORMATS: tuple[FormatName, ...] = get_args(FormatName)

GRID: dict[str, list[float]] = {"neighbours": [5, 15, 50], "min_dist": [0.0, 0.1, 0.5], "perplexity": [5, 15, 30, 50]}
"""What `--grid` alone draws."""
GRID_OF: dict[str, MethodName] = {"neighbours": "umap", "min_dist": "umap", "perplexity": "tsne"}
_MOST_PANELS = 100
_SPELLINGS = {"neighbors": "neighbours", "n_neighbors": "neighbours", "min-dist": "min_dist"}


@dataclass(frozen=True)
class DrawRequest:
    """What a command line asks for."""

    run: Path
    methods: list[MethodName] | None
    """None: those of the run's config."""
    levels: list[str] | None
    colour_by: list[str] | None
    epochs: list[int] | Literal["all", "spread"] | None
    """None: no figure over the epochs is asked for."""
    grid: dict[str, list[float]] | None
    """By parameter, its values; None: no figure of parameters is asked for."""
    kind: FormatName
    out: Path | None
    """None: the run's folder of figures."""
    changes: Mapping[str, Any]
    """Keys of the config, laid over the run's."""

    @property
    def everything(self) -> bool:
        """Whether all figures of the run are asked for, as nothing chooses among them."""
        chosen = (self.methods, self.levels, self.colour_by, self.epochs, self.grid)
        return all(choice is None for choice in chosen)


def read_draw_request(arguments: Sequence[str] | None = None) -> DrawRequest:
    """What the command line asks for.

    Raises:
        InputError: it cannot be done.
        SystemExit: after --help, and where the run is missing.
    """
    options = _parser().parse_args(arguments)
    run = place(options.run, "RUN")
    if not run.exists():
        raise InputError(f"{options.run} does not exist; give the folder of a run")
    if not run.is_dir():
        raise InputError(f"{options.run} is a file; give the folder of a run")
    methods = None if options.method is None else [_one_of(name, METHODS, "--method") for name in options.method]
    grid = None if options.grid is None else _grid(options.grid, methods)
    out = options.out and place(options.out, "--out")
    if out and out.exists() and not out.is_dir():
        raise InputError(f"--out {options.out} is a file; give a folder")
    return DrawRequest(
        run,
        cast("list[MethodName] | None", methods),
        options.level,
        options.color_by,
        None if options.epochs is None else _epochs(options.epochs),
        grid,
        cast("FormatName", _one_of(options.format, FORMATS, "--format")),
        out,
        parse_overrides(options.set or ()),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="visualization.py",
        description="Draw the figures of a run, finished or interrupted; with one of the first five options, "
        "embeddings of its features alone.",
        epilog="docs/figures.md has examples.",
    )
    add = parser.add_argument
    add("run", metavar="RUN", help="folder of a run")
    add("--method", nargs="+", metavar="NAME", help="pca, tsne, umap; default: those of the run's config")
    add("--level", "--levels", nargs="+", metavar="NAME", help="the levels; default: all")
    add(
        "--color-by",
        "--colour-by",
        nargs="+",
        metavar="NAME",
        help="label sets, or group, or none; default: all label sets; with --epochs and --grid, each level's own",
    )
    add(
        "--epochs",
        nargs="*",
        metavar="N",
        help="small panels of the same validation videos after these epochs: all, or numbers; alone: six of them",
    )
    add(
        "--grid",
        nargs="*",
        metavar="NAME=N,N",
        help="a panel for each combination of neighbours=..., min_dist=... and perplexity=...; alone: some of each",
    )
    add("--format", default="png", metavar="NAME", help="png, svg or pdf; default: png")
    add("--out", metavar="FOLDER", help="default: the run's figures/")
    add("--set", nargs="+", metavar="key=value", help="other values of the run's config, such as figure_videos=2000")
    return parser


def _one_of(given: str, names: Sequence[str], option: str) -> str:
    if given not in names:
        raise InputError(f"{option} {given}: {hint(given, names)}")
    return given


def hint(given: str, names: Sequence[str]) -> str:
    """The rest of a message about a name that does not exist."""
    close = difflib.get_close_matches(given, names, n=1)
    return f"did you mean {close[0]}?" if close else f"there is {', '.join(names) or 'none'}"


def _epochs(given: Sequence[str]) -> list[int] | Literal["all", "spread"]:
    if not given:
        return "spread"
    if list(given) == ["all"]:
        return "all"
    for word in given:
        if not (word.isascii() and word.isdecimal()):
            raise InputError(f"--epochs {word}: all, or numbers of epochs, such as 0 1 5")
    return sorted({int(word) for word in given})


def _grid(given: Sequence[str], methods: Sequence[str] | None) -> dict[str, list[float]]:
    """The values of every parameter that is varied.

    Raises:
        InputError: there is no such parameter, or no method that is drawn has it.
    """
    values: dict[str, list[float]] = {}
    for word in given:
        name, _, numbers = word.partition("=")
        name = _SPELLINGS.get(name, name)
        if name not in GRID:
            raise InputError(f"--grid {word}: {hint(name, list(GRID))}; write {name or 'perplexity'}=5,30")
        if name in values:
            raise InputError(f"--grid {word}: {name} is given twice")
        values[name] = _numbers(name, numbers, word)
        if methods is not None and GRID_OF[name] not in methods:
            raise InputError(f"--grid {word}: only {GRID_OF[name]} has it, and --method is {' '.join(methods)}")
    if not values:
        values = {name: list(numbers) for name, numbers in GRID.items() if methods is None or GRID_OF[name] in methods}
        if not values:
            raise InputError("--grid: pca has no parameters; draw it with --method tsne or umap")
    panels = math.prod(len(values.get(name, [0])) for name in ("neighbours", "min_dist"))
    if max(panels, len(values.get("perplexity", []))) > _MOST_PANELS:
        raise InputError(f"--grid: more than {_MOST_PANELS} panels do not fit on a page")
    return values


def _numbers(name: str, given: str, word: str) -> list[float]:
    found = []
    for text in given.split(","):
        try:
            number = float(text)
        except ValueError:
            raise InputError(f"--grid {word}: numbers with commas between them, such as {name}=5,30") from None
        low, high = {"neighbours": (2, 10**6), "min_dist": (0, 0.99), "perplexity": (1, 10**6)}[name]
        whole = name != "neighbours" or number.is_integer()
        if not (math.isfinite(number) and low <= number <= high and whole):
            kind = "whole numbers" if name == "neighbours" else "numbers"
            raise InputError(f"--grid {word}: {name} takes {kind} from {low:,} to {high:,}")
        found.append(int(number) if name == "neighbours" else number)
    return list(dict.fromkeys(found))
