from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from config.errors import InputError
from data_utils.video_files import progress
from data_utils.video_files.inspection import VideoFacts
from data_utils.video_files.verify import verify_videos

# Speaks like data_utils.video_files.inspection, but does what a file's name says.
FAKE = """
import json, os, sys, time
print("{}", flush=True)
for line in sys.stdin:
    name = os.path.basename(json.loads(line))
    if name == "crash":
        os.kill(os.getpid(), 11)
    if name == "hang":
        time.sleep(3600)
    if name == "slow":
        for _ in range(6):
            time.sleep(1)
            print("{}", flush=True)
    print(json.dumps({"facts": [7, 2, 3, 5.0, [[300, 9]]]}), flush=True)
"""


def test_facts_and_reasons_of_many_files(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    names = ["a.mp4", 'it\'s "b", ü.mp4', "missing.mp4", "c.mp4"]
    for frames, name in enumerate(names, start=5):
        if name != "missing.mp4":
            write_video(tmp_path / name, frames)
    results = dict(verify_videos([tmp_path / name for name in names], 2))
    assert results == {
        0: VideoFacts(5, 32, 48, 25.0),
        1: VideoFacts(6, 32, 48, 25.0),
        2: "no such file or directory",
        3: VideoFacts(8, 32, 48, 25.0),
    }


def test_a_crash_or_a_hang_costs_one_file() -> None:
    names = ["good", "crash", "fine", "hang", "last", "slow"]
    results = dict(verify_videos([Path(name) for name in names], 1, 4.0, (sys.executable, "-c", FAKE)))
    good = [index for index, result in results.items() if isinstance(result, VideoFacts)]
    assert sorted(good) == [0, 2, 4, 5]
    assert results[0].seek_points[0].number == 300  # type: ignore[union-attr]
    assert results[1] == "the decoder crashed (exit status -11)"
    assert results[3] == "damaged: decoding makes no progress for 4 seconds"


def test_a_decoder_that_does_not_start_is_no_fault_of_the_videos() -> None:
    with pytest.raises(RuntimeError, match="does not start"):
        list(verify_videos([Path("a")], 1, 60.0, (sys.executable, "-c", "raise SystemExit(3)")))


def test_stopping_early_ends_the_processes() -> None:
    before = psutil.Process().children()
    results = verify_videos([Path("good"), Path("hang"), Path("hang")], 2, 3600.0, (sys.executable, "-c", FAKE))
    next(iter(results))
    started = [child for child in psutil.Process().children() if child not in before]
    assert started
    del results
    assert not any(child.is_running() for child in started)


def test_lines_where_there_is_no_terminal(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with caplog.at_level(logging.INFO):
        list(verify_videos([Path("a"), Path("b")], 1, 60.0, (sys.executable, "-c", FAKE)))
    assert "verifying videos: 1 of 2" in caplog.text


# Checks as data_utils.video_files.inspection does, with a PyAV that does not know a keyword.
OTHER_VERSION = """
import av
from data_utils.video_files import inspection
from data_utils.video_files.helper_process import answer_requests
def older(file): raise AssertionError
av.open = older
answer_requests(inspection._answer)
"""


def test_a_fault_of_the_program_ends_at_once_with_its_message(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    files = [write_video(tmp_path / f"{number}.mp4", 3) for number in range(4)]
    seen = []
    with pytest.raises(InputError, match=r"TypeError: .*older\(\) got an unexpected keyword argument") as error:
        seen += list(verify_videos(files, 1, 60.0, (sys.executable, "-c", OTHER_VERSION)))
    assert seen == []
    message = str(error.value)
    assert "\n" not in message
    assert "the process that verifies videos failed, and no file explains it" in message
    assert "decoding.py, line" in message
