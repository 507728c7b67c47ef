"""What a step takes beyond what a run holds: the number that says which batch fits."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # see proc(5): the peak becomes what is resident now


class PeakMemory:
    """Measures the peak of this process's memory on a device since `start`, above what was there then.

    On a GPU torch counts. On the CPU it is the resident set, to some MB, where Linux lets a process reset its peak;
    the processes that read videos are not in it.

    Args:
        device: that computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before: int | None = None

    def start(self) -> None:
        """Begins anew."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
            return
        self._before = None
        with suppress(OSError):
            give_back_what_is_free()
            _CLEAR.write_text(_RESET_PEAK)
            self._before = _resident("VmRSS")

    def bytes(self) -> int | None:
        """The peak since `start`; None where it cannot be measured."""
        if self._before is None:
            return None
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) - self._before
        peak = _resident("VmHWM")
        return None if peak is None else max(0, peak - self._before)


def _resident(name: str) -> int | None:
    """A line of /proc/self/status, bytes."""
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None


def give_back_what_is_free() -> None:
    """Has the heap give back what it holds and does not use: the next step would take that again, unseen."""
    with suppress(AttributeError, OSError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
