"""What classifiers say of each video, as CSV: the likeliest classes, confusion matrices, and a table of classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_utils.catalog.catalog import Catalog
from protocols.encoded_split import FloatArray
from protocols.metrics import average_precisions, confusion
from protocols.predictions import MultiPredictions, Predictions
from runs.process.atomic import write_text

SHOWN = 5  # likeliest classes of a video
Strings = NDArray[np.object_]


def write_predictions(
    folder: Path, predictions: Iterable[tuple[str, Predictions | MultiPredictions]], catalogs: Mapping[str, Catalog]
) -> list[Path]:
    """Writes the predictions of test videos into `folder`, which is made where it is missing.

    `<evaluation>-<level>-<labels>.csv` has a line for every video (and part): path, truth, and the five likeliest
    classes with their probabilities. `...-confusion.csv` counts videos by truth (rows) and answer (columns), and
    `...-classes.csv` has accuracy or average precision of each class.

    Args:
        folder: for the files.
        predictions: by name of the evaluation.
        catalogs: by name of the evaluation, the split.

    Returns:
        The files.

    Raises:
        InputError: they cannot be written.
    """
    written = []
    for evaluation, said in predictions:
        parts = filter(None, (evaluation, said.level, said.labels.name))
        name = "-".join(re.sub(r"[^\w.]+", "_", part) for part in parts)
        paths_N = catalogs[evaluation].table["path"].to_numpy(object)[said.rows_N]
        tables = _of_several(said, paths_N) if isinstance(said, MultiPredictions) else _of_one(said, paths_N)
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, table in tables.items():
            written.append(folder / f"{name}{suffix}.csv")
            write_text(written[-1], table.to_csv(index=False, float_format="%.6g"))
    return written


def _of_one(said: Predictions, paths_N: Strings) -> dict[str, pd.DataFrame]:
    """Where each video, or part of one, has one class."""
    labels, classes = said.labels, np.array(said.labels.classes, object)
    known_N, parts = labels.is_known, labels.values.shape[1]
    lines = pd.DataFrame({"path": np.repeat(paths_N, parts)})
    if parts > 1:
        lines["part"] = np.tile(np.arange(1, parts + 1), len(known_N))
    truth_M = labels.values.reshape(-1)
    lines["truth"] = [classes[value] if value >= 0 else "" for value in truth_M]
    probabilities_MC = said.probabilities_NKC.reshape(-1, len(classes))
    _add_likeliest(lines, probabilities_MC, classes)
    scored_M = truth_M >= 0
    counts_CC = confusion(probabilities_MC[scored_M].argmax(axis=1), truth_M[scored_M], len(classes))
    matrix = pd.DataFrame(counts_CC, columns=[str(name) for name in classes])
    matrix.insert(0, "truth", classes)
    totals_C = counts_CC.sum(axis=1)
    accuracy_C = np.where(totals_C > 0, 100 * np.diag(counts_CC) / np.maximum(totals_C, 1), np.nan)
    of_classes = pd.DataFrame({"class": classes, "videos": totals_C, "accuracy": accuracy_C})
    return {"": lines, "-confusion": matrix, "-classes": of_classes}


def _of_several(said: MultiPredictions, paths_N: Strings) -> dict[str, pd.DataFrame]:
    """Where a video may have several classes at once."""
    labels, classes = said.labels, np.array(said.labels.classes, object)
    truth = [labels.text(row) for row in range(len(labels.is_known))]
    lines = pd.DataFrame({"path": paths_N, "truth": truth})
    _add_likeliest(lines, said.scores_NC, classes)
    shows_MC = labels.shows_NC[labels.is_known]
    precisions_C = 100 * average_precisions(said.scores_NC[labels.is_known], shows_MC)[0]
    of_classes = {"class": classes, "videos": shows_MC.sum(axis=0), "average_precision": precisions_C}
    return {"": lines, "-classes": pd.DataFrame(of_classes)}


def _add_likeliest(lines: pd.DataFrame, scores_MC: FloatArray, classes_C: Strings) -> None:
    """Columns `top1`, `p1`, `top2`, ... with the likeliest classes of each line and what is said of them."""
    shown = min(SHOWN, len(classes_C))
    order_MS = np.argsort(-scores_MC, axis=1, kind="stable")[:, :shown]
    for place in range(shown):
        lines[f"top{place + 1}"] = classes_C[order_MS[:, place]]
        lines[f"p{place + 1}"] = np.take_along_axis(scores_MC, order_MS[:, place : place + 1], axis=1)[:, 0]
