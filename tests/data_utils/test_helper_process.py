from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import psutil
import pytest

from data_utils.helper_process import ClosedError, HelperError, HelperProcess

ECHO = """
import os, sys, time
from data_utils.helper_process import answer_requests
def answer(request, voice):
    if request == "die":
        os._exit(7)
    if request == "hang":
        time.sleep(3600)
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
    monkeypatch.setattr("data_utils.helper_process._SECONDS_TO_START", 0.5)
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
            "from data_utils.helper_process import HelperProcess\n"
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
