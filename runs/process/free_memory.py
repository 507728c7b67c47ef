"""How much memory is left: a container has less than its machine, and is killed for taking what only that one has."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil
import torch

# Limit and use of a container, of Linux's control groups 2 and 1.
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def free_memory(device: torch.device) -> int:
    """Bytes that this process can still take: on a GPU what is free there, else of the machine or its container."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min([int(psutil.virtual_memory().available), *_left_to_container()])


def _left_to_container() -> list[int]:
    """One number where a limit is set; none where there is none."""
    for limit, used in _CGROUPS:
        with suppress(OSError, ValueError):  # no such file, or `max`
            return [max(0, int(Path(limit).read_text()) - int(Path(used).read_text()))]
    return []
