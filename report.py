"""Reports of what is there: python report.py RUN | RUN RUN ... | SWEEP_FOLDER. Nothing is trained or scored."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from config.errors import InputError
from config.places import place
from runs.reporting.program import run_program

if TYPE_CHECKING:
    from runs.reporting.report.run_files import RunFiles

logger = logging.getLogger(__name__)

COMPARISON = "comparison.html"


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the report that the command line asks for, and says where it is.

    Returns:
        The exit status: 0; 2 for bad input; 128 + the signal's number when a signal ended it.
    """
    return run_program(lambda: _run(_parser().parse_args(arguments)))


def _run(options: argparse.Namespace) -> int:
    roots = [place(given, "RUN") for given in options.runs]
    out = None if options.out is None else place(options.out, "--out")
    logger.info("open %s", _write(roots, out))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "report.py",
        description="Writes the report of a run anew, compares runs, or writes the report of a sweep anew.",
        epilog="A report is one HTML file, which needs no other file and no network.",
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="folders of runs, or the folder of one sweep")
    parser.add_argument(
        "--out", metavar="FILE", help=f"of several runs, where to write to ({COMPARISON} beside the first run)"
    )
    return parser


def _write(roots: Sequence[Path], out: Path | None) -> Path:
    # Imported here: a typo must not wait for them.
    from runs.reporting.report.comparison import write_comparison
    from runs.reporting.report.run_files import RunFiles
    from sweeps.folder import SweepFolder

    sweeps = [root for root in roots if SweepFolder(root).manifest.is_file()]
    if len(roots) == 1:
        if out is not None:
            raise InputError("--out is for several runs: the report of one, or of a sweep, stands in its folder")
        return _of_sweep(roots[0]) if sweeps else _of_run(RunFiles.read(roots[0]))
    if sweeps:
        raise InputError(f"{sweeps[0]} is the folder of a sweep: give it alone, or the folders of runs in it")
    runs = [RunFiles.read(root) for root in roots]
    path = out or roots[0].resolve().parent / COMPARISON
    if path.is_dir():
        raise InputError(f"--out {path} is a folder; name a file in it")
    return write_comparison(runs, path)


def _of_run(run: RunFiles) -> Path:
    from runs.reporting.report.run_report import Progress, write_report

    if run.ended:
        return write_report(run.folder, run.summary, run.config_yaml, run.environment, run.records)
    epoch = max((record.get("epoch", 0) for record in run.records if record["kind"] == "validation"), default=0)
    step = max((record.get("step", 0) for record in run.records), default=0)
    epochs = int(run.config.get("num_epochs", epoch))
    known = {"task": run.config.get("task", ""), "command": run.environment.get("command")}
    progress = Progress(step, None, epoch, epochs, stopped=not run.folder.lock.exists())
    return write_report(run.folder, known, run.config_yaml, run.environment, run.records, progress)


def _of_sweep(root: Path) -> Path:
    from sweeps.commands import renew_report
    from sweeps.folder import SweepFolder

    return renew_report(SweepFolder(root))


if __name__ == "__main__":
    sys.exit(main())
