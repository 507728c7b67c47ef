"""The mean of the weights of several encoders: python average.py RUN RUN [...] --out FOLDER."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from config.places import place
from runs.reporting.program import run_program

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Averages encoders as the command line asks.

    Returns:
        The exit status: 0; 2 for bad input; 128 + the signal's number when a signal ended it.
    """
    return run_program(lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="average.py",
        description="Write the mean of the weights of encoders of one form, such as of two alignments of one encoder.",
        epilog="eval.py and encode.py take FOLDER as they take a run; docs/datasets.md has examples, and the mixture "
        "that is learned.",
    )
    add = parser.add_argument
    add("runs", metavar="RUN", nargs="+", help="the folder of a run, or an encoder.safetensors beside its encoder.json")
    add("--out", type=Path, required=True, metavar="FOLDER", help="a new folder for the encoder")
    return parser


def _run(options: argparse.Namespace) -> int:
    from runs.averaging import write_average

    file = write_average([place(run, "RUN") for run in options.runs], place(options.out, "--out"))
    logger.info("%s: the mean of %d encoders", file, len(options.runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
