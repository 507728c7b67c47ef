"""An encoder of a few weights with the small real dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from config.schema import Config
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from protocols.encoded import EncodedData
from runs.process.seeds import seed_everything
from tasks.encoder import build_hierarchy


@pytest.fixture
def tiny_data(
    tiny_config: Callable[..., Config], tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> Callable[..., EncodedData]:
    """Makes an untrained encoder with the tiny data, by a config with some other values."""

    def make(*overrides: str, folder: Path | None = None) -> EncodedData:
        config = tiny_config(*overrides, root=tiny_catalogs["test"].root)
        seed_everything(0)
        bad = BadVideos(tmp_path / "bad_videos.csv", total=48, max_share=0.5, dataset="videos")
        encoder = build_hierarchy(config)
        return EncodedData(encoder, "digits", tiny_catalogs, config, torch.device("cpu"), bad, folder=folder)

    return make
