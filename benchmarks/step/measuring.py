"""What a training step costs: seconds, memory, floating-point operations, and the time of each level."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

MB = 2**20
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Cost:
    """The cost of one step."""

    seconds: float
    """Wall time, the median."""
    cpu_seconds: float
    """CPU time of all threads, the median; what counts where other programs share the machine."""
    peak_mb: float
    """Most memory at a time, beyond what the process had before the network was made; on a GPU, of its allocator."""
    flops: float
    """Operations of matrix products and convolutions, forward and backward; a multiply-add is two."""
    level_seconds: dict[str, float] = field(default_factory=dict)
    """CPU seconds (on a GPU, seconds) from the end of one level's backward to that of the next; where there is one
    backward for all, it is in none of them."""


def synchronise(device: torch.device) -> None:
    """Waits for what the device was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measured(step: Callable[[], object], steps: int, device: torch.device, memory_before: float) -> Cost:
    """The cost of `step`, after one to warm up.

    Args:
        step: makes one.
        steps: that are timed.
        device: that computes.
        memory_before: what `memory_mb` was before the network was made.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    step()
    seconds, cpu_seconds = [], []
    for _ in range(steps):
        synchronise(device)
        began, cpu_began = time.perf_counter(), time.process_time()
        step()
        synchronise(device)
        seconds.append(time.perf_counter() - began)
        cpu_seconds.append(time.process_time() - cpu_began)
    peak = peak_mb(device) - memory_before
    # The kernels of attention are not all known to the counter; its plain form is two products that are.
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        step()
    return Cost(median(seconds), median(cpu_seconds), peak, float(counter.get_total_flops()))


def ceiling(device: torch.device, dtype: torch.dtype, size: int, rounds: int = 5) -> float:
    """FLOP/s of the product of two square matrices, the best of several; on a CPU, per CPU second."""
    matrix = torch.randn(size, size, device=device).to(dtype)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    matrix @ matrix
    best = float("inf")
    for _ in range(rounds):
        synchronise(device)
        began = clock()
        matrix @ matrix
        synchronise(device)
        best = min(best, clock() - began)
    return 2 * size**3 / best


def start_of_memory(device: torch.device) -> float:
    """The memory that is in use now, in MB, from which peaks count; where the system can, the peak begins anew."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / MB
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _status_mb("VmRSS")
    return peak_mb(device)


def peak_mb(device: torch.device) -> float:
    """The most memory that was in use at a time, in MB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MB
    with suppress(OSError):
        return _status_mb("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _status_mb(key: str) -> float:
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"{_STATUS} says nothing of {key}")


@contextmanager
def timing_levels(task: object, device: torch.device) -> Iterator[dict[str, float]]:
    """Inside, the time of each level is summed, see `Cost.level_seconds`: from being asked for to the next request."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    original, spent = task.losses_by_level, dict[str, float]()  # type: ignore[attr-defined]

    def timed(*arguments: object) -> Iterator[object]:
        asked, levels = clock(), original(*arguments)
        for level, terms in levels:
            yield level, terms  # and the trainer runs its backward
            synchronise(device)
            now = clock()
            spent[level] = spent.get(level, 0.0) + now - asked
            asked = now

    task.losses_by_level = timed  # type: ignore[attr-defined]
    try:
        yield spent
    finally:
        del task.losses_by_level  # type: ignore[attr-defined]
