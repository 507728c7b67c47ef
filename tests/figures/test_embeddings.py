import builtins
import os
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from data_utils.catalog.annotations.classes import LabelSet
from figures import embeddings, panels, windows
from figures.colouring import Colouring
from figures.embeddings import draw_embeddings
from figures.panels import Panel
from figures.windows import draw_windows
from runs.reporting import curves
from runs.reporting.curves import draw_curves
from runs.reporting.drawing import COLOURS, save_figure
from tests.pictures import has_colour, make_windows, pixels, validation

RNG_SEED = 3


def make_labels(videos: int, parts: int, classes: list[str], name: str = "labels") -> LabelSet:
    values = np.random.default_rng(videos).integers(len(classes), size=(videos, parts))
    return LabelSet(name, classes, values)


def make_features(labels: LabelSet, dim: int = 16, separation: float = 6.0) -> NDArray[np.float32]:
    """Features [N, K, dim] in which every class is a cloud of its own."""
    rng = np.random.default_rng(RNG_SEED)
    centres = rng.normal(size=(len(labels.classes), dim)) * separation
    return (centres[labels.values] + rng.normal(size=(*labels.values.shape, dim))).astype(np.float32)


@pytest.fixture
def no_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    """UMAP takes a quarter of a minute to import: one test draws it, the others do without."""
    monkeypatch.setattr(embeddings, "METHODS", {"pca": "PCA", "tsne": "t-SNE"})


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """What is drawn into the panels: points or the reason why there are none, classes."""
    seen: list[list[Any]] = []
    draw_panel = panels.draw_panel

    def record(ax: Any, panel: Panel, size: float) -> None:
        seen.append([panel.points, panel.classes[:, 0]])
        draw_panel(ax, panel, size)

    monkeypatch.setattr(panels, "draw_panel", record)
    return seen


def by_labels(*labels: LabelSet) -> dict[str, Colouring]:
    return {each.name: Colouring.of(each) for each in labels}


def test_every_method_gets_a_figure_in_which_the_classes_have_their_colours(tmp_path: Path) -> None:
    digit, motion = make_labels(40, 1, ["0", "1", "2"]), make_labels(40, 2, ["left", "right"])
    features = {1: {"space": make_features(digit)}, 2: {"space": make_features(motion)}}
    paths = draw_embeddings(
        features,
        {"digit": Colouring.of(digit), "motion": Colouring.of(motion)},
        tmp_path,
        0,
        40,
        {("space", "digit"): "kNN 12.5 %"},
    )
    assert [path.name for path in paths] == ["pca.png", "tsne.png", "umap.png"]
    for path in paths:
        assert all(has_colour(pixels(path), colour) for colour in COLOURS[:3])
        assert not has_colour(pixels(path), COLOURS[3])


def test_only_the_figures_that_are_asked_for_are_drawn(tmp_path: Path) -> None:
    digit = make_labels(20, 1, ["0", "1"])
    features = {1: {"space": make_features(digit)}}
    cases: list[tuple[list[Literal["pca", "tsne", "umap"]], list[str]]] = [
        (["tsne", "pca"], ["tsne.png", "pca.png"]),
        (["pca", "pca"], ["pca.png"]),
        ([], []),
    ]
    for methods, drawn in cases:
        paths = draw_embeddings(features, {"digit": Colouring.of(digit)}, tmp_path, 0, 20, methods=methods)
        assert [path.name for path in paths] == drawn
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pca.png", "tsne.png"]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figures that are drawn, by file name."""
    drawn: dict[str, Figure] = {}

    def record(fig: Figure, path: Path) -> Path:
        drawn[path.stem] = fig
        return save_figure(fig, path)

    monkeypatch.setattr(panels, "save_figure", record)
    monkeypatch.setattr(windows, "save_figure", record)
    monkeypatch.setattr(curves, "save_figure", record)
    return drawn


def test_without_labels_all_points_look_alike_and_can_be_seen(tmp_path: Path, figures: dict[str, Figure]) -> None:
    features = {1: {level: make_features(make_labels(20, 1, ["0", "1"])) for level in ("space", "time")}}
    (path,) = draw_embeddings(features, {}, tmp_path, 0, 20, methods=["pca"])
    assert [ax.get_title() for ax in figures["pca"].axes] == ["space", "time"]
    assert has_colour(pixels(path), COLOURS[0])
    assert not any(has_colour(pixels(path), colour) for colour in COLOURS[1:4])
    FigureCanvasAgg(figures["pca"]).draw()  # type: ignore[no-untyped-call]
    (title,) = [text for text in figures["pca"].findobj(Text) if "features of each level" in text.get_text()]
    box = title.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figures["pca"].bbox.x1


