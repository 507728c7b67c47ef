from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import psutil
import pytest

from data_utils.video_files.helper_process import ClosedError, FaultError, HelperError, HelperProcess, _Busy

ECHO = """
import os, sys, time
from data_utils.video_files.helper_process import answer_requests
def answer(request, voice):
    if request == "die":
        os._exit(7)
    if request == "hang":
        time.sleep(3600)
    if request == "spin":
        while True:
            pass
    if request == "fail":
        raise ValueError("first line\\nsecond line")
    if request == "beat":
        with voice.beating():
            time.sleep(6)
    return {"echo": request, "pid": os.getpid()}
answer_requests(answer)
"""
COMMAND = (sys.executable, "-c", ECHO)
# Longer than a process may wait for a busy machine; what hangs in a test lasts for as long.
PATIENCE = 4.0


def test_requests_of_any_size_are_answered() -> None:
    process = HelperProcess(60.0, COMMAND, "echoes")
    long = {"parts": ["ü\n\udcff" * 100_000]}
    assert process.ask("a")["echo"] == "a"
    assert process.ask(long)["echo"] == long
    process.close()
    with pytest.raises(ClosedError):
        process.ask("a")


def test_what_dies_or_hangs_is_started_anew() -> None:
    process = HelperProcess(PATIENCE, COMMAND, "echoes")
    with pytest.raises(HelperError, match=r"the decoder crashed \(exit status 7\)") as crash:
        process.ask("die")
    assert crash.value.status == 7
    with pytest.raises(HelperError, match=r"no progress for 4 seconds") as hang:
        process.ask("hang")
    assert hang.value.status is None
    assert process.ask("a")["echo"] == "a"
    assert process.ask("beat")["echo"] == "beat"  # takes longer than our patience, but lives
    process.close()


def test_a_start_may_take_longer_than_work() -> None:
    slow = (sys.executable, "-c", f"import time\ntime.sleep({PATIENCE + 2}){ECHO}")
    process = HelperProcess(PATIENCE, slow, "echoes")
    assert process.ask("a")["echo"] == "a"
    process.close()


def test_a_process_that_never_speaks_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_utils.video_files.helper_process._SECONDS_TO_START", 0.5)
    process = HelperProcess(60.0, (sys.executable, "-c", "import time; time.sleep(3600)"), "echoes")
    with pytest.raises(RuntimeError, match="the process that echoes does not start"):
        process.ask("a")


def test_closing_frees_who_waits() -> None:
    process = HelperProcess(60.0, COMMAND, "echoes")
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            process.ask("hang")
        except ClosedError as error:
            raised.append(error)

    process.ask("a")
    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    process.close()
    thread.join()
    assert len(raised) == 1


def test_a_process_that_hangs_does_not_outlive_its_killed_parent() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, json\n"
            "from data_utils.video_files.helper_process import HelperProcess\n"
            f"process = HelperProcess(60.0, {COMMAND!r}, 'echoes')\n"
            "print(json.dumps(process.ask('a')), flush=True)\n"
            "process.ask('hang')\n",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = psutil.Process(json.loads(parent.stdout.readline())["pid"])
    parent.kill()
    parent.communicate()
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.1)


def test_a_process_that_works_for_ever_hangs() -> None:
    process = HelperProcess(PATIENCE, COMMAND, "echoes")
    with pytest.raises(HelperError, match=r"no progress for 4 seconds"):
        process.ask("spin")
    process.close()


class Starved:
    """A process as psutil shows it that wants to run and gets no time."""

    def __init__(self, pid: int, seconds: float = 0.0, status: str = psutil.STATUS_RUNNING) -> None:
        self.seconds, self.now = seconds, status

    def status(self) -> str:
        return self.now

    def cpu_times(self) -> tuple[float, float, float]:
        return self.seconds, 0.0, 0.0


def test_a_process_that_gets_no_time_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_utils.video_files.helper_process.psutil.Process", Starved)
    busy = _Busy(1, 60.0)
    assert [busy.with_others() for _ in range(10)] == [True] * 9 + [False]  # but not for ever
    monkeypatch.setattr(
        "data_utils.video_files.helper_process.psutil.Process", lambda pid: Starved(pid, status=psutil.STATUS_SLEEPING)
    )
    assert not _Busy(1, 60.0).with_others()
    used = iter([0.0, 30.0])
    monkeypatch.setattr("data_utils.video_files.helper_process.psutil.Process", lambda pid: Starved(pid, next(used)))
    busy = _Busy(1, 60.0)
    assert [busy.with_others(), busy.with_others()] == [True, False]


def test_an_error_that_no_file_explains_is_told_in_one_line() -> None:
    process = HelperProcess(60.0, COMMAND, "echoes")
    with pytest.raises(FaultError) as error:
        process.ask("fail")
    message = str(error.value)
    assert message.startswith("the process that echoes failed, and no file explains it: ValueError: first line (")
    assert "\n" not in message
    assert process.ask("a")["echo"] == "a"
    process.close()
