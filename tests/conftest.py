"""What the tests of the model, the trainer and the evaluation share: a small config and a small real dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import joblib
import pytest

from config.load import load_config
from config.schema import Config
from data_utils.catalog import Catalog, open_catalogs

TINY_VIDEOS = {"train": 24, "val": 12, "test": 12}
# Every level has a width of its own, so that a mix-up of levels does not fit.
TINY = (
    "groups=[space,time,clip]",
    "patch_size=8",
    "frame_size=[16,24]",
    "frames_per_clip=2",
    "window={length: 6, frequency: 1, step: null, max_seq_per_video: 1, eval_windows: 2}",
    "position_embedding=learned",
    "architecture_space={dim: 16, layers: 1, heads: 2, head_dim: 8, mlp_dim: 24, dropout: 0.0, pred_h_dim: 12}",
    "architecture_time={dim: 20, layers: 1, heads: 2, head_dim: 8, mlp_dim: 24, dropout: 0.0, pred_h_dim: 14}",
    "architecture_clip={dim: 24, layers: 1, heads: 2, head_dim: 8, mlp_dim: 24, dropout: 0.0, pred_h_dim: 16}",
    "task=hierarchical",
    "isolation=strict",
    "loss_weights={space: {up: 1, down: 1, side: 1}, time: {up: 1, down: 1, side: 1}, clip: {down: 1}}",
    "down_target=pixels",
    "regularizer={name: vicreg, variance: 1, covariance: 1, proj_dim: 18, min_vectors: 32}",
    "optimizer={name: adamw, lr: 0.001, weight_decay: 0.1, betas: [0.9, 0.95]}",
    "scheduler={name: cosine, warmup: 0.25, final_lr: 0.1}",
    "lr_scale={space: 1.0, time: 1.0, clip: 1.0}",
    "clip_grad_norm=1.0",
    "batch_size=8",
    "num_workers=0",
    "seed=3",
    "knn_k=5",
)


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of moving_digits: 24 videos in train, 12 in val, 12 in test. Copy it to change it."""
    from data_utils.prepare import moving_digits  # its imports take seconds

    root = tmp_path_factory.mktemp("tiny") / "moving_digits"
    with joblib.parallel_config(backend="sequential"):  # processes would take longer to start than this takes
        moving_digits.prepare(root, TINY_VIDEOS, seed=0)
    return root


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Config]:
    """Makes a config of small numbers: `tiny_config("key=value", ..., root=dataset)`.

    Nothing in it that matters to a test is left to the default files.
    """
    folder = tmp_path_factory.mktemp("config")
    (folder / "tiny.yaml").touch()

    def make(*overrides: str, root: Path = folder) -> Config:
        videos = ", ".join(f"{split}: {count}" for split, count in TINY_VIDEOS.items())
        dataset = f'dataset={{name: moving_digits, root: "{root}", videos: {{{videos}}}, seed: 0}}'
        return load_config(str(folder / "tiny.yaml"), [dataset, *TINY, *overrides]).config

    return make


@pytest.fixture(scope="session")
def tiny_catalogs(
    tiny_dataset: Path, tiny_config: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Catalog]:
    """The catalogs of `tiny_dataset`, with the label sets of all three levels."""
    return open_catalogs(tiny_config(root=tiny_dataset), tmp_path_factory.mktemp("bad") / "bad_videos.csv")
