"""What captions are worth to a run that was trained with them: a table of its test videos.

    python -m benchmarks.captions RUN [--checkpoint best]

Hidden pixels are predicted with the video's own caption, without one, and with that of another video, behind the same
masks. A run that has learned to write captions (`task: generative`) is also asked which of several captions is a
video's own: for every class of the last level's labels, the caption of a training video of it that shares most words
with the video's own. A score is the mean over the video's windows. Chance is one in as many as there are classes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from architecture.caption_decoder import caption_nll
from config.errors import InputError
from config.load import restore_config
from config.places import place
from config.schema import Config
from data_utils.batches.loader import Loader
from data_utils.batches.opening import open_catalogs
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import EvaluationViews, evaluation_views
from language.training_captions import texts_of
from runs.folder import RunFolder
from runs.reporting.program import run_program
from runs.resuming import load_weights_of, read_checkpoint
from tasks import build_task
from tasks.generative import GenerativeTask
from tasks.language_masked import LanguageMaskedTask


class Opened(NamedTuple):
    """A run with its data."""

    task: LanguageMaskedTask
    config: Config
    catalogs: dict[str, Catalog]
    texts: dict[str, NDArray[np.object_]]
    """By split, the captions of its videos."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables; returns the exit status."""
    parser = argparse.ArgumentParser("python -m benchmarks.captions", description=__doc__)
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument("--checkpoint", choices=("best", "last"), default="best")
    options = parser.parse_args(arguments)
    run = RunFolder(place(options.run, "RUN"))
    opened = open_run(run.best if options.checkpoint == "best" else run.last)
    for line in reconstruction(opened):
        print(line)
    if isinstance(opened.task, GenerativeTask):
        for line in choosing(opened, opened.task):
            print(line)
    return 0


def open_run(path: Path) -> Opened:
    """The task of a checkpoint, with its data. InputError: there is none, or it reads no captions."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; give the folder of a run")
    content = read_checkpoint(path)
    config = restore_config(content["config"], str(path))
    with TemporaryDirectory() as folder:
        catalogs = open_catalogs(config, config.groups, Path(folder) / "bad_videos.csv")
    task = build_task(config.model_copy(update={"encoder_checkpoint": None}), catalogs["train"])
    if not isinstance(task, LanguageMaskedTask):
        raise InputError(f"{path}: task {config.task} predicts no pixels from captions")
    load_weights_of(content, task, path)
    column = task.settings.text.captions
    return Opened(task.eval(), config, catalogs, {split: texts_of(known, column) for split, known in catalogs.items()})


def windows(opened: Opened) -> Iterator[EvaluationViews]:
    """The evaluation windows of the test videos."""
    config = opened.config
    with closing(Loader(opened.catalogs["test"], config, config.batch_size, config.seed, training=False)) as loader:
        for batch in loader.epoch(0):
            yield evaluation_views(batch, config, "cpu")


def reconstruction(opened: Opened) -> list[str]:
    """The error of hidden pixels by what caption is read, with 95 % intervals over videos."""
    cache, own = opened.task.captions.cache, opened.texts["test"]
    other = np.roll(own, len(own) // 2 + 1)
    errors: dict[str, list[Tensor]] = {"its own caption": [], "no caption": [], "another video's caption": []}
    rows = []
    for views in windows(opened):
        rows.append(views.rows_B)
        numbers = torch.cat([views.rows_B[:, None], views.frames_BT], dim=1)
        for name, texts in zip(errors, (own, None, other), strict=True):
            captions = None if texts is None else cache.batch([str(texts[row]) for row in views.rows_B.tolist()])
            errors[name].append(opened.task.errors(views.video_BTCHW, numbers, captions))
    by_video = {name: per_video(torch.cat(found), torch.cat(rows)) for name, found in errors.items()}
    plain = by_video["no caption"]
    lines = ["| caption | error of hidden pixels | less than without one |", "|---|---|---|"]
    for name, found in by_video.items():
        lines.append(f"| {name} | {found.mean():.4f} | {interval(1 - found / plain)} |")
    return lines


def choosing(opened: Opened, task: GenerativeTask) -> list[str]:
    """How often a video's own caption is scored highest, and how well its words are foreseen."""
    labels = next(iter(opened.catalogs["test"].labels.values()))
    train = opened.catalogs["train"].labels[labels.name]
    candidates = nearest_captions(opened, train.values[:, 0], len(labels.classes))
    scores: list[Tensor] = []
    rows: list[Tensor] = []
    for views in windows(opened):
        rows.append(views.rows_B)
        scores.append(caption_scores(task, views.video_BTCHW, [candidates[row] for row in views.rows_B.tolist()]))
    scores_NK = np.stack([per_video(column, torch.cat(rows)) for column in torch.cat(scores).unbind(dim=1)], axis=1)
    seen = np.unique(torch.cat(rows).numpy())
    own = labels.values[seen, 0]
    right = scores_NK.argmax(axis=1) == own
    perplexity = float(np.exp(-scores_NK[np.arange(len(own)), own].mean()))
    return [
        "",
        f"own caption among those of {len(labels.classes)} classes of '{labels.name}': {interval(right)}, "
        f"chance {100 / len(labels.classes):.1f} %; perplexity of the own caption {perplexity:.2f}; {len(own)} videos",
    ]


