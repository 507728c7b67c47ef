from __future__ import annotations

from collections.abc import Callable

import pytest

from config.schema import Config
from data_utils.batches.few_videos import few_videos
from data_utils.batches.plan import Plan
from data_utils.catalog.catalog import Catalog

MakeConfig = Callable[..., Config]


@pytest.mark.parametrize(("windows", "step", "videos"), [(1, 3, 12), (2, 3, 6), (1, 100, 24), (1, 1, 4)])
def test_training_gets_about_four_steps_and_the_others_few_videos(
    tiny_catalogs: dict[str, Catalog], tiny_config: MakeConfig, windows: int, step: int, videos: int
) -> None:
    config = tiny_config(f"window.max_seq_per_video={windows}", "window.length=2", "hierarchy.frames_per_clip=1")
    few = few_videos(tiny_catalogs, config, step, seed=1)
    assert {split: len(catalog.table) for split, catalog in few.items()} == {"train": videos, "val": 12, "test": 12}
    if step < 100:
        assert len(Plan(few["train"], config, step, 0, training=True)) == 4
    again = few_videos(tiny_catalogs, config, step, seed=1)
    assert few["train"].table["path"].tolist() == again["train"].table["path"].tolist()
