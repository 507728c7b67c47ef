"""The pictures of a run in its report: what each is called, how to read it, and their order."""

from __future__ import annotations

import base64
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Any

from runs.reporting.model_figure_captions import MODEL_FIGURE_CAPTIONS

# Every figure by its file name, in the order of the report: its title, and how to read it.
PICTURES: dict[str, tuple[str, str]] = {
    "windows": (
        "What the model sees",
        "Decoded input windows before augmentation, one per row of frames, with a wider gap between clips. The thing "
        "that the labels name must be visible here; if it is not, no model can learn it.",
    ),
    "views": (
        "What the levels learn from",
        "Some of these windows, each above what the first epoch's augmentation makes of it, view by view, with the "
        "levels that learn from it. What the labels name must be in all views; what differs is forgotten.",
    ),
    "pca": (
        "PCA",
        "The two directions in which the features vary most. Distances are true to the features, but two directions "
        "can hide what others separate.",
    ),
    "tsne": (
        "t-SNE",
        "Neighbours stay neighbours: groups of one colour are what kNN finds. Sizes of groups and distances between "
        "them mean nothing.",
    ),
    "umap": (
        "UMAP",
        "As t-SNE, but the places of the groups relative to each other say a little more.",
    ),
    "epochs": (
        "How the space forms",
        "PCA of the same validation videos after some of the epochs, each level coloured by its own labels. Each "
        "picture is turned as a whole to lie upon the next one: what moves is what training has moved.",
    ),
    **{str(name): caption for name, caption in MODEL_FIGURE_CAPTIONS.items()},
}


CHARTS = ("loss", "collapse", "pace")
"""Pictures of curves, besides those of evaluations: the report has the curves themselves, which say more."""


def pictures(folder: Path, left_out: Collection[str]) -> list[dict[str, Any]]:
    """The PNG files of `folder`: those that the report knows in its order, then the others by name.

    Args:
        folder: of the figures.
        left_out: names without `.png`.
    """
    found = {path.stem: path for path in sorted(folder.glob("*.png")) if path.stem not in left_out}
    shown = []
    for stem in [*(stem for stem in PICTURES if stem in found), *(stem for stem in found if stem not in PICTURES)]:
        title, caption = PICTURES.get(stem, (stem.replace("_", " "), ""))
        data = found[stem].read_bytes()
        width, height = struct.unpack(">II", data[16:24])  # of the PNG header: the page keeps its layout while it loads
        source = "data:image/png;base64," + base64.b64encode(data).decode()
        shown.append({"title": title, "caption": caption, "source": source, "width": width, "height": height})
    return shown