NAMES = {
    "dollars": ["Ba$$in", "$a_$", "$", "100 $ and 200 $"],
    "long": [
        "Pretending to put something underneath something",
        "Putting something that cannot roll onto a slanted surface, so that it stays where it is",
        "Letting something roll up a slanted surface, so it rolls back down",
        "x" * 300,
    ],
    "letters": ["\u8d70\u308b", "\U0001f3c3 running", "\u0445\u043e\u0434\u044c\u0431\u0430", "line\nbreak"],
    "many": [f"class number {i} of a list that is very long, with a name that is as well" for i in range(60)],
    "marks": ["_hidden", "__", "{braces}", "\\alpha_{1}^2"],
    "bytes": [os.fsdecode(b"caf\xe9"), "", " ", "%s %d"],
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_of_every_kind_are_drawn_inside_the_figure_and_apart(
    tmp_path: Path, figures: dict[str, Figure], recwarn: pytest.WarningsRecorder, kind: str
) -> None:
    names = NAMES[kind]
    column = LabelSet(names[0], names, np.arange(60)[:, None] % len(names))
    digit = LabelSet("digit", ["0", "1"], np.arange(60)[:, None] % 2)
    features = {1: {"space": make_features(digit), "time": make_features(digit)}}
    draw_embeddings(features, by_labels(column, digit), tmp_path, 0, 60, methods=["pca"])
    knn = {"space": {names[0]: {"top1": 20.0, "random_init": 30.0, "chance": 10.0}}}
    draw_curves([validation(0, knn=knn), validation(5, knn=knn)], tmp_path)
    draw_windows(make_windows(), [f"{names[0]}.mp4: {', '.join(names)}"] * 2, 2, tmp_path / "windows.png")
    assert [str(warning.message) for warning in recwarn if warning.category is not ResourceWarning] == []
    for name, fig in figures.items():
        FigureCanvasAgg(fig).draw()  # type: ignore[no-untyped-call]
        ticks = {tick for ax in fig.axes for tick in (*ax.get_xticklabels(), *ax.get_yticklabels())}
        texts = [text for text in fig.findobj(Text) if text not in ticks and text.get_text().strip()]
        boxes = [text.get_window_extent() for text in texts]
        for text, box in zip(texts, boxes, strict=True):
            inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= fig.bbox.x1 + 1 and box.y1 <= fig.bbox.y1 + 1
            assert inside, (name, text.get_text(), box, fig.bbox)
        entries = [text for legend in fig.findobj(Legend) for text in legend.get_texts()]
        for one, other in combinations(entries, 2):
            assert not Bbox.intersection(one.get_window_extent(), other.get_window_extent()), (one, other)
    legend = next(legend for legend in figures["pca"].findobj(Legend) if len(legend.get_texts()) != 2)
    shown = [text.get_text() for text in legend.get_texts()]
    assert len(shown) == min(len(names), 24)
    if kind == "dollars":
        assert shown == names
        assert not any(text.get_parse_math() for text in legend.get_texts())


@pytest.mark.usefixtures("no_umap")
def test_points_keep_their_classes_and_separate_classes_stay_separate(tmp_path: Path, drawn: list[Any]) -> None:
    motion = make_labels(50, 2, ["left", "right"])
    draw_embeddings({2: {"time": make_features(motion)}}, {"motion": Colouring.of(motion)}, tmp_path, 0, 100)
    assert len(drawn) == 2
    for points, classes in drawn:
        assert points.shape == (100, 2)  # 50 videos with 2 parts: the limit of 100 points
        assert classes.tolist() == motion.values.reshape(-1).tolist()
        left, right = points[classes == 0], points[classes == 1]
        spread = max(left.std(axis=0).max(), right.std(axis=0).max())
        assert np.linalg.norm(left.mean(axis=0) - right.mean(axis=0)) > 3 * spread


@pytest.mark.usefixtures("no_umap")
def test_a_limit_draws_whole_videos_and_as_many_points_for_every_number_of_parts(
    tmp_path: Path, drawn: list[Any]
) -> None:
    digit, motion = make_labels(90, 1, list("0123")), make_labels(90, 3, list("lrud"))
    features = {1: {"space": make_features(digit)}, 3: {"space": make_features(motion)}}
    draw_embeddings(features, {"digit": Colouring.of(digit), "motion": Colouring.of(motion)}, tmp_path, 7, 30)
    assert [len(points) for points, _ in drawn] == [30, 30, 30, 30]
    videos = drawn[1][1].reshape(10, 3).tolist()
    assert all(row in motion.values.tolist() for row in videos)


def test_the_same_seed_draws_the_same_figure_and_another_one_other_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "METHODS", {"tsne": "t-SNE"})
    digit = make_labels(60, 1, ["0", "1"])
    features = {1: {"space": make_features(digit)}}

    def draw(seed: int, name: str) -> list[bytes]:
        folder = tmp_path / name
        folder.mkdir()
        return [
            path.read_bytes() for path in draw_embeddings(features, {"digit": Colouring.of(digit)}, folder, seed, 30)
        ]

    assert draw(0, "first") == draw(0, "again")
    assert draw(0, "third") != draw(1, "other")


