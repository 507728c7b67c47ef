"""How a run ends that does not end by itself."""

from __future__ import annotations

import signal
import subprocess
import sys
from multiprocessing.connection import Client
from pathlib import Path

import pytest
import torch

from config.errors import InputError
from runs.folder import RunFolder
from runs.process.ending import before_an_error, ending
from runs.process.signals import Ended


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.open(tmp_path, "run", resume=False)


def caught(error: BaseException) -> BaseException:
    """The error with a traceback."""
    try:
        raise error
    except BaseException as same:
        return same


def test_signals_end_in_one_line_that_says_what_is_left(run: RunFolder) -> None:
    assert ending(Ended(signal.SIGTERM), None) == (143, "SIGTERM: the run has ended; nothing had been trained yet")
    assert ending(Ended(signal.SIGHUP), run) == (129, "SIGHUP: the run has ended; nothing had been trained yet")
    run.last.touch()
    assert ending(KeyboardInterrupt(), run) == (130, "SIGINT: the run has ended; resume=true continues from last.pt")


def test_bad_input_ends_in_its_line(run: RunFolder) -> None:
    assert ending(InputError("no such\nfile"), run) == (2, "error: no such\\nfile")


def test_an_unexpected_error_before_anything_was_trained_keeps_its_traceback(run: RunFolder) -> None:
    for folder in (None, run):
        with pytest.raises(ZeroDivisionError):
            ending(ZeroDivisionError("division"), folder)
    assert not run.error.exists()


def test_an_unexpected_error_later_is_one_line_and_its_traceback_is_kept(run: RunFolder) -> None:
    run.last.touch()
    status, line = ending(caught(ValueError("two\nlines")), run)
    assert status == 1
    assert line == (
        f"error: ValueError: two lines (unexpected: {run.error} has the traceback); resume=true continues from last.pt"
    )
    assert "in caught\n    raise error\nValueError: two\nlines" in run.error.read_text()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), "the GPU's memory is full"),
        (MemoryError(), "the memory is full"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "the memory is full"),
        (
            RuntimeError("DataLoader worker (pid 77) is killed by signal: Killed. "),
            "has died (DataLoader worker (pid 77)",
        ),
        (RuntimeError("DataLoader worker (pid(s) 1, 2) exited unexpectedly"), "a smaller num_workers needs less"),
    ],
)
def test_what_the_machine_lacks_is_told_with_what_helps(run: RunFolder, error: Exception, words: str) -> None:
    run.last.touch()
    for folder in (None, run):
        status, line = ending(error, folder)
        assert status == 1
        assert words in line
        assert "\n" not in line
    assert not run.error.exists()


def test_what_was_reached_is_saved_before_an_error_is_told(caplog: pytest.LogCaptureFixture) -> None:
    saved = []
    with pytest.raises(ZeroDivisionError), before_an_error(lambda: saved.append(1)):
        _ = 1 / 0
    assert saved == [1]
    with before_an_error(lambda: saved.append(2)):
        pass
    with pytest.raises(Ended), before_an_error(lambda: saved.append(3)):
        raise Ended(signal.SIGINT)  # a second Ctrl-C wants no more work
    assert saved == [1]
    assert caplog.messages == []

    def full_disk() -> None:
        raise InputError("cannot write last.pt: No space left on device")

    with pytest.raises(ZeroDivisionError), before_an_error(full_disk):
        _ = 1 / 0
    assert "could not be saved: cannot write last.pt: No space left on device" in caplog.text


def test_a_connection_to_a_worker_that_is_gone_is_its_death(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as gone:
        Client(str(tmp_path / "socket"), "AF_UNIX")
    assert ending(gone.value, run)[1].startswith("error: a process that reads videos has died (")
    with pytest.raises(FileNotFoundError):  # any other file that is missing is unexpected
        ending(caught(FileNotFoundError("socket")), run)


def test_children_that_die_while_it_is_saved_do_not_end_the_saving() -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed")

    saved = []

    def save() -> None:
        subprocess.run([sys.executable, "-c", ""], check=True)
        saved.append(True)

    handler = signal.signal(signal.SIGCHLD, fail)
    try:
        with pytest.raises(ZeroDivisionError), before_an_error(save):
            raise ZeroDivisionError
        assert saved == [True]
        assert signal.getsignal(signal.SIGCHLD) is fail
    finally:
        signal.signal(signal.SIGCHLD, handler)
