"""Records the environment of a run: enough to tell two runs apart, and to repeat one."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

_PACKAGES = (
    "torch",
    "torchvision",
    "torchcodec",
    "numpy",
    "pandas",
    "av",
    "decord",
    "opencv-python-headless",
    "h5py",
    "scikit-learn",
    "umap-learn",
    "matplotlib",
    "pydantic",
    "safetensors",
)


def describe_environment(device: torch.device | str) -> dict[str, Any]:
    """Versions, device, CPUs, threads, memory, git state, command and start time (UTC), as values that JSON can hold.

    `versions` holds what is installed, null for a package that is not; `git` is null outside a repository.
    """
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", *sys.argv]),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "device": str(device),
        "device_name": device_name(device),
        "cpus": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "git": git_state(Path(__file__).resolve().parents[2]),
    }


def device_name(device: torch.device | str) -> str:
    """The name that the maker gave to the GPU or the CPU."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def git_state(folder: Path) -> dict[str, Any] | None:
    """`{"commit", "dirty"}` of the repository around `folder`; None without git, a repository or a commit.

    In a container, where there is no git, it is what HVT_COMMIT says: the commit, with `-dirty` after it or not.
    """
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    status = _git(folder, "status", "--porcelain")
    if commit is not None and status is not None:
        return {"commit": commit, "dirty": bool(status)}
    commit, dash, _dirty = os.environ.get("HVT_COMMIT", "").partition("-")
    return {"commit": commit, "dirty": bool(dash)} if commit else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
