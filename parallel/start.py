"""Starts main.py in several processes of this machine: python parallel/start.py PROCESSES CONFIG [key=value ...].

torchrun does the same, and is what several machines need. But it kills processes 30 seconds after a signal, in the
middle of a validation after which they would have saved, and tells a wrong config in thirty lines of a crash report.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

_MAIN = Path(__file__).resolve().parents[1] / "main.py"
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
_PATIENCE = float(os.environ.get("HVT_PATIENCE_SECONDS", "120"))  # for saving, once another process has failed
_LOOK = 0.2  # seconds between two looks at the processes
_PARENT_DIES = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


def main(arguments: Sequence[str]) -> int:
    """Starts the processes and waits for them.

    Args:
        arguments: how many processes, then those of main.py.

    Returns:
        The exit status of the process that failed first, or 0.
    """
    size = int(arguments[0])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the processes as well
    processes: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        for process in processes:
            process.send_signal(number)

    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, pass_on)
    port = os.environ.get("MASTER_PORT") or str(_free_port())
    for rank in range(size):
        command = [sys.executable, str(_MAIN), *arguments[1:]]
        environment = _environment(rank, size, port)
        processes.append(subprocess.Popen(command, env=environment, preexec_fn=_prepare))
    return _status(processes)


def _status(processes: Sequence[subprocess.Popen[bytes]]) -> int:
    """Waits for all; where one has failed and others stay for long, ends them."""
    failed: int | None = None
    until = float("inf")
    while left := [process for process in processes if process.poll() is None]:
        if failed is None:
            failed = next((process.returncode for process in processes if process.returncode), None)
            until = float("inf") if failed is None else time.monotonic() + _PATIENCE
        if time.monotonic() > until:
            for process in left:
                process.kill()
        time.sleep(_LOOK)
    if failed is None:
        failed = next((process.returncode for process in processes if process.returncode), 0)
    return failed if failed >= 0 else 128 - failed


def _environment(rank: int, size: int, port: str) -> Mapping[str, str]:
    """What torchrun tells a process; and its part of the cores, where nobody has said how many threads it may have."""
    cores = len(os.sched_getaffinity(0))
    own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {"OMP_NUM_THREADS": str(max(1, cores // size)), **os.environ, **own, **place}


def _prepare() -> None:
    """In a process before it becomes main.py: Ctrl-C is for it, and it must not outlive the one that started it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(OSError, AttributeError):  # no Linux
        ctypes.CDLL(None).prctl(_PARENT_DIES, signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
