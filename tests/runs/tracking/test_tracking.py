"""Trackers hear what metrics.jsonl hears, and none of them can end a run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from config.errors import InputError
from config.schema import Config
from runs.folder import RunFolder
from runs.metrics import MetricLog
from runs.tracking import tracking
from runs.tracking.tracker import EmbeddedVideos, Record
from runs.tracking.tracking import Tracking, check_trackers

MakeConfig = Callable[..., Config]
ROOT = Path(__file__).parents[3]


class Recorder:
    """A tracker that remembers what it is told, and fails when it is told to."""

    def __init__(self, fails_at: str | None = None) -> None:
        self.told: list[tuple[Any, ...]] = []
        self._fails_at = fails_at

    def _note(self, what: str, *content: Any) -> None:
        self.told.append((what, *content))
        if what == self._fails_at:
            raise OSError("no\nserver")

    def start(self, earlier: Sequence[Record]) -> None:
        self._note("start", [record["step"] for record in earlier])

    def record(self, record: Record) -> None:
        self._note("record", record["step"])

    def results(self, summary: Record, embed: Callable[[], EmbeddedVideos]) -> None:
        self._note("results")

    def close(self, finished: bool) -> None:
        self._note("close", finished)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.open(tmp_path, "run", resume=False)


def trackers(
    config: Config, run: RunFolder, monkeypatch: pytest.MonkeyPatch, fails_at: str | None = None
) -> tuple[Tracking, Recorder, Recorder]:
    first, second = Recorder(fails_at), Recorder()
    made = {"wandb": lambda *_: first, "tensorboard": lambda *_: second}
    monkeypatch.setattr(tracking, "TRACKERS", made)
    return Tracking(config, run), first, second


def test_they_hear_what_is_logged_and_start_with_the_first_record(
    tiny_config: MakeConfig, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config("tracking=[wandb, tensorboard, wandb]")
    every, first, second = trackers(config, run, monkeypatch)
    with every, MetricLog(run.metrics, every) as log:
        assert first.told == []
        log.write("step", step=1)
        log.write("step", step=2)
        every.results({}, lambda: pytest.fail("nobody asked"))
    assert first.told == [("start", []), ("record", 1), ("record", 2), ("results",), ("close", True)]
    assert second.told == first.told


def test_a_run_that_ends_before_its_first_record_leaves_nothing_of_them(
    tiny_config: MakeConfig, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    every, first, _ = trackers(tiny_config("tracking=[wandb]"), run, monkeypatch)
    with pytest.raises(InputError), every:
        raise InputError("bad data")
    assert first.told == []


def test_a_resumed_run_tells_them_what_it_keeps(
    tiny_config: MakeConfig, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MetricLog(run.metrics) as log:
        for step in (1, 2, 3):
            log.write("step", step=step)
    every, first, _ = trackers(tiny_config("tracking=[wandb]"), run, monkeypatch)
    with every, MetricLog(run.metrics, every) as log:
        log.drop_after(2, 0)
        log.write("step", step=3)
    assert first.told == [("start", [1, 2]), ("record", 3), ("close", False)]


@pytest.mark.parametrize("fails_at", ["start", "record", "results", "close"])
def test_one_that_fails_is_told_once_and_asked_no_more(
    tiny_config: MakeConfig,
    run: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fails_at: str,
) -> None:
    every, first, second = trackers(tiny_config("tracking=[wandb, tensorboard]"), run, monkeypatch, fails_at)
    with every, MetricLog(run.metrics, every) as log:
        log.write("step", step=1)
        log.write("step", step=2)
        every.results({}, lambda: pytest.fail("nobody asked"))
    assert first.told[-1][0] == fails_at
    assert [name for name, *_ in first.told].count(fails_at) == 1
    assert [name for name, *_ in second.told] == ["start", "record", "record", "results", "close"]
    assert caplog.messages == ["W&B shows no more of this run (OSError: no server); metrics.jsonl goes on"]
    assert [record["step"] for record in MetricLog.read(run.metrics)] == [1, 2]


def test_a_trial_has_none(tiny_config: MakeConfig, run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    every, first, _ = trackers(tiny_config("tracking=[wandb]", "debug=true"), run, monkeypatch)
    with every:
        every.record({"step": 1})
    assert first.told == []


def test_a_package_that_is_not_installed_is_told_before_anything_runs(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    check_trackers(tiny_config())
    with pytest.raises(InputError, match=r"^tracking: the package tensorboard is not installed; run_scripts/"):
        check_trackers(tiny_config("tracking=[tensorboard]"))


def test_a_run_that_nobody_watches_imports_nothing_of_it() -> None:
    code = "import sys, main; print([name for name in ('wandb', 'tensorboard') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"
