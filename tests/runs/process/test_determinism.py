"""`deterministic`: what is set, and put back; which operations of a training have no form with one order."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from config.schema import Config
from data_utils.batches.loader import Loader
from data_utils.catalog.catalog import Catalog
from runs.process.determinism import deterministic, without_deterministic_form
from runs.process.seeds import seed_everything
from tasks import build_task
from train import Trainer

CPU = torch.device("cpu")
# What CUDA has in no deterministic form, by torch's `alertNotDeterministic`: parts of the names of ATen operations.
WITHOUT_ORDER = (
    *("adaptive_avg_pool2d_backward", "adaptive_avg_pool3d_backward", "adaptive_max_pool2d_backward"),
    *("avg_pool3d_backward", "max_pool3d_with_indices_backward", "fractional_max_pool", "max_unpool"),
    *("reflection_pad1d_backward", "reflection_pad2d_backward", "reflection_pad3d_backward"),
    *("replication_pad1d_backward", "replication_pad2d_backward", "replication_pad3d_backward"),
    *("upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward"),
    *("upsample_trilinear3d_backward", "grid_sampler_2d_backward", "grid_sampler_3d_backward", "nll_loss2d"),
    *("ctc_loss", "embedding_bag", "histc", "bincount", "kthvalue", "median", "put_", "cumsum", "scatter_reduce"),
)
MakeConfig = Callable[..., Config]


def test_what_is_set_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with deterministic(False):
        assert not torch.are_deterministic_algorithms_enabled()
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        with pytest.raises(RuntimeError) as error:
            torch.zeros(4).put_(torch.tensor([0]), torch.ones(1))
        assert without_deterministic_form(error.value) == "put_"
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with deterministic(True):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert without_deterministic_form(RuntimeError("another one")) is None


class Operations(TorchDispatchMode):
    """Notes which ATen operations run."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(func))
        return func(*args, **(kwargs or {}))


def train(config: Config, catalogs: dict[str, Catalog]) -> dict[str, torch.Tensor]:
    """The weights after one epoch of three steps."""
    seed_everything(config.seed)
    task = build_task(config, catalogs["train"])
    second = any(view.window for view in task.views)
    loader = Loader(catalogs["train"], config, config.batch_size, config.seed, training=True, second_window=second)
    with closing(loader) as batches:
        trainer = Trainer(task, config, len(batches), CPU)
        assert [report.step for report in trainer.epoch(batches, 0, 0, lambda _: None)] == [1, 2, 3]
    return task.state_dict()


@pytest.mark.parametrize("task", ["hierarchical", "supervised", "vicreg", "svt"])
def test_tasks_of_the_hierarchy_train_by_operations_that_have_one_order(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], task: str
) -> None:
    views = ("augmentation.static_swap.probability=0.5", "views={space: [weak, strong], clip: [strong, strong]}")
    config = tiny_config(f"task={task}", "num_epochs=1", "stem=cnn", *(views if task == "hierarchical" else ()))
    with Operations() as operations:
        train(config, tiny_catalogs)
    assert any("backward" in name for name in operations.names)
    assert [name for name in operations.names if any(part in name for part in WITHOUT_ORDER)] == []


def test_loader_processes_change_nothing(tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog]) -> None:
    overrides = ("num_epochs=1", "architecture_time.dropout=0.1", "views.clip=[strong, strong]")
    with deterministic(True):
        alone, helped = (train(tiny_config(*overrides, f"num_workers={number}"), tiny_catalogs) for number in (0, 8))
    assert all(torch.equal(alone[name], helped[name]) for name in alone)
