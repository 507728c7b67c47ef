from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from config.schema import Config
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from figures.scatter import (
    AREA,
    GREY,
    MOST_BYTES,
    STRIP_FRAMES,
    _small_enough,
    _whole,
    draw_scatter,
    frame_size,
    of_epochs,
    of_test,
    point_sets,
)
from protocols.encoded_split import EncodedSplit
from protocols.evaluation import EvaluationData
from protocols.window_memory import WindowMemory
from runs.epoch_features import EpochFeatures
from runs.reporting.embedding import embed
from runs.reporting.report.scatter import read_scatter

MakeConfig = Callable[..., Config]


@pytest.fixture
def data(tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path) -> EvaluationData:
    bad_videos = BadVideos(tmp_path / "bad.csv", total=48, max_share=1.0, dataset="digits")
    return EvaluationData("digits", tiny_catalogs, tiny_config(), bad_videos, WindowMemory(0))


@pytest.fixture
def split(data: EvaluationData) -> EncodedSplit:
    """The test videos but for the third one, which could not be read, with features that say their rows."""
    rows = np.delete(np.arange(len(data.catalogs["test"].table)), 2)
    rng = np.random.default_rng(0)
    features = {parts: {"clip": rng.normal(size=(len(rows), parts, 5)).astype(np.float32)} for parts in (1, 2)}
    keep = np.ones(len(rows) + 1, np.bool_)
    keep[2] = False
    labels = {name: labels.with_rows(keep) for name, labels in data.catalogs["test"].labels.items()}
    return EncodedSplit.of_videos(features, labels, rows=rows)


def test_the_report_reads_what_is_drawn(data: EvaluationData, split: EncodedSplit, tmp_path: Path) -> None:
    draw_scatter([of_test(split, data, ["pca"])], tmp_path)
    scatter = read_scatter(tmp_path)
    assert scatter is not None
    (points,) = scatter.data["sets"]
    table = data.catalogs["test"].table
    assert points["videos"] == [str(table["path"][row]) for row in split.rows]
    for name, labels in data.catalogs["test"].labels.items():
        told = points["labels"][name]
        names = ["|".join(told["classes"][rank] for rank in ranks) for ranks in told["values"]]
        assert names == [labels.text(row) for row in split.rows]
        counts = np.bincount(np.array(told["values"]).reshape(-1), minlength=len(told["classes"]))
        assert (np.diff(counts) <= 0).all()  # the commonest first
    assert len(points["points"]["pca/clip/1"][0]) == 2 * len(split.rows)
    assert len(points["points"]["pca/clip/2"][0]) == 4 * len(split.rows)
    assert points["sprite"]["frames"] == STRIP_FRAMES


def test_the_points_are_those_of_the_figures(data: EvaluationData, split: EncodedSplit) -> None:
    points = of_test(split, data, ["pca"])
    expected = embed("pca", split.features[1]["clip"][:, 0].astype(np.float64), data.config.seed)
    np.testing.assert_array_equal(points.places["pca/clip/1"][0], expected)


def test_every_video_has_its_own_frames(data: EvaluationData, split: EncodedSplit, tmp_path: Path) -> None:
    draw_scatter([of_test(split, data, ["pca"])], tmp_path)
    place = json.loads((tmp_path / "scatter.json").read_text())["sets"][0]["sprite"]
    with Image.open(tmp_path / "scatter_0.webp") as picture:
        assert picture.width == place["columns"] * place["frames"] * place["width"]
        sheet = np.asarray(picture.convert("L"), np.float64)
    strips = []
    for video in range(len(split.rows)):
        top = video // place["columns"] * place["height"]
        left = video % place["columns"] * place["frames"] * place["width"]
        strips.append(sheet[top : top + place["height"], left : left + place["frames"] * place["width"]])
    assert min(strip.std() for strip in strips) > 5  # none is grey
    assert min(np.abs(strips[0] - strip).mean() for strip in strips[1:]) > 3
    first, last = strips[0][:, : place["width"]], strips[0][:, -place["width"] :]
    assert np.abs(first - last).mean() > 1  # it moves


def test_what_cannot_be_read_any_more_is_grey(data: EvaluationData, split: EncodedSplit, tmp_path: Path) -> None:
    catalog = data.catalogs["test"]
    paths = [f"gone/{row}.mp4" if row else path for row, path in enumerate(catalog.table["path"])]
    catalogs = {**data.catalogs, "test": replace(catalog, table=catalog.table.assign(path=paths))}
    draw_scatter([of_test(split, replace(data, catalogs=catalogs), ["pca"])], tmp_path)
    scatter = read_scatter(tmp_path)
    assert scatter is not None
    assert "gone/1.mp4" in scatter.data["sets"][0]["videos"]
    with Image.open(tmp_path / "scatter_0.webp") as picture:
        lower_right = np.asarray(picture.convert("L"), np.int64)[-3, -3]
    assert abs(lower_right - GREY) < 3


def forming(data: EvaluationData, epoch: int, left_out: int | None = None) -> EpochFeatures:
    """Features of all validation videos but one."""
    paths = [str(path) for row, path in enumerate(data.catalogs["val"].table["path"]) if row != left_out]
    features = np.random.default_rng(epoch).normal(size=(len(paths), 1, 4))
    return EpochFeatures(0, epoch, epoch, {1: paths}, {1: {"clip": features}})


def test_epochs_show_the_videos_that_were_always_there(data: EvaluationData) -> None:
    kept = [forming(data, 0), forming(data, 1, left_out=3), forming(data, 2)]
    points = of_epochs(kept, data)
    assert points is not None
    assert points.epochs == ["random init", "epoch 1", "epoch 2"]
    count = len(data.catalogs["val"].table) - 1
    assert len(points.catalog.table) == count
    assert points.rows == {1: list(range(count))}
    assert [np.shape(picture) for picture in points.places["pca/clip/1"]] == [(count, 2)] * 3
    assert of_epochs([EpochFeatures(0, 0, 0, {1: ["x"]}, {1: {"clip": np.ones((1, 1, 2))}})], data) is None


def test_one_epoch_forms_nothing_and_without_methods_there_is_nothing(
    data: EvaluationData, split: EncodedSplit, tmp_path: Path
) -> None:
    assert len(point_sets(split, data, ["pca"], [forming(data, 0)])) == 1
    assert len(point_sets(split, data, ["pca"], [forming(data, 0), forming(data, 1)])) == 2
    draw_scatter([of_test(split, data, ["pca"])], tmp_path)
    draw_scatter(point_sets(split, data, [], []), tmp_path)
    assert list(tmp_path.glob("scatter*")) == []
    assert read_scatter(tmp_path) is None


def test_all_epochs_have_one_scale() -> None:
    small, large = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[-2.0, 0.0], [2.0, 2.0]])
    assert _whole([small, "collapsed", large]) == [[500, 250, 750, 500], "collapsed", [0, 250, 1000, 750]]
    assert _whole(["only 3 points"]) == ["only 3 points"]


def test_frames_have_one_area_whatever_their_shape() -> None:
    for height, width in ((48, 64), (1080, 1920), (1920, 1080), (10, 1000)):
        across, down = frame_size(height, width)
        assert across * down == pytest.approx(AREA, rel=0.05)
    assert frame_size(300, 400) == (64, 48)


def test_a_picture_is_as_good_as_there_is_room_for() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8))
    good, small = _small_enough(noise, MOST_BYTES), _small_enough(noise, 60_000)
    assert len(small) <= 60_000 < len(good)
    with Image.open(io.BytesIO(small)) as picture:
        assert picture.size == (400, 400)
