"""Test videos as film strips beside the training videos that are nearest to them, right and wrong ones marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from data_utils.video_files.decoding import VideoError
from figures.frame_rows import bare
from figures.sampled_windows import Frames
from protocols.encoded import EncodedData
from protocols.encoded_split import EncodedSplit
from protocols.neighbours import nearest
from runs.process.seeds import numpy_generator
from runs.reporting.drawing import STYLE, save_figure
from runs.reporting.drawn_text import Lettering

CHOSEN, WORST = 4, 4  # test videos
NEIGHBOURS = 4  # that are drawn of each
VOTERS = 20  # that decide which videos are the worst
PICTURES = 3  # frames of a strip
TITLE_CELLS = 30
RIGHT, WRONG, QUERY = ("#0072b2", "-", "\u2713 "), ("#d55e00", "--", "\u2717 "), ("#333333", "-", "")
_ORDER = 8  # keeps this stream apart from other draws with the same seed
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class _Item:
    """A video, or a part of one, that is drawn."""

    split: str
    row: int
    """The video's row in the catalog."""
    part: int
    text: str
    """Its class; of one without a label, its path."""
    look: tuple[str, str, str]


@dataclass(frozen=True)
class _Question:
    """What neighbours are asked about: a level with one of its label sets."""

    level: str
    labels: str | None
    parts: int

    def classes(self, split: EncodedSplit) -> IntArray:
        """[N, K], -1 where there is none."""
        if self.labels is None:
            return np.full((len(split.rows), 1), -1, np.int64)
        return split.labels[self.labels].values


def draw_nearest_videos(data: EncodedData, split: str, folder: Path) -> Path | None:
    """Draws `nearest_videos.png`, of the last level: some test videos, drawn by the seed, and those that fare worst.

    Nearest is what kNN calls nearest: by the cosine of centred features. The worst videos are those of whose nearest
    training videos the fewest share their class, and the first of them those that lie nearest to wrong ones. Of a label
    set with a class for each part of a video, parts are drawn.

    Args:
        data: an encoder with its data.
        split: whose videos ask; those of `train` answer.
        folder: where the figure goes.

    Returns:
        Its path; None where a split has no videos.
    """
    bank, queries = data.split("train"), data.split(split)
    if not len(bank.rows) or not len(queries.rows):
        return None
    question = _question(data, queries)
    known, asked = question.classes(bank), question.classes(queries)
    lines: list[tuple[str, _Item, list[_Item]]] = []
    for heading, pairs in _chosen(data, question, bank, queries).items():
        for number, part in pairs:
            query = _item(data, question, split, queries, number, part, QUERY)
            cosines, near = _nearest(question, bank, queries, np.array([number]), part, NEIGHBOURS)
            answers = []
            for other, cosine in zip(near[0], cosines[0], strict=True):
                truth = asked[number, part]
                look = QUERY if truth < 0 else RIGHT if known[other, part] == truth else WRONG
                item = _item(data, question, "train", bank, int(other), part, look)
                answers.append(_Item(item.split, item.row, part, f"{look[2]}{item.text} ({cosine:.2f})", look))
            lines.append((heading, query, answers))
    return _draw(data, question, lines, folder)


def _question(data: EncodedData, queries: EncodedSplit) -> _Question:
    """The last level with the labels that it is judged by, or with others; those of whole videos come first."""
    level = data.config.levels[-1]
    own = data.catalogs["train"].own_labels(data.config.levels).get(level)
    there = {name: labels for name, labels in queries.labels.items() if labels.is_known.any()}
    names = [own] if own in there else sorted(there, key=lambda name: there[name].values.shape[1])
    if not names or names[0] is None:
        return _Question(level, None, 1)
    return _Question(level, names[0], there[names[0]].values.shape[1])


def _nearest(
    question: _Question, bank: EncodedSplit, queries: EncodedSplit, numbers: IntArray, part: int, count: int
) -> tuple[NDArray[np.float32], IntArray]:
    """Cosines and places in `bank` of the training videos nearest to some videos; with labels where any has one."""
    labelled = np.flatnonzero(question.classes(bank)[:, 0] >= 0)
    rows = labelled if len(labelled) else np.arange(len(bank.rows))
    mine, theirs = (split.features[question.parts][question.level][:, part] for split in (bank, queries))
    cosines, near = nearest(mine, rows, theirs, numbers, count)
    return cosines, rows[near]


