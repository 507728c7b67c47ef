from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from data_utils.catalog.catalog import Catalog
from figures import (
    attention,
    class_scores,
    confused_classes,
    nearest_videos,
    predicted_pixels,
    prediction_errors,
    time_similarity,
    token_colours,
)
from protocols.encoded import EncodedData
from runs.reporting.drawing import save_figure
from tasks.hierarchical import HierarchicalTask
from tests.figures.model_runs import MakeConfig, make_task, seen_by


@pytest.fixture(scope="session")
def seen(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path_factory: pytest.TempPathFactory
) -> tuple[HierarchicalTask, EncodedData]:
    """A task of all three levels with its own data; nobody changes it."""
    config = tiny_config(root=tiny_catalogs["test"].root)
    task = make_task(config)
    return task, seen_by(task, tiny_catalogs, config, tmp_path_factory.mktemp("seen"))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figures that are written, by file name."""
    figures: dict[str, Figure] = {}

    def record(fig: Figure, path: Path) -> Path:
        figures[path.stem] = fig
        return save_figure(fig, path)

    for module in (
        attention,
        class_scores,
        confused_classes,
        nearest_videos,
        predicted_pixels,
        prediction_errors,
        time_similarity,
        token_colours,
    ):
        monkeypatch.setattr(module, "save_figure", record)
    return figures
