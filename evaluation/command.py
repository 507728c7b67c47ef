"""eval.py from its command line to its tables."""

from __future__ import annotations

import logging
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from config.errors import InputError
from evaluation.request import Request, read_request
from runs.reporting.console import pixel_table, tell_results
from runs.reporting.program import run_program

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Scores encoders, or exports their features, as the command line asks.

    Returns:
        The exit status: 0; 2 for bad input; 128 + the signal's number when a signal ended it.
    """
    command = shlex.join(["python", "eval.py", *(sys.argv[1:] if arguments is None else arguments)])
    return run_program(
        lambda: _run(read_request(arguments), command), "features that are in files will not be encoded again"
    )


def _run(request: Request, command: str) -> int:
    import torch

    from evaluation.encoders import open_encoder
    from evaluation.export import export_features
    from evaluation.scoring import evaluate, opened_data
    from evaluation.tables import markdown, write_tables
    from protocols.prediction_files import write_predictions

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # All of them before the first is scored: a typo in the last must not cost the time of the others.
    encoders = [
        (open_encoder(given, request.checkpoint, data.keys), data) for data in request.data for given in request.runs
    ]
    names = [encoder.name for encoder, data in encoders if data is request.data[0]]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two of the runs are called {name}, and a table could not tell them apart")
    folder = _folder(request, encoders[0][0].folder)
    lists = folder / "bad_videos.csv"
    if request.export is not None:
        encoder, data = encoders[0]
        videos = export_features(request.export, encoder, opened_data(encoder, data, request, lists), device)
        counts = ", ".join(f"{count} {split}" for split, count in videos.items())
        logger.info("features of %s videos: %s", counts, request.export)
    if not request.scores:
        return 0
    found = []
    for encoder, data in encoders:
        each = evaluate(encoder, data, request, lists, device)
        found.append(each)
        tell_results(each.results, each.titles, f"{each.encoder} on {each.dataset}, {{title}}, {{unit}}")
        if each.pixels:
            logger.info(
                "pixels in place of features, %%: floors of these scores\n%s", pixel_table(each.pixels, each.titles)
            )
        for name, reason in each.skipped.items():
            logger.warning("%s is skipped: %s", name, reason)
        write_predictions(folder / "predictions" / f"{each.encoder}-{each.dataset}", each.predictions, each.catalogs)
        # After every encoder: an interruption costs no more than one of them.
        files = write_tables(folder, found, command)
    if len(found) > 1:
        logger.info("all together\n\n%s", markdown(found))
    said = [folder / "predictions"] if any(each.predictions for each in found) else []
    logger.info("see %s", ", ".join(map(str, [*files, *said])))
    return 0


def _folder(request: Request, of_first: Path | None) -> Path:
    """A folder for what is written; made here."""
    place = request.out
    if place is None:
        base = of_first if of_first is not None else Path("outputs")
        place = base / "evaluation" / time.strftime("%Y-%m-%d_%H-%M-%S")
    try:
        place.mkdir(parents=True, exist_ok=request.out is not None)
    except OSError as error:
        raise InputError(
            f"cannot write to {place}: {error.strerror or error}; choose another folder with --out"
        ) from None
    return place
