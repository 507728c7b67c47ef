"""A run takes as long as its user waits: from the start of the process, before anything is imported."""

from __future__ import annotations

import time

import psutil


def seconds_since_start() -> float:
    """Seconds since the operating system started this process, to about one."""
    return time.time() - psutil.Process().create_time()
