from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runs.reporting.console import (
    ConsoleHandler,
    TrainingProgress,
    lasting_output,
    monitor_table,
    pixel_table,
    score_table,
    set_up_logging,
    speed_text,
    tell_results,
)
from runs.results import Result

ROOT = Path(__file__).resolve().parents[3]


def run_steps(progress: TrainingProgress, first: int, last: int) -> None:
    for step in range(first, last + 1):
        loss = {"space": {"up": 0.5, "down": float(step)}, "time": {"down": 2.0}}
        progress.update(step, loss, windows=30, seconds=0.5, data_wait=0.125)


def test_plain_lines_with_means_where_the_output_is_no_terminal(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO), TrainingProgress(20, 0, frames=8) as progress:
        run_steps(progress, 1, 20)
    lines = caplog.messages
    assert len(lines) == 10
    assert lines[0] == "step 2/20  loss space 2.000  time 2.000  60 windows/s, 480 frames/s  waiting for data 25%"
    assert lines[-1] == "step 20/20  loss space 20.000  time 2.000  60 windows/s, 480 frames/s  waiting for data 25%"
    assert capsys.readouterr().out == ""


def test_a_continued_run_ends_with_its_last_step(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), TrainingProgress(25, 19, frames=8) as progress:
        run_steps(progress, 20, 25)
    assert [line.split()[1] for line in caplog.messages] == ["20/25", "22/25", "24/25", "25/25"]


