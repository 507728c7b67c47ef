"""Many runs of one config with other values: python sweep.py BASE --set optimizer.lr=[1e-3,3e-4] --seeds 3 --run."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from runs.reporting.program import run_program
from sweeps.commands import PlannedSweep, Sweep, run_here, show_table, submit_jobs, tell_what_to_do

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the configs of a sweep, runs them, and shows what they score.

    Returns:
        The exit status: 0; 1 where a run failed; 2 for bad input; 128 + the signal's number when a signal ended it.
    """
    return run_program(
        lambda: _run(_parser().parse_intermixed_args(arguments)), "the sweep has ended; the same command continues it"
    )


def _run(options: argparse.Namespace) -> int:
    if options.table:
        return show_table(Sweep.there(options), options.by)
    sweep = PlannedSweep.of(options)
    if options.slurm:
        return submit_jobs(sweep, options.slurm_option, options.by)
    if options.run or options.gpus is not None:
        return run_here(sweep, options.gpus, options.by)
    return tell_what_to_do(sweep)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "sweep.py",
        description="Writes one config for every combination of values, runs them, and compares what they score.",
        epilog="docs/sweeps.md has examples, and the section `sweep` that BASE may have instead of --set.",
    )
    add = parser.add_argument
    add("base", metavar="BASE", help="the config that all runs start from: a name in config/ or a path")
    add("overrides", metavar="key=value", nargs="*", help="for all runs, e.g. num_epochs=10")
    add(
        "--set",
        action="append",
        default=[],
        metavar="key=[...]",
        help="values to combine, e.g. optimizer.lr=[1e-3,3e-4], or a range to draw from, with --samples: "
        "'optimizer.lr={low: 1e-4, high: 1e-2, log: true}'; may be repeated",
    )
    add("--seeds", type=int, metavar="N", help="run every combination with so many seeds, counted from the config's")
    add("--samples", type=int, metavar="N", help="how many times to draw from the ranges")
    add("--name", help="of the sweep (the config's name and -sweep)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--run", action="store_true", help="run all that is not done, one after another")
    how.add_argument("--gpus", metavar="LIST", help="run side by side, e.g. 0,1 or cpu,cpu")
    how.add_argument("--slurm", action="store_true", help="submit an array of Slurm jobs")
    how.add_argument("--table", action="store_true", help="run nothing: show what is there, and write it anew")
    add(
        "--slurm-option",
        action="append",
        default=[],
        metavar="key=value",
        help="e.g. partition=gpu, time=240 (minutes; a day), cpus_per_task=8; may be repeated",
    )
    add(
        "--by",
        metavar="EVALUATION[/LEVEL[/LABELS[/METRIC]]]",
        help="what to compare by (the config's choose_by), e.g. linear_probe or knn/clip",
    )
    add("--yes", action="store_true", help="do not ask, however many runs there are")
    return parser


if __name__ == "__main__":
    sys.exit(main())
