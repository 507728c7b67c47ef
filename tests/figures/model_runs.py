"""A tiny network with data, opened once: what the tests of its figures share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from config.schema import Config
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from protocols.encoded import EncodedData
from runs.reporting.drawing import DPI
from tasks.hierarchical import HierarchicalTask
from tasks.task import Task

MakeConfig = Callable[..., Config]
HOSTILE = ["$\\frac$", "<b>\x07 & </script>", "\u4e2d\u6587 " * 12, "Ba$$in " * 20]
"""Names that are no formulas, no markup, of any script and any length."""


def make_task(config: Config) -> HierarchicalTask:
    torch.manual_seed(0)
    return HierarchicalTask(config).eval()


def seen_by(task: Task, catalogs: dict[str, Catalog], config: Config, folder: Path) -> EncodedData:
    bad = BadVideos(folder / "bad_videos.csv", total=48, max_share=0.5, dataset="videos")
    return EncodedData(task.encoder, "digits", catalogs, config, torch.device("cpu"), bad)


def texts_overlap(fig: Figure) -> list[tuple[str, str]]:
    """Pairs of texts of a figure that has been written which are drawn over each other."""
    fig.set_dpi(DPI)  # as it was written: places of labels were found then
    axes = [ax for ax in fig.findobj(Axes) if isinstance(ax, Axes)]
    hidden = {label for ax in axes for axis in (ax.xaxis, ax.yaxis) for label in _hidden_labels(axis)}
    texts = [text for text in fig.findobj(Text) if isinstance(text, Text) and text not in hidden]
    shown = [text for text in texts if text.get_visible() and text.get_text().strip()]
    boxes = [(text.get_text(), text.get_window_extent().padded(-1)) for text in shown]
    return [
        (one, other)
        for number, (one, box) in enumerate(boxes)
        for other, second in boxes[number + 1 :]
        if box.overlaps(second)
    ]


def _hidden_labels(axis: Axis) -> list[Text]:
    """The labels of ticks that lie outside of what an axis shows."""
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_major_ticks() if not low - 1e-9 <= tick.get_loc() <= high + 1e-9]
    return [label for tick in ticks for label in (tick.label1, tick.label2)]
