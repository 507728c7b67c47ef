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
    if request == "sleep":
        time.sleep(60)
    if request == "beat":
        with voice.beating():
            time.sleep(3)
    return {"echo": request, "pid": os.getpid()}
answer_requests(answer)
"""
COMMAND = (sys.executable, "-c", ECHO)


def test_requests_of_any_size_are_answered() -> None:
    process = HelperProcess(10.0, COMMAND, "echoes")
    long = {"parts": ["ü\n\udcff" * 100_000]}
    assert process.ask("a")["echo"] == "a"
    assert process.ask(long)["echo"] == long
    process.close()
    with pytest.raises(ClosedError):
        process.ask("a")


def test_what_dies_or_hangs_is_started_anew() -> None:
    process = HelperProcess(1.5, COMMAND, "echoes")
    with pytest.raises(HelperError, match=r"the decoder crashed \(exit status 7\)") as crash:
        process.ask("die")
    assert crash.value.status == 7
    with pytest.raises(HelperError, match=r"no progress for 1\.5 seconds") as hang:
        process.ask("sleep")
    assert hang.value.status is None
    assert process.ask("a")["echo"] == "a"
    assert process.ask("beat")["echo"] == "beat"  # takes longer than our patience, but lives
    process.close()


def test_closing_frees_who_waits() -> None:
    process = HelperProcess(60.0, COMMAND, "echoes")
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            process.ask("sleep")
        except ClosedError as error:
            raised.append(error)

    process.ask("a")
    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    process.close()
    thread.join(10)
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
            "process.ask('sleep')\n",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = psutil.Process(json.loads(parent.stdout.readline())["pid"])
    parent.kill()
    parent.communicate(timeout=10)
    deadline = time.monotonic() + 10
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.1)
