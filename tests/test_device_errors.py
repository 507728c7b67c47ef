"""What a run says, and leaves, when the device that computes has no memory left, or fails, in the middle of a step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from config.schema import Config
from runs.checkpoint import load_checkpoint
from tasks.hierarchical import HierarchicalTask
from tests.short_runs import ShortRuns, same

TOO_MUCH = 1 << 60  # bytes that no allocator has


@pytest.fixture
def runs(
    tmp_path: Path, tiny_dataset: Path, tiny_config: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> ShortRuns:
    return ShortRuns.of(tmp_path, tiny_config, tiny_dataset, capsys)


def refused_by_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a total capacity of ...")


def refused_by_the_allocator() -> None:
    torch.empty(TOO_MUCH, dtype=torch.uint8)  # the real error


def gpu_gone() -> None:
    raise torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously")


def without_deterministic_form() -> None:
    torch.zeros(4).put_(torch.tensor([0, 1]), torch.ones(2))


FULL = [
    *("MB, batch_size=8", "batch_size=4 num_iters_grad_accum=2", "window.length"),
    *("hierarchy.space.checkpointing=true", "find_batch_size=true"),
]
CASES: dict[str, tuple[Callable[[], None], list[str]]] = {
    "memory of a GPU": (refused_by_a_gpu, ["error: the GPU's memory is full: a window takes ", *FULL]),
    "memory": (refused_by_the_allocator, ["error: the memory is full: a window takes ", *FULL]),
    "GPU": (gpu_gone, ["error: the GPU has failed (CUDA error: unspecified launch failure)", "nvidia-smi"]),
    "order": (without_deterministic_form, ["deterministic=true, but put_ has no deterministic form"]),
}


@pytest.mark.parametrize("name", CASES)
def test_one_line_tells_it_and_the_run_goes_on(runs: ShortRuns, name: str) -> None:
    fails, words = CASES[name]
    losses, calls = HierarchicalTask.losses_by_level, []

    def fail_in_the_third_step(self: HierarchicalTask, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            fails()
        return losses(self, *arguments)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(HierarchicalTask, "losses_by_level", fail_in_the_third_step)
        assert runs("run", "deterministic=true") == 1
    assert runs.err.count("\n") == 1, runs.err
    assert all(word in runs.err for word in words), runs.err
    assert runs.err.endswith("resume=true continues from last.pt\n")
    assert load_checkpoint(runs.run("run").last)["history"]["step"] == 2
    assert runs("run", "deterministic=false", "resume=true") == 0
    assert not torch.are_deterministic_algorithms_enabled()
    if name == "memory":  # one suffices: what the others leave is the same
        assert runs("whole") == 0
        assert same(runs.weights("run"), runs.weights("whole"))
        assert runs.summary("whole")["bytes_per_window"] > 0
        assert "memory: a batch of 8 windows takes" in runs.out


def test_in_the_first_step_nothing_is_measured_yet(runs: ShortRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HierarchicalTask, "losses_by_level", lambda *_: refused_by_a_gpu())
    assert runs("run") == 1
    assert "the GPU's memory is full: what takes less in a new run: batch_size=4 num_iters_grad_accum=2" in runs.err
