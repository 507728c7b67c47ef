"""Colours and markers: alike for few classes and for many, several at once, and what is not known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from data_utils.catalog.annotations.classes import UNKNOWN, LabelSet
from data_utils.catalog.annotations.multi import multi_label_sets
from figures import panels
from figures.colouring import GREYS, MAX_NAMED, NONE, NOTHING, OTHER, Colouring, colourings, groups_colouring
from figures.legends import Legend as Key
from figures.panels import Panel, draw_page
from protocols.encoded_split import EncodedSplit
from runs.reporting.drawing import COLOURS, save_figure
from runs.reporting.drawn_text import Lettering
from tests.pictures import has_colour, pixels


def of_classes(count: int, values: list[int]) -> Colouring:
    return Colouring.of(LabelSet("kind", [f"class {n}" for n in range(count)], np.array(values, np.int64)[:, None]))


def test_all_of_24_classes_look_different() -> None:
    colouring = of_classes(24, list(range(24)))
    looks = [colouring.look(value) for value in range(24)]
    assert len({(look["color"], look["marker"]) for look in looks}) == 24
    assert [look["color"] for look in looks[:12]] == COLOURS
    assert colouring.named == list(range(24))
    assert colouring.greys == {}


def test_of_400_classes_the_commonest_are_named_and_the_rest_are_grey() -> None:
    values = [*np.repeat([7, 399, 30], [9, 8, 7]), *range(400), UNKNOWN]
    colouring = of_classes(400, values)
    assert len(colouring.named) == MAX_NAMED - 1
    assert colouring.named[:3] == [7, 399, 30]
    assert {colouring.look(value)["color"] for value in set(range(400)) - set(colouring.named)} == {GREYS[OTHER]}
    assert len({tuple(colouring.look(value).values()) for value in colouring.named}) == len(colouring.named)
    key = Key.of(colouring, Lettering())
    assert key.names[-2:] == ["377 other classes", "not known"]
    assert key.title == "kind (23 of 400 classes)"


def test_several_classes_at_once_are_drawn_inside_one_another_the_commonest_outside() -> None:
    cells = ["cook;talk", "talk", "walk;cook;talk;eat", ";", "", "talk;cook"]
    labels = multi_label_sets("does", {"train": pd.DataFrame({"does": cells})})["train"]
    colouring = Colouring.of(labels)
    cook, eat, talk, walk = (labels.classes.index(name) for name in ("cook", "eat", "talk", "walk"))
    assert colouring.values[:, 0].tolist() == [
        [talk, cook, NOTHING],
        [talk, NOTHING, NOTHING],
        [talk, cook, eat],  # three are drawn; of the rarest, the first
        [NONE, NOTHING, NOTHING],
        [UNKNOWN, NOTHING, NOTHING],
        [talk, cook, NOTHING],
    ]
    assert walk not in colouring.values
    assert Key.of(colouring, Lettering()).title == "does (one inside the other: both)"
    assert list(colouring.greys.values()) == ["none of them", "not known"]


def test_groups_and_label_sets_of_every_kind_can_colour() -> None:
    labels = {
        "known": LabelSet("known", ["a"], np.zeros((3, 1), np.int64)),
        "unknown": LabelSet("unknown", ["a"], np.full((3, 1), UNKNOWN, np.int64)),
    }
    multi = multi_label_sets("does", {"train": pd.DataFrame({"does": ["x", "x;y", ""]})})["train"]
    groups = np.array(["group b", "row 1", "group a"], object)
    features = {1: {"space": np.zeros((3, 1, 2), np.float32)}}
    split = EncodedSplit.of_videos(features, labels, {"does": multi}, groups)
    assert list(colourings(split)) == ["known", "does"]
    by_group = groups_colouring(split)
    assert by_group is not None
    assert by_group.classes == ["a", "b"]
    assert by_group.values[:, 0, 0].tolist() == [1, UNKNOWN, 0]
    assert groups_colouring(EncodedSplit.of_videos(features, labels)) is None


def test_what_has_no_colour_lies_below_what_has_one(tmp_path: Path) -> None:
    colouring = of_classes(2, [0, UNKNOWN])
    same = np.zeros((40, 2)) + np.array([[0.0, 0.0]])
    classes = np.array([[UNKNOWN], [0]] * 20)
    path = draw_page("page", [[Panel("panel", same, classes, colouring)]], tmp_path / "page.png")
    picture = pixels(path)[60:330, 30:340]  # the panel alone: the legend shows both
    assert has_colour(picture, COLOURS[0])
    assert not has_colour(picture, GREYS[UNKNOWN])


def test_rings_show_both_classes(tmp_path: Path) -> None:
    labels = multi_label_sets("does", {"train": pd.DataFrame({"does": ["cook;talk"] * 18 + ["talk"] * 3})})["train"]
    colouring = Colouring.of(labels)
    points = np.repeat(np.random.default_rng(0).normal(size=(7, 2)), 3, axis=0)  # so that no white shines through
    panel = Panel("panel", points, colouring.values[:, 0], colouring)
    picture = pixels(draw_page("page", [[panel]], tmp_path / "page.png"))[60:330, 30:340]
    assert has_colour(picture, COLOURS[0])
    assert has_colour(picture, COLOURS[1])


def test_a_page_of_small_panels_keeps_all_its_texts_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []

    def record(fig: Figure, path: Path) -> Path:
        figures.append(fig)
        return save_figure(fig, path)

    monkeypatch.setattr(panels, "save_figure", record)
    name = "$a_1$ </script> \u8d70\u308b \U0001f3c3 a name that is much longer than any panel is wide"
    labels = LabelSet(name, [f"{n} {name}" for n in range(60)], np.arange(60)[:, None])
    colouring = Colouring.of(labels)
    points = np.random.default_rng(0).normal(size=(60, 2))
    row = [Panel(name, points, labels.values, colouring, label=name) for _ in range(6)]
    draw_page(name, [row, row[:2]], tmp_path / "page.png", side=1.7)
    (fig,) = figures
    FigureCanvasAgg(fig).draw()  # type: ignore[no-untyped-call]
    texts = [text for ax in fig.findobj(Legend) for text in ax.get_texts()]
    for owner in [ax for part in fig.subfigs for ax in part.axes]:
        texts += [owner.title, owner.yaxis.label]
    for text in texts:
        if text.get_text():
            box = text.get_window_extent()
            assert box.x0 >= -1, text
            assert box.y0 >= -1, text
            assert box.x1 <= fig.bbox.x1 + 1, text
            assert box.y1 <= fig.bbox.y1 + 1, text
    titles = [ax.title.get_window_extent() for ax in fig.subfigs[0].axes[:6]]
    assert all(one.x1 <= other.x0 + 1 for one, other in pairwise(titles))
