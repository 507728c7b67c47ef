"""Videos as points that the report shows one by one: their places, their labels, and a film strip of each."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from config.schema import Config
from data_utils.catalog.annotations.classes import LabelSet
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from protocols.encoded_split import EncodedSplit, IntArray
from protocols.encoding import evaluation_batches
from protocols.evaluation import EvaluationData
from runs.process.atomic import atomic_write, write_text
from runs.process.seeds import numpy_generator
from runs.reporting.drawing import COLOURS, MARKERS
from runs.reporting.embedding import METHODS, Method, embed
from runs.reporting.report.page import as_json
from runs.reporting.report.scatter import DATA, FORM, PICTURES

Points = NDArray[np.float64]

MOST_VIDEOS = 1000  # in a report of less than 15 MB
STRIP_FRAMES = 6
AREA = 64 * 48  # pixels of a frame in a strip
COLUMNS = 8  # strips side by side in the picture of all: WebP has at most 16,383 pixels to a side
MOST_BYTES = 7_000_000
QUALITIES = (75, 55, 35, 15)  # of WebP, the first one whose picture is small enough
GREY = 128


@dataclass(frozen=True)
class PointSet:
    """Videos with their places in one or several pictures."""

    title: str
    catalog: Catalog
    """The videos, in the order in which `rows` counts them."""
    data: EvaluationData
    """That they are of."""
    labels: dict[str, LabelSet]
    """Of the videos of the catalog."""
    texts: dict[str, list[str]]
    """What else is said of them, by the name of an annotation."""
    levels: list[str]
    epochs: list[str]
    """Titles of the pictures."""
    rows: dict[int, list[int]]
    """By number of parts, the videos that have points; each has as many of them."""
    places: dict[str, list[Points | str]]
    """By `METHOD/LEVEL/PARTS`, for every picture [points, 2], or why there are none."""


def draw_scatter(sets: Sequence[PointSet], folder: Path) -> None:
    """Writes `scatter.json`, and a `scatter_N.webp` for each set, of which the report makes points to look at.

    Args:
        sets: what can be looked at; the first one is shown first.
        folder: of the figures.

    Raises:
        InputError: a file cannot be written.
    """
    remove_scatter(folder)
    content = []
    for number, points in enumerate(sets):
        pictures, place = _pictures(points.catalog, points.data, MOST_BYTES // len(sets))
        with atomic_write(folder / PICTURES.format(number)) as file:
            file.write(pictures)
        content.append(_plain(points) | {"sprite": place})
    if content:
        looks = {"methods": METHODS, "colours": COLOURS, "markers": MARKERS}
        write_text(folder / DATA, as_json({"form": FORM, **looks, "sets": content}))


def of_test(split: EncodedSplit, data: EvaluationData, methods: Sequence[Method]) -> PointSet:
    """The points of the embedding figures: the same test videos, drawn by the run's seed, at the same places."""
    config, total = data.config, len(split.rows)
    most = min(total, config.figure_videos, MOST_VIDEOS)
    order = numpy_generator(config.seed, total).permutation(total)
    shown_M = np.sort(order[:most])
    catalog = with_videos(data.catalogs["test"], split.rows[shown_M])
    places: dict[str, list[Points | str]] = {}
    rows: dict[int, list[int]] = {}
    for parts, of_level in split.features.items():
        chosen = np.sort(order[: min(most, max(1, config.figure_videos // parts))])
        rows[parts] = np.searchsorted(shown_M, chosen).tolist()
        for level, features_NKD in of_level.items():
            points = features_NKD[chosen].reshape(-1, features_NKD.shape[-1]).astype(np.float64)
            for method in methods:
                places[f"{method}/{level}/{parts}"] = [embed(method, points, config.seed)]
    levels = list(next(iter(split.features.values()), {}))
    texts = {name: [labels.text(row) for row in shown_M] for name, labels in split.multi.items()}
    title = f"{most} test videos"
    return PointSet(title, catalog, data, catalog.labels, texts, levels, ["end of training"], rows, places)


def with_videos(catalog: Catalog, rows: IntArray) -> Catalog:
    """Some of the videos of a catalog, in its order."""
    keep_N = np.zeros(len(catalog.table), np.bool_)
    keep_N[rows] = True
    return catalog.with_rows(keep_N)


def remove_scatter(folder: Path) -> None:
    """Removes what an earlier part of the run has left."""
    for path in (folder / DATA, *folder.glob(PICTURES.format("*"))):
        path.unlink(missing_ok=True)


def _plain(points: PointSet) -> dict[str, Any]:
    """What the report needs of a set, but for the pictures."""
    return {
        "title": points.title,
        "videos": [str(path) for path in points.catalog.table["path"]],
        "labels": {name: _labels(labels) for name, labels in points.labels.items()},
        "texts": points.texts,
        "own": points.data.own,
        "levels": points.levels,
        "epochs": points.epochs,
        "shown": points.rows,
        "points": {key: _whole(pictures) for key, pictures in points.places.items()},
    }


def _labels(labels: LabelSet) -> dict[str, Any]:
    """A label set, its commonest classes first: they get the colours."""
    counts_C = np.bincount(labels.values[labels.values >= 0], minlength=len(labels.classes))
    commonest_C = np.argsort(-counts_C, kind="stable")
    ranks_C = np.full(len(commonest_C) + 1, -1)  # the last one is that of a video without a label
    ranks_C[commonest_C] = np.arange(len(commonest_C))
    return {
        "parts": labels.values.shape[1],
        "classes": [labels.classes[value] for value in commonest_C],
        "values": ranks_C[labels.values].tolist(),
    }


def _whole(pictures: Sequence[Points | str]) -> list[list[int] | str]:
    """Places as whole numbers from 0 to 1000, x before y; all pictures and both axes to the same scale."""
    drawn = [points for points in pictures if not isinstance(points, str)]
    if not drawn:
        return [str(points) for points in pictures]
    everything = np.concatenate(drawn)
    low_2, high_2 = everything.min(axis=0), everything.max(axis=0)
    side, middle_2 = max(float((high_2 - low_2).max()), 1e-12), (low_2 + high_2) / 2
    return [
        points if isinstance(points, str) else _thousandths((points - middle_2) / side + 0.5) for points in pictures
    ]


def _thousandths(points_P2: Points) -> list[int]:
    places: list[int] = np.rint(points_P2 * 1000).astype(int).reshape(-1).tolist()
    return places


# ------------------------------------------------------------------------------------------------- the film strips


def _pictures(catalog: Catalog, data: EvaluationData, most_bytes: int) -> tuple[bytes, dict[str, int]]:
    """One WebP picture with a film strip of every video, and where in it they are."""
    strips = film_strips(catalog, data.config, data.bad_videos)
    videos, frames, height, width = strips.shape[:4]
    rows = -(-videos // COLUMNS)
    sheet = np.full((rows * COLUMNS, frames, height, width, 3), GREY, np.uint8)
    sheet[:videos] = strips
    # [rows, columns, frames, H, W, 3] to [rows * H, columns * frames * W, 3]
    sheet = sheet.reshape(rows, COLUMNS, frames, height, width, 3).transpose(0, 3, 1, 2, 4, 5)
    image = Image.fromarray(np.ascontiguousarray(sheet).reshape(rows * height, COLUMNS * frames * width, 3))
    return _small_enough(image, most_bytes), {"columns": COLUMNS, "frames": frames, "width": width, "height": height}


def _small_enough(image: Image.Image, most_bytes: int) -> bytes:
    """The picture as WebP, as good as the size of a report allows."""
    for quality in QUALITIES:
        file = io.BytesIO()
        image.save(file, "WEBP", quality=quality, method=2)
        if file.tell() <= most_bytes:
            break
    return file.getvalue()


def film_strips(catalog: Catalog, config: Config, bad_videos: BadVideos) -> NDArray[np.uint8]:
    """Frames of the middle window of every video [N, frames, H, W, 3]; grey where it cannot be read any more."""
    config = config.model_copy(update={"window": config.window.model_copy(update={"eval_windows": 1})})
    count = min(STRIP_FRAMES, config.window.length)
    strips = np.full((len(catalog.table), count, 48, 64, 3), GREY, np.uint8)
    is_first = True
    for batch in evaluation_batches(catalog, config, bad_videos):
        width, height = frame_size(*batch.video_BTCHW.shape[-2:])
        if is_first:
            strips = np.full((len(catalog.table), count, height, width, 3), GREY, np.uint8)
            is_first = False
        video_BTHWC = batch.video_BTCHW.permute(0, 1, 3, 4, 2).numpy()
        times = np.linspace(0, video_BTHWC.shape[1] - 1, count).round().astype(int)
        for row, frames_THWC in zip(batch.row_B.tolist(), video_BTHWC[:, times], strict=True):
            for place, frame_HWC in enumerate(frames_THWC):
                picture = Image.fromarray(np.ascontiguousarray(frame_HWC))
                strips[row, place] = np.asarray(picture.resize((width, height), Image.Resampling.BOX))
    return strips


def frame_size(height: int, width: int) -> tuple[int, int]:
    """Width and height of a frame in a strip: of the same shape, and of about the same area whatever the video."""
    ratio = min(max(width / height, 0.4), 2.5)
    return round((AREA * ratio) ** 0.5), round((AREA / ratio) ** 0.5)
