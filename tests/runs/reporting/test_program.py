"""Programs end with a status and, where something ends them, with one line."""

from __future__ import annotations

import os
import signal

import pytest

from config.errors import InputError
from runs.reporting.program import run_program


def test_the_status_is_that_of_what_was_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert [run_program(lambda status=status: status) for status in (0, 1)] == [0, 1]  # type: ignore[misc]
    assert capsys.readouterr().err == ""


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> int:
        raise InputError("x is not a number")

    assert run_program(refuse) == 2
    assert capsys.readouterr().err == "error: x is not a number\n"


@pytest.mark.parametrize(("told", "line"), [("the files are whole", ": the files are whole\n"), ("", "\n")])
def test_a_signal_ends_it_in_one_line(capsys: pytest.CaptureFixture[str], told: str, line: str) -> None:
    def wait() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    assert run_program(wait, told) == 128 + signal.SIGTERM
    error = capsys.readouterr().err
    assert error.endswith(line)
    assert error.count("\n") == 1
    assert "SIGTERM" in error


def test_a_loader_process_that_is_killed_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def lose_a_worker() -> int:
        raise RuntimeError("DataLoader worker (pid 77) is killed by signal: Killed. ")

    assert run_program(lose_a_worker) == 1
    assert capsys.readouterr().err.startswith("error: a process that reads videos has died (DataLoader worker (pid 77)")

    def fail() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_program(fail)