def test_fewer_than_ten_steps_get_a_line_each(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), TrainingProgress(3, 0, frames=8) as progress:
        run_steps(progress, 1, 3)
    assert [line.split()[1] for line in caplog.messages] == ["1/3", "2/3", "3/3"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_with_losses_speed_and_waiting_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    with caplog.at_level(logging.INFO), TrainingProgress(20, 10, frames=8) as progress:
        run_steps(progress, 11, 20)
    text = terminal.getvalue()
    assert "20/20" in text
    assert "time 2.000  60 windows/s, 480 frames/s  waiting for data 25%" in text
    assert caplog.messages == []


def test_slow_and_fast_speeds_can_be_read() -> None:
    assert speed_text(0.42, 3.36) == "0.4 windows/s, 3.4 frames/s"
    assert speed_text(145.4, 12_345.6) == "145 windows/s, 12,346 frames/s"


def test_log_lines_go_to_standard_output_and_warnings_say_so() -> None:
    program = (
        "import logging; from runs.reporting.console import set_up_logging; set_up_logging(); set_up_logging();"
        "log = logging.getLogger('x'); log.debug('no'); log.info('fine'); log.warning('careful');"
        "logging.getLogger('matplotlib.font_manager').info('chatter')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "fine\nwarning: careful\n"
    assert done.stderr == ""


def test_setting_up_logging_again_changes_nothing_and_leaves_the_handlers_of_others() -> None:
    root, other = logging.getLogger(), logging.NullHandler()
    root.addHandler(other)
    set_up_logging()
    before = root.handlers[:]
    set_up_logging()
    assert root.handlers == before
    assert other in before
    assert sum(isinstance(handler, ConsoleHandler) for handler in before) == 1


def test_a_table_of_scores_marks_each_levels_own_labels() -> None:
    def score(level: str, labels: str, value: float, own: bool = False, init: float | None = 31.25) -> Result:
        return Result("knn", "digits", "test", level, labels, "top1", value, "%", init, chance=10.0, own=own)

    table = score_table(
        [
            score("space", "digit", 61.94, own=True),
            score("space", "motion", 47.5),
            score("time", "motion", 100.0, own=True, init=None),
        ]
    )
    assert table.splitlines() == [
        "  level  digit (init, chance)  motion (init, chance)",
        "  space    61.9* (31.2, 10.0)     47.5  (31.2, 10.0)",
        "   time                     \u2013       100.0* (\u2013, 10.0)",
    ]


def test_every_evaluation_is_told_under_its_title(caplog: pytest.LogCaptureFixture) -> None:
    results = [
        Result("knn", "d", "test", "clip", "act", "top1", 50.0, random_init=20.0, chance=10.0, own=True),
        Result("supervised", "d", "test", None, "act", "top1", 75.04, chance=10.0),
    ]
    with caplog.at_level(logging.INFO):
        tell_results(
            results, {"knn": "kNN", "supervised": "supervised", "none": "none"}, "test, {title}, {unit} (step 3)"
        )
    assert caplog.messages == [
        "test, kNN, % (step 3)\n  level  act (init, chance)\n   clip  50.0* (20.0, 10.0)",
        "test, supervised: 75.0 % (chance 10.0)",
    ]


def test_a_table_of_pixels_has_a_row_per_evaluation_and_label_set_and_a_column_per_look() -> None:
    def score(evaluation: str, look: str, metric: str, value: float, primary: bool = True) -> Result:
        return Result(evaluation, "d", "test", look, "act", metric, value, primary=primary)

    results = [
        score("knn", "mean frame", "top1", 12.34),
        score("knn", "mean frame", "top5", 50.0, primary=False),
        score("knn", "frame differences", "top1", 98.0),
        score("search", "mean frame", "R@1", 5.0),
    ]
    assert pixel_table(results, {"knn": "kNN", "search": "retrieval"}).splitlines() == [
        "                     mean frame  frame differences",
        "            kNN act        12.3               98.0",
        "  retrieval act R@1         5.0                  \u2013",
    ]


def test_a_table_of_monitors_has_a_row_per_level_and_leaves_out_what_was_not_measured() -> None:
    table = monitor_table(
        {
            "rank": {"backbone": 31.04, "space": 12.345, "time": 7.0},
            "std": {"backbone": 0.9, "space": 0.00123, "time": float("nan")},
            "lidar": {},
            "shuffled_up": {"backbone": 0.5, "space": 0.98765},
            "grad_norm": {"space": 0.0, "time": 123.4},
            "cka": {"backbone-space": 0.987, "space-time": 0.5},
        }
    )
    assert table.splitlines() == [
        "     level  rank      std     up  gradient",
        "  backbone    31      0.9    0.5         –",
        "     space  12.3  0.00123  0.988         0",
        "      time     7      nan      –       123",
        "  CKA: backbone-space 0.99  space-time 0.50",
    ]
    assert monitor_table({"rank": {"clip": 2.0}, "cka": {}}).splitlines() == ["  level  rank", "   clip     2"]


# Writes more than a pipe holds, with a progress bar in between, and says at the end on standard error that it lives.
TALK = """
import logging, sys
from runs.reporting.console import TrainingProgress, lasting_output, set_up_logging
with lasting_output():
    set_up_logging()
    with TrainingProgress(2000, 0, frames=8) as progress:
        for step in range(1, 2001):
            logging.getLogger("x").info("line %d %s", step, "." * 200)
            print("printed", step)
            progress.update(step, {"space": {"up": 1.0}}, 4, 0.1, 0.0)
print("alive", file=sys.stderr)
"""


@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_a_reader_that_goes_away_ends_nothing(reader: str) -> None:
    command = f"set -o pipefail; {sys.executable} -c '{TALK}' | {reader}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "alive\n")
    assert done.stdout in ("line 1 " + "." * 200 + "\n", "")


def test_a_full_disk_under_the_log_ends_nothing() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", TALK], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "alive\n")


def test_a_terminal_that_is_closed_ends_nothing() -> None:
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", TALK],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    os.read(ours, 100)
    os.close(ours)
    _, err = process.communicate()
    assert (process.returncode, err) == (0, "alive\n")


def test_a_closed_standard_output_ends_nothing() -> None:
    command = [sys.executable, "-c", "import sys; sys.stdout.close()\n" + TALK]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "alive\n")


def test_letters_that_the_terminal_does_not_know_are_written_as_numbers() -> None:
    program = (
        "from runs.reporting.console import lasting_output\nwith lasting_output(): print('caf\\u00e9 \\u8d70 \\udce9')"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("caf\\xe9 \\u8d70 \\udce9\n", "")


def test_the_streams_are_as_before_afterwards() -> None:
    before = sys.stdout, sys.stderr
    with lasting_output():
        assert (sys.stdout, sys.stderr) != before
    assert (sys.stdout, sys.stderr) == before
