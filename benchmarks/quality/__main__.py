"""How good is a recipe? Recipes x seeds x datasets at equal budget, between floors and a ceiling, in one table.

    python -m benchmarks.quality [--dataset NAME[=CONFIG]] [--recipe NAME] [--seeds 3] [--jobs 1] [key=value ...]
    python -m benchmarks.quality --table [--split val]

Trains every recipe of `recipes.yaml` on every dataset by `main.py` itself, a process a run, scores the pixels of each
dataset, leaves one result file a run in `benchmarks/results/quality`, and prints the table. What has a result of the
same config is not repeated, an interrupted run continues, a failure is reported and stops nothing else. `--table` draws
the results that are there, and runs nothing. Data of your own: `--dataset lips=CONFIG`, a config file that says where
they are, with their frame size, number of epochs, and so on.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from joblib import Parallel, delayed

from benchmarks.quality.execute import RESULTS, Executor, RunFailed, read_result
from benchmarks.quality.plan import BOOK, Book, Run, choose_recipes, plan_floors, plan_run, read_book
from benchmarks.quality.table import render
from config.errors import InputError
from sweeps.process import ROOT


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is missing and prints the table.

    Returns:
        The exit status: 0; 1 where a run failed; 2 for bad input.
    """
    options = _parser().parse_intermixed_args(arguments)
    try:
        return compare(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--dataset", action="append", default=[], metavar="NAME[=CONFIG]", help="may be repeated; all of the file")
    add("--recipe", action="append", default=[], metavar="NAME", help="may be repeated; all of the file")
    add("--recipe-file", type=Path, default=BOOK, metavar="FILE", help="the recipes and datasets")
    add("--seeds", type=int, default=3, help="runs of each recipe")
    add("--jobs", type=int, default=1, help="runs beside each other")
    add("--threads", type=int, help="of each run; the cores, divided by jobs")
    add("--out", type=Path, default=ROOT / "outputs/quality", help="folder of the run folders")
    add("--results", type=Path, default=RESULTS, help="folder of the result files")
    add(
        "--skip-val-probes",
        action="store_true",
        help="no linear probes on validation videos, which take another encoding",
    )
    add("--skip-floors", action="store_true", help="do not score pixels")
    add("--table", action="store_true", help="run nothing, print the table of all results that are there")
    add("--split", choices=["val", "test"], default="test", help="which videos' scores the table has")
    add("overrides", nargs="*", metavar="key=value", help="for every recipe, e.g. num_epochs=1")
    return parser


def compare(options: argparse.Namespace) -> int:
    """What the command line asks for. InputError: it is wrong."""
    for name in ("seeds", "jobs", "threads"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise InputError(f"--{name} {value}: expected 1 or more")
    names = [item.partition("=")[0] for item in options.dataset]
    book = read_book(options.recipe_file, [] if options.table else options.dataset)
    recipes = choose_recipes(book, options.recipe)
    failed = 0 if options.table else run_all(book, recipes, options)
    results = [read_result(file) for file in sorted(options.results.glob("*.json"))]
    if names:
        results = [result for result in results if result["dataset"] in names]
    if options.recipe:
        keep = {*options.recipe, *recipes, "floors"}
        results = [result for result in results if result["recipe"] in keep]
    if results:
        print("\n" * (not options.table) + render(results, book, options.split))
    elif not failed:
        raise InputError(f"{options.results} has no results of these datasets; run without --table first")
    return 1 if failed else 0


def run_all(book: Book, recipes: Sequence[str], options: argparse.Namespace) -> int:
    """Runs what is missing. Returns how many runs failed."""
    threads = options.threads or max(1, (os.cpu_count() or 1) // options.jobs)
    executor = Executor(options.out, options.results, threads, options.jobs, not options.skip_val_probes)
    failures: list[str] = []

    def plan(dataset: str, recipe: str | None = None, seed: int = 0) -> Run | None:
        try:
            if recipe is None:
                return plan_floors(book, dataset, options.overrides)
            return plan_run(book, dataset, recipe, seed, options.overrides)
        except InputError as error:
            failures.append(f"{dataset}, {recipe or 'floors'}, seed {seed}: failed: {error}")
            print(failures[-1], flush=True)
            return None

    def execute(run: Run) -> None:
        title = f"{run.dataset}, {run.recipe}, seed {run.seed}"
        try:
            print(f"{title}: {executor.execute(run)}", flush=True)
        except (RunFailed, InputError) as error:
            failures.append(f"{title}: failed: {error}")
            print(failures[-1], flush=True)

    # Floors go first, one by one: embedded data are made by the first to read them.
    for dataset in [] if options.skip_floors else book.datasets:
        if floors := plan(dataset):
            execute(floors)
    everything = [(d, r, seed) for d in book.datasets for seed in range(options.seeds) for r in recipes]
    runs = [run for run in (plan(*what) for what in everything) if run]
    Parallel(n_jobs=options.jobs, backend="threading")(delayed(execute)(run) for run in runs)
    if failures:
        print(f"\n{len(failures)} of {len(everything)} runs failed:", *failures, sep="\n", file=sys.stderr)
    return len(failures)


if __name__ == "__main__":
    sys.exit(main())
