"""The same videos over the epochs: no jumps, the colours of the labels, and what cannot be laid upon another."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_utils.catalog.annotations.classes import LabelSet
from figures import epochs as over_epochs
from figures import panels
from figures.chosen_epochs import spread
from figures.colouring import Colouring
from figures.epochs import draw_epochs, embedded_epochs, own_colourings
from figures.panels import Panel
from runs.epoch_features import EpochFeatures
from runs.reporting.embedding import Method, reduced

VIDEOS = [f"video {n}.mp4" for n in range(40)]


def forming(epoch: int, videos: list[str] = VIDEOS, seed: int = 0) -> EpochFeatures:
    """Three classes that drift apart; each epoch in axes of its own, as networks have them."""
    rng = np.random.default_rng(seed)
    centres, noise = rng.normal(size=(3, 8)), rng.normal(size=(40, 8))
    points = centres[np.arange(40) % 3] * (1 + epoch) + noise
    turn = np.linalg.qr(np.random.default_rng(100 + epoch).normal(size=(8, 8)))[0]
    rows = [VIDEOS.index(video) for video in videos]
    features = reduced(points[rows] @ turn, 0)
    return EpochFeatures(0, epoch, epoch, {1: videos}, {1: {"clip": features[:, None]}})


def moved(one: Any, other: Any) -> float:
    """How far points are from where they were, as a share of the size of the picture."""
    one, other = np.asarray(one), np.asarray(other)
    change = (one - one.mean(axis=0)) - (other - other.mean(axis=0))
    return float(np.linalg.norm(change) / np.linalg.norm(other - other.mean(axis=0)))


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_no_turn_and_no_mirror_would_bring_an_epoch_nearer_to_the_next_one(method: Method) -> None:
    found = embedded_epochs(method, [forming(epoch) for epoch in range(4)], "clip", 1, seed=0)
    for before, after in pairwise(found):
        for angle in np.linspace(0, 2 * np.pi, 24):
            for mirror in (1, -1):
                turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * [[1], [mirror]]
                centred = np.asarray(before) - np.asarray(before).mean(axis=0)
                assert moved(before, after) <= moved(centred @ turn, after) + 1e-9


def test_points_jump_without_it() -> None:
    kept = [forming(epoch) for epoch in range(4)]
    found = embedded_epochs("pca", kept, "clip", 1, seed=0)
    alone = [embedded_epochs("pca", [each], "clip", 1, seed=0)[0] for each in kept]
    np.testing.assert_array_equal(np.asarray(found[-1]), np.asarray(alone[-1]))
    assert sum(moved(*pair) for pair in pairwise(found)) < 0.8 * sum(moved(*pair) for pair in pairwise(alone))


def test_distances_within_an_epoch_stay() -> None:
    kept = [forming(epoch) for epoch in range(2)]
    first, _ = embedded_epochs("pca", kept, "clip", 1, seed=0)
    (alone,) = embedded_epochs("pca", kept[:1], "clip", 1, seed=0)
    for row in range(5):
        np.testing.assert_allclose(
            np.linalg.norm(np.asarray(first) - first[row], axis=1),
            np.linalg.norm(np.asarray(alone) - alone[row], axis=1),
            atol=1e-9,
        )


def test_umap_begins_where_the_epoch_before_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[Any] = []

    def project(method: str, points: Any, seed: int, start: Any = None) -> Any:
        starts.append(start)
        return points[:, :2] + 1

    monkeypatch.setattr(over_epochs, "project", project)
    other = forming(2, VIDEOS[5:])  # five videos cannot be read any more
    kept = [forming(0), forming(1), other]
    embedded_epochs("umap", kept, "clip", 1, seed=0)
    assert starts[0] is None
    np.testing.assert_array_equal(starts[1], kept[0].features[1]["clip"][:, 0, :2] + 1)
    assert starts[2] is None  # of other videos


def test_panels_have_the_colours_of_their_videos_and_say_what_cannot_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[list[list[Panel]]] = []
    draw_page = panels.draw_page

    def record(title: str, rows: list[list[Panel]], path: Path, side: float) -> Path:
        pages.append(rows)
        return draw_page(title, rows, path, side)

    monkeypatch.setattr(over_epochs, "draw_page", record)
    values = (np.arange(40) % 3)[:, None]
    colouring = Colouring.of(LabelSet("kind", ["a", "b", "c"], values[::-1]))
    broken = forming(1)
    broken.features[1]["clip"][3] = np.nan
    collapsed = EpochFeatures(0, 2, 2, {1: VIDEOS}, {1: {"clip": np.ones((40, 1, 3))}})
    kept = [forming(0), broken, collapsed, *(forming(epoch) for epoch in range(3, 9))]
    path = draw_epochs("pca", kept, [("clip", colouring), ("space", None)], VIDEOS[::-1], tmp_path / "e.png", seed=0)
    assert path.stat().st_size > 10_000
    ((first, second),) = pages  # `space` was not kept: nothing is drawn of it
    assert [len(first), len(second)] == [6, 3]
    assert [panel.title for panel in first[:3]] == ["random init", "epoch 1", "epoch 2"]
    assert first[0].label == second[0].label == "clip \u00b7 kind"
    assert first[0].classes[:, 0].tolist() == values[:, 0].tolist()  # by path, whatever the order of the catalog
    assert first[1].points == "features are not finite"
    assert first[2].points == "collapsed:\nall features are the same"
    pages.clear()
    draw_epochs("pca", kept[:1], [("clip", Colouring("k", ["a"], values[:5, :, None]))], ["x"] * 5, path, seed=0)
    assert pages[0][0][0].points == "none of these videos\nis in the data"


def test_six_epochs_are_spread_over_all() -> None:
    kept = [forming(0), *(EpochFeatures(0, epoch, 0, {}, {}) for epoch in range(1, 21))]
    assert [each.epoch for each in spread(kept)] == [0, 4, 8, 12, 16, 20]
    assert [each.epoch for each in spread(kept[:2])] == [0, 1]
    assert spread([]) == []


def test_levels_are_coloured_by_their_own_labels_or_by_those_that_there_are() -> None:
    kind = Colouring.of(LabelSet("kind", ["a"], np.zeros((2, 1), np.int64)))
    other = Colouring.of(LabelSet("other", ["a"], np.zeros((2, 1), np.int64)))
    by_name = {"kind": kind, "other": other}
    assert own_colourings(["space", "clip"], {"clip": "other"}, by_name) == [("space", kind), ("clip", other)]
    assert own_colourings(["space"], {}, {}) == [("space", None)]