def _chosen(
    data: EncodedData, question: _Question, bank: EncodedSplit, queries: EncodedSplit
) -> dict[str, list[tuple[int, int]]]:
    """By heading, (number of the test video, part)."""
    asked, known = question.classes(queries), question.classes(bank)
    drawn = numpy_generator(data.config.seed, len(asked), _ORDER).permutation(len(asked))
    labelled = [int(number) for number in drawn if asked[number, 0] >= 0] or [int(number) for number in drawn]
    chosen = [(number, place % question.parts) for place, number in enumerate(labelled[:CHOSEN])]
    if question.labels is None:
        return {"by chance": chosen}
    fares: list[tuple[float, float, int, int]] = []
    numbers = np.array(labelled, np.int64)
    for part in range(question.parts):
        cosines, near = _nearest(question, bank, queries, numbers, part, VOTERS)
        right = known[near, part] == asked[numbers, part][:, None]
        # The nearest wrong ones are surest of themselves.
        sure = np.where(right, 0, cosines).sum(axis=1)
        fares += [
            (float(share), -float(wrong), int(number), part)
            for share, wrong, number in zip(right.mean(axis=1), sure, numbers, strict=True)
        ]
    worst = [(number, part) for _, _, number, part in sorted(fares) if (number, part) not in chosen]
    return {"by chance": chosen, "worst": worst[:WORST]}


def _item(
    data: EncodedData,
    question: _Question,
    split: str,
    encoded: EncodedSplit,
    number: int,
    part: int,
    look: tuple[str, str, str],
) -> _Item:
    row, value = int(encoded.rows[number]), int(question.classes(encoded)[number, part])
    if question.labels is None or value < 0:
        return _Item(split, row, part, str(data.catalogs[split].table["path"].iloc[row]), look)
    return _Item(split, row, part, encoded.labels[question.labels].classes[value], look)


def _draw(
    data: EncodedData, question: _Question, lines: Sequence[tuple[str, _Item, list[_Item]]], folder: Path
) -> Path:
    """A row of strips for each test video: its own first, then those of its neighbours."""
    readers = {split: Frames(data.catalogs[split], data.config) for split in {"train", *(q.split for _, q, _ in lines)}}
    letters = Lettering()
    titles = {id(item): letters.text(item.text, TITLE_CELLS) for _, query, near in lines for item in (query, *near)}
    columns = 1 + max(len(near) for _, _, near in lines)
    height, width = data.config.read_size
    tall = 2.1 * height / (PICTURES * width)
    of_labels = letters.text(question.labels, TITLE_CELLS) if question.labels else "there are no labels"
    headings = [
        heading if number == 0 or lines[number - 1][0] != heading else "" for number, (heading, *_) in enumerate(lines)
    ]
    with mpl.rc_context(STYLE | letters.style):
        fig = Figure((2.15 * columns + 0.4, len(lines) * (tall + 0.32) + 0.75))
        fig.set_layout_engine("constrained", w_pad=0.03, h_pad=0.02, wspace=0.02, hspace=0.02)
        axes = fig.subplots(len(lines), columns, squeeze=False)
        for row, heading, (_, query, near) in zip(axes, headings, lines, strict=True):
            for ax, item in zip(row, (query, *near), strict=False):
                _draw_strip(ax, _strip(readers[item.split], item, question.parts), titles[id(item)], item.look)
            row[0].set_ylabel(heading, fontsize=9, fontweight="bold")
            for ax in row[1 + len(near) :]:
                ax.axis("off")
        title = f"Test videos (left) and the training videos nearest to them, as {question.level} sees them"
        marks = "" if question.labels is None else "; \u2713 solid: the same class, \u2717 dashed: another one"
        fig.suptitle(f"{title}\nclasses: {of_labels}; in brackets: cosine{marks}", fontsize=9, parse_math=False)
        return save_figure(fig, folder / "nearest_videos.png")


def _strip(frames: Frames, item: _Item, parts: int) -> NDArray[np.uint8] | None:
    """A few frames of a video, or of its part, side by side; None where it cannot be read any more."""
    count, _ = frames.facts(item.row)
    middles = (item.part + (np.arange(PICTURES) + 0.5) / PICTURES) / parts
    try:
        pictures = frames.read(item.row, np.minimum((middles * count).astype(np.int64), count - 1))
    except VideoError:
        return None
    return np.concatenate(list(pictures), axis=1)


def _draw_strip(ax: Axes, strip: NDArray[np.uint8] | None, title: str, look: tuple[str, str, str]) -> None:
    colour, line, _ = look
    bare(ax)
    ax.set_title(title, fontsize=7.5, parse_math=False, pad=4)
    if strip is None:
        ax.text(0.5, 0.5, "cannot be read", ha="center", va="center", fontsize=7, transform=ax.transAxes)
        return
    ax.imshow(strip, interpolation="nearest")
    width = 2.4 if look in (RIGHT, WRONG) else 1.0
    frame = Rectangle((0, 0), 1, 1, transform=ax.transAxes, fill=False, clip_on=False)
    frame.set(edgecolor=colour, linestyle=line, linewidth=width)
    ax.add_patch(frame)
