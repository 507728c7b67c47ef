"""Videos as points that the report shows one by one: their places, their labels, and a film strip of each."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from config.schema import Config
from data_utils.catalog.annotations.classes import LabelSet
from data_utils.catalog.annotations.multi import MultiLabelSet
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from figures.epochs import embedded_epochs
from protocols.encoded_split import EncodedSplit, IntArray
from protocols.encoding import evaluation_batches
from protocols.evaluation import EvaluationData
from runs.epoch_features import EpochFeatures
from runs.process.atomic import atomic_write, write_text
from runs.process.seeds import numpy_generator
from runs.reporting.drawing import COLOURS, MARKERS
from runs.reporting.embedding import METHODS, Method, Points, embed
from runs.reporting.report.page import as_json
from runs.reporting.report.scatter import DATA, FORM, PICTURES

MOST_VIDEOS = 1000  # of a set: a report stays below 15 MB
STRIP_FRAMES = 6
AREA = 64 * 48  # pixels of a frame in a strip
COLUMNS = 8  # strips side by side in the picture of all: WebP has at most 16,383 pixels to a side
MOST_BYTES = 7_000_000
QUALITIES = (75, 55, 35, 15, 5, 0)  # of WebP, the first one whose picture is small enough
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
    """The label sets of the videos of the catalog."""
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


def point_sets(
    split: EncodedSplit, data: EvaluationData, methods: Sequence[Method], kept: Sequence[EpochFeatures]
) -> list[PointSet]:
    """What the report of a run shows.

    Args:
        split: the test split, encoded.
        data: that it is of.
        methods: the embeddings.
        kept: features of validation videos after some of the epochs; shown from two on, by PCA, which takes no time.
    """
    sets = [of_test(split, data, methods)] if methods and len(split.rows) else []
    if len(kept) > 1 and (over_epochs := of_epochs(kept, data)):
        sets.append(over_epochs)
    return sets


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


def of_epochs(kept: Sequence[EpochFeatures], data: EvaluationData) -> PointSet | None:
    """How the space forms: validation videos after each of several epochs; None where no video was always there."""
    catalog = data.catalogs["val"]
    row_of = {str(path): row for row, path in enumerate(catalog.table["path"])}
    always = {parts: _always(kept, parts, row_of) for parts in kept[-1].paths}
    if not all(always.values()):
        return None
    shown = sorted({row_of[path] for paths in always.values() for path in paths[:MOST_VIDEOS]})
    place = {row: number for number, row in enumerate(shown)}
    places: dict[str, list[Points | str]] = {}
    rows: dict[int, list[int]] = {}
    for parts, paths in always.items():
        levels = [level for level in kept[-1].features[parts] if all(level in each.features[parts] for each in kept)]
        chosen = [path for path in paths if row_of[path] in place]
        rows[parts] = [place[row_of[path]] for path in chosen]
        for level in levels:
            pictures = embedded_epochs("pca", kept, level, parts, data.config.seed)
            wanted = [_points_of(picture, each, parts, chosen) for picture, each in zip(pictures, kept, strict=True)]
            places[f"pca/{level}/{parts}"] = wanted
    few = with_videos(catalog, np.array(shown))
    levels = list(dict.fromkeys(key.split("/")[1] for key in places))
    texts = {name: [labels.text(row) for row in shown] for name, labels in _multi(catalog).items()}
    title = f"{len(shown)} validation videos, epoch by epoch"
    return PointSet(title, few, data, few.labels, texts, levels, [each.title for each in kept], rows, places)


def _always(kept: Sequence[EpochFeatures], parts: int, row_of: Mapping[str, int]) -> list[str]:
    """The videos that were there after every epoch, and still are in the catalog."""
    common = set.intersection(*(set(each.paths.get(parts, [])) for each in kept))
    return [path for path in kept[-1].paths[parts] if path in common and path in row_of]


def _points_of(picture: Points | str, each: EpochFeatures, parts: int, paths: Sequence[str]) -> Points | str:
    """The points of some of the videos of an epoch."""
    if isinstance(picture, str):
        return picture
    row_of = {path: row for row, path in enumerate(each.paths[parts])}
    return picture.reshape(-1, parts, 2)[[row_of[path] for path in paths]].reshape(-1, 2)


def _multi(catalog: Catalog) -> dict[str, MultiLabelSet]:
    return {name: known for name, known in catalog.annotations.items() if isinstance(known, MultiLabelSet)}


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
