from __future__ import annotations

import errno
import fcntl
import threading
import time
from pathlib import Path

import pytest

from data_utils.prepare.conversion.chunk_lock import chunk_lock


def nothing() -> None:
    return


def test_one_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "parts" / "00003.lock"
    inside, most, waits = 0, 0, []
    guard = threading.Lock()
    waiting: set[int] = set()
    all_wait = threading.Event()

    def note() -> None:
        with guard:
            waiting.add(threading.get_ident())
            if len(waiting) == 5:
                all_wait.set()

    def work() -> None:
        nonlocal inside, most
        with chunk_lock(file, note) as waited:
            with guard:
                inside += 1
                most = max(most, inside)
                waits.append(waited)
            all_wait.wait()
            time.sleep(0.01)
            with guard:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert waits == [False, True, True, True, True, True]
    assert not file.exists()


def test_waiting_can_be_stopped(tmp_path: Path) -> None:
    def stopped() -> None:
        raise InterruptedError

    with (
        chunk_lock(tmp_path / "lock", nothing),
        pytest.raises(InterruptedError),
        chunk_lock(tmp_path / "lock", stopped),
    ):
        pass


def test_a_disk_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with chunk_lock(tmp_path / "lock", nothing) as waited:
        assert not waited
