"""Windows are read once as long as they fit, and are the same ones the second time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from config.schema import Config
from data_utils.batches.loader import Batch
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from protocols import window_memory
from protocols.encoding import evaluation_batches
from protocols.window_memory import WindowMemory

MakeConfig = Callable[..., Config]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The splits that were read, each time that one was."""
    splits: list[str] = []

    def read(catalog: Catalog, *more: Any, **settings: Any) -> Any:
        splits.append(catalog.split)
        return evaluation_batches(catalog, *more, **settings)

    monkeypatch.setattr(window_memory, "evaluation_batches", read)
    return splits


@pytest.fixture
def ask(tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path) -> Callable[..., list[Batch]]:
    """All batches of a split, by way of a memory."""
    bad_videos = BadVideos(tmp_path / "bad_videos.csv", 48, 0.0, "digits")

    def batches(memory: WindowMemory, split: str, **settings: Any) -> list[Batch]:
        config = tiny_config(root=tiny_catalogs[split].root).model_copy(update=settings)
        return list(memory.batches(split, tiny_catalogs[split], config, bad_videos))

    return batches


@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_was_read_is_given_again(ask: Callable[..., list[Batch]], reads: list[str], num_workers: int) -> None:
    memory = WindowMemory(10)
    first, second = (ask(memory, "val", num_workers=num_workers) for _ in range(2))
    assert reads == ["val"]
    assert len(first) == len(second) > 1
    for one, other in zip(first, second, strict=True):
        for name in ("video_BTCHW", "row_B", "frames_BT"):
            assert torch.equal(getattr(one, name), getattr(other, name))
    assert not any(batch.video_BTCHW.is_shared() for batch in second)  # which a container has little of


@pytest.mark.parametrize("megabytes", [0, 10])
def test_nothing_is_kept_beyond_the_limit(
    ask: Callable[..., list[Batch]], reads: list[str], megabytes: int, tiny_config: MakeConfig
) -> None:
    memory = WindowMemory(megabytes)
    if megabytes:
        memory._limit = sum(batch.video_BTCHW.nbytes for batch in ask(WindowMemory(0), "val")) - 1
        reads.clear()
    for _ in range(2):
        ask(memory, "val")
    assert reads == ["val", "val"]


def test_what_was_used_longest_ago_goes_first(ask: Callable[..., list[Batch]], reads: list[str]) -> None:
    memory = WindowMemory(10)
    # Two of the splits fit: val and test have as many videos.
    memory._limit = 2 * sum(batch.video_BTCHW.nbytes for batch in ask(WindowMemory(0), "val"))
    reads.clear()
    ask(memory, "val")
    ask(memory, "test")
    ask(memory, "val")
    memory._limit -= 1
    ask(memory, "test")
    assert reads == ["val", "test"]
    memory._keep("more", [])
    ask(memory, "test")
    assert reads == ["val", "test"]
    ask(memory, "val")
    assert reads == ["val", "test", "val"]