def nearest_captions(opened: Opened, train_classes: NDArray[np.int64], number: int) -> list[list[str]]:
    """For every test video a caption of each class: its own, and of the others the one that shares most words."""
    known: list[dict[str, set[str]]] = [{} for _ in range(number)]
    for text, label in zip(opened.texts["train"], train_classes, strict=True):
        known[int(label)].setdefault(str(text), set(str(text).split()))
    test = next(iter(opened.catalogs["test"].labels.values()))
    found = []
    for text, label in zip(opened.texts["test"], test.values[:, 0], strict=True):
        words = set(str(text).split())
        row = [nearest(words, of_class) for of_class in known]
        row[int(label)] = str(text)
        found.append(row)
    return found


def nearest(words: set[str], known: dict[str, set[str]]) -> str:
    """The text that shares most words; of several, the last one in the alphabet."""
    return max(known, key=lambda text: (len(words & known[text]), text))


@torch.no_grad()
def caption_scores(task: GenerativeTask, video_BTCHW: Tensor, candidates: list[list[str]]) -> Tensor:
    """The mean log-likelihood of the words of each candidate: [B, K]."""
    tokens_BND = task.network.encode(video_BTCHW).tokens_BKD
    size, number = len(candidates[0]), tokens_BND.shape[1]
    given = task.captions.cache.batch([text for row in candidates for text in row])
    words = task.captions.cache.encoder.embed(given.ids_BL)
    keep = torch.arange(number).expand(len(words), -1)
    scores = task.writer(tokens_BND.repeat_interleave(size, dim=0), keep, number, words)[1]
    scores_BK: Tensor = -caption_nll(scores, given.ids_BL, given.shown_BL).unflatten(0, (-1, size))
    return scores_BK


def per_video(values_N: Tensor, rows_N: Tensor) -> NDArray[np.float64]:
    """The mean of windows' values for each video, in the order of rows."""
    _, number_N = np.unique(rows_N.numpy(), return_inverse=True)
    return np.bincount(number_N, weights=values_N.double().numpy()) / np.bincount(number_N)


def interval(values_N: NDArray[np.float64] | NDArray[np.bool_]) -> str:
    """A mean with half its 95 % interval, in percent."""
    scale = 100
    half = 1.96 * values_N.std() / np.sqrt(len(values_N))
    return f"{scale * values_N.mean():.1f} ± {scale * half:.1f} %"


if __name__ == "__main__":
    sys.exit(run_program(main))
