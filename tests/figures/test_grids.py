"""Parameter grids: every combination once, its numbers in its title, and other numbers give other pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from figures import grids, panels
from figures.grids import combinations, draw_grid
from figures.panels import Panel
from runs.reporting.embedding import Knobs, embed


def test_every_combination_is_drawn_once_a_row_for_each_minimum_distance() -> None:
    rows = combinations("umap", {"neighbours": [5, 15], "min_dist": [0.0, 0.5]}, 100)
    assert [[(knobs.neighbours, knobs.min_dist) for knobs in row] for row in rows] == [
        [(5, 0.0), (15, 0.0)],
        [(5, 0.5), (15, 0.5)],
    ]
    few = combinations("umap", {"neighbours": [5, 50, 500]}, 20)
    assert [[knobs.neighbours for knobs in row] for row in few] == [[5, 19]]
    assert [[knobs.perplexity for knobs in row] for row in combinations("tsne", {"perplexity": [5, 30]}, 400)] == [
        [5, 30]
    ]


def test_titles_say_what_is_drawn() -> None:
    assert Knobs().text("umap") == "neighbours 15, min_dist 0.1"
    assert Knobs(perplexity=100).for_points(31).text("tsne") == "perplexity 10"
    assert Knobs().text("pca") == ""


def test_panels_of_a_grid_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages: list[list[list[Panel]]] = []
    draw_page = panels.draw_page

    def record(title: str, rows: list[list[Panel]], path: Path, side: float) -> Path:
        pages.append(rows)
        return draw_page(title, rows, path, side)

    monkeypatch.setattr(grids, "draw_page", record)
    features = np.random.default_rng(0).normal(size=(40, 1, 6)).astype(np.float32)
    path = draw_grid("tsne", {"perplexity": [2, 10]}, features, "clip", None, tmp_path / "g.png", 0, 100)
    assert path.stat().st_size > 5000
    ((few, many),) = pages[0]
    assert (few.title, many.title) == ("perplexity 2", "perplexity 10")
    assert not np.allclose(np.asarray(few.points), np.asarray(many.points))
    draw_grid("tsne", {"perplexity": [2, 10]}, features[:5], "clip", None, tmp_path / "g.png", 0, 100)
    assert pages[1][0][0].points == "only 5 points"


def test_umap_takes_its_parameters_and_a_start() -> None:
    points = np.random.default_rng(0).normal(size=(30, 6))
    pictures = [
        embed("umap", points, 0, Knobs(neighbours=4)),
        embed("umap", points, 0, Knobs(neighbours=25)),
        embed("umap", points, 0, Knobs(neighbours=25, min_dist=0.9)),
        embed("umap", points, 0, Knobs(neighbours=25), start=points[:, :2]),
        embed("tsne", points, 0),
        embed("tsne", points, 0, start=points[:, :2]),
    ]
    for number, one in enumerate(pictures):
        assert np.isfinite(np.asarray(one)).all()
        assert not any(np.allclose(np.asarray(one), np.asarray(other)) for other in pictures[:number])
