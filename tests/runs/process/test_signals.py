import os
import signal
import time

import pytest

from runs.process.signals import Ended, EndOnSignal, StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_the_first_signal_is_a_request_told_in_one_line(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    with StopRequest() as stop:
        assert (stop.requested, stop.signal) == (False, None)
        signal.raise_signal(number)
        assert (stop.requested, stop.signal) == (True, number)
    assert capfd.readouterr().err == (
        f"\n{number.name}: the run stops after this step or validation and saves last.pt; Ctrl-C again ends it now\n"
    )


def test_a_second_ctrl_c_interrupts_and_a_second_sigterm_does_not() -> None:
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
        with pytest.raises(Ended):
            signal.raise_signal(signal.SIGINT)


def test_the_handlers_before_are_back_after() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    for context in (StopRequest, EndOnSignal):
        with context():
            assert all(signal.getsignal(number) != old for number, old in zip(numbers, before, strict=True))
        assert [signal.getsignal(number) for number in numbers] == before
        with pytest.raises(ZeroDivisionError), context():
            _ = 1 / 0
        assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_outside_training_a_signal_ends_the_program_as_ctrl_c_does(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt) as ended, EndOnSignal():
        signal.raise_signal(number)
    assert isinstance(ended.value, Ended)
    assert ended.value.signal == number


def test_a_repeated_sigterm_does_not_disturb_the_end_and_a_repeated_ctrl_c_does() -> None:
    with EndOnSignal():
        with pytest.raises(Ended):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        with pytest.raises(Ended):
            signal.raise_signal(signal.SIGINT)


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with EndOnSignal(), StopRequest() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_worker_outlives_ctrl_c_silently_and_dies_of_sigterm(capfd: pytest.CaptureFixture[str]) -> None:
    with StopRequest() as stop:
        child = os.fork()
        if child == 0:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            os.write(1, b"alive")
            time.sleep(3600)
            os._exit(0)
        try:
            out = ""
            while "alive" not in out:
                out += capfd.readouterr().out
                time.sleep(0.01)
        finally:
            os.kill(child, signal.SIGTERM)
            _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGTERM
        assert not stop.requested
    assert capfd.readouterr().err == ""


def asked_to_end(error: Exception, asked: bool) -> None:
    with StopRequest():
        if asked:
            signal.raise_signal(signal.SIGTERM)
        raise error


def test_a_loader_process_that_dies_of_the_same_signal_is_no_error() -> None:
    dead = RuntimeError("DataLoader worker (pid 77) is killed by signal: Terminated. ")
    with pytest.raises(Ended) as ended:
        asked_to_end(dead, True)
    assert ended.value.signal == signal.SIGTERM
    with pytest.raises(RuntimeError, match="pid 77"):
        asked_to_end(dead, False)
    with pytest.raises(ZeroDivisionError):
        asked_to_end(ZeroDivisionError(), True)
