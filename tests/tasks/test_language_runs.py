"""The tasks that read captions train on files, resume inside an epoch and are evaluated as every other task."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from data_utils.batches.opening import open_catalogs
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from protocols.encoding import encode_split
from tests.tasks.language_cases import FRAMES, MakeConfig, overrides
from tests.tasks.test_every_task import CPU, make_task, train


@pytest.fixture(scope="module")
def captioned(
    tiny_dataset: Path, tiny_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Catalog]:
    """The catalogs of `tiny_dataset`, with captions."""
    config = tiny_config("dataset.annotations={caption: captions}", root=tiny_dataset)
    return open_catalogs(config, config.groups, tmp_path_factory.mktemp("bad") / "bad_videos.csv")


@pytest.mark.parametrize("name", FRAMES)
def test_it_trains_resumes_and_is_evaluated(
    tiny_config: MakeConfig, captioned: dict[str, Catalog], tmp_path: Path, name: str
) -> None:
    videos = {1: 5, 2: 4, 5: 1}[FRAMES[name]]
    sizes = (f"batch_size={8 * videos}", "num_epochs=1")
    config = tiny_config(*overrides(name, tmp_path / "captions", *sizes))
    task, resumed = (make_task(config, captioned) for _ in range(2))
    train(task, config, captioned, tmp_path / "last.pt")
    train(resumed, config, captioned, tmp_path / "last.pt")
    other = resumed.state_dict()
    for key, value in task.state_dict().items():
        assert torch.equal(value, other[key]), key
    bad = BadVideos(tmp_path / "bad_videos.csv", 48, 0.0, "tiny")
    split = encode_split(task.encoder, captioned["val"], config, CPU, bad)
    assert len(split.rows) == 12