@pytest.mark.usefixtures("no_umap")
@pytest.mark.parametrize("kind", ["few", "constant", "nan", "one dimension", "duplicates"])
def test_features_that_cannot_be_embedded_give_a_panel_that_says_so(
    tmp_path: Path, drawn: list[Any], kind: str
) -> None:
    digit = make_labels(5 if kind == "few" else 12, 1, ["0", "1"])
    features = make_features(digit)
    if kind == "constant":
        features[:] = 0.1
    elif kind == "nan":
        features[3, 0, 2] = np.nan
    elif kind == "one dimension":
        features = features[..., :1]
    elif kind == "duplicates":
        features = features[[0] * 6 + [1] * 6]
    paths = draw_embeddings({1: {"space": features}}, {"digit": Colouring.of(digit)}, tmp_path, 0, 400)
    assert all(path.exists() for path in paths)
    reason = {
        "few": "only 5 points",
        "constant": "collapsed:\nall features are the same",
        "nan": "features are not finite",
    }
    for points, _ in drawn:
        if kind in reason:
            assert points == reason[kind]
        else:
            assert points.shape == (12, 2)
            assert np.isfinite(points).all()


def test_umap_copes_with_the_fewest_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: list[Any]) -> None:
    monkeypatch.setattr(embeddings, "METHODS", {"umap": "UMAP"})
    digit = make_labels(10, 1, ["0", "1"])
    for features in (make_features(digit), make_features(digit)[..., :1], make_features(digit)[[0] * 5 + [1] * 5]):
        draw_embeddings({1: {"space": features}}, {"digit": Colouring.of(digit)}, tmp_path, 0, 400)
    assert all(points.shape == (10, 2) and np.isfinite(points).all() for points, _ in drawn)


@pytest.mark.usefixtures("no_umap")
def test_many_classes_and_unknown_ones_are_drawn(tmp_path: Path) -> None:
    many = make_labels(60, 1, [f"class number {i}" for i in range(60)])
    many.values[:5] = -1
    features = {1: {"space": np.random.default_rng(0).normal(size=(60, 1, 8)).astype(np.float32)}}
    assert has_colour(pixels(draw_embeddings(features, {"many": Colouring.of(many)}, tmp_path, 0, 60)[0]), "#cccccc")


def test_features_of_other_videos_than_the_labels_are_a_bug(tmp_path: Path) -> None:
    digit = make_labels(20, 1, ["0", "1"])
    with pytest.raises(ValueError, match="do not fit digit"):
        draw_embeddings({1: {"space": make_features(digit)[:10]}}, {"digit": Colouring.of(digit)}, tmp_path, 0, 20)


def test_nothing_is_imported_for_umap_before_it_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def refuse(name: str, *arguments: Any, **named: Mapping[str, Any]) -> Any:
        assert name.partition(".")[0] != "umap"
        return real_import(name, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr(embeddings, "METHODS", {"pca": "PCA", "tsne": "t-SNE"})
    digit = make_labels(20, 1, ["0", "1"])
    assert (
        len(draw_embeddings({1: {"space": make_features(digit)}}, {"digit": Colouring.of(digit)}, tmp_path, 0, 20)) == 2
    )
