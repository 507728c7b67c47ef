"""visualization.py from its command line to its files."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from config.errors import InputError
from figures.request import DrawRequest, read_draw_request
from runs.reporting.program import run_program

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws what the command line asks for.

    Returns:
        The exit status: 0; 1 where a figure could not be drawn; 2 for bad input; 128 + the signal's number when a
        signal ended it.
    """
    return run_program(lambda: draw(read_draw_request(arguments)), "the figures that are there are whole")


def draw(request: DrawRequest) -> int:
    """Draws what a request asks for. Raises InputError where that cannot be done.

    Returns:
        0; 1 where a figure could not be drawn.
    """
    from figures.asked import asked_drawings
    from figures.chosen_epochs import chosen_epochs
    from figures.finished_runs import opened_run
    from runs.folder import RunFolder
    from runs.metrics import MetricLog
    from runs.reporting.drawing import figures_as
    from visualization import draw_each, draw_figures

    chosen_epochs(request)  # before what takes time
    folder = request.out or RunFolder(request.run).figures
    with _written_to(folder), opened_run(request) as run, figures_as(request.kind):
        before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
        if request.everything:
            metrics = RunFolder(request.run).metrics
            failed = draw_figures(run.drawn(), MetricLog.read(metrics) if metrics.is_file() else [], folder)
        else:
            failed = draw_each(asked_drawings(run, request, folder))
        drawn = [path for path in sorted(folder.iterdir()) if before.get(path) != path.stat().st_mtime_ns]
    logger.info("see %s", ", ".join(map(str, drawn)) if drawn else "nothing: no figure could be drawn")
    return 1 if failed else 0


@contextmanager
def _written_to(folder: Path) -> Iterator[None]:
    """Makes a folder; a new one that stays empty is removed again. Raises InputError where it cannot be written to."""
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot write to {folder}: {reason}; choose another folder with --out") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"cannot write to {folder}: Permission denied; choose another folder with --out")
    try:
        yield
    finally:
        if new:
            with suppress(OSError):  # it has files
                folder.rmdir()
