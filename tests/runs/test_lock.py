"""Two starts of one run: the second one is refused while the first lives, and takes over when it is gone."""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config.errors import InputError
from runs.lock import RunLock

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock.json"


def left_behind(path: Path, **changes: object) -> None:
    """The lock of this process, changed, without anybody who lives behind it."""
    with RunLock(path):
        content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes))


def test_a_second_start_is_refused_and_told_who_is_there(path: Path) -> None:
    with RunLock(path) as held:
        with pytest.raises(
            InputError, match=rf"is in use by process {os.getpid()} on .* \(since .*\); wait for its end"
        ):
            RunLock(path).__enter__()
        held.check()
        assert list(path.parent.iterdir()) == [path]
    assert list(path.parent.iterdir()) == []
    with RunLock(path):
        pass


def test_the_lock_of_a_killed_process_is_taken_over_and_that_is_told(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = f"""
import os, pathlib, signal
from runs.lock import RunLock
with RunLock(pathlib.Path({str(path)!r})):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY)
    dead = json.loads(path.read_text())["pid"]
    with RunLock(path) as held:
        held.check()
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert f"was left locked by process {dead}" in caplog.text
    assert not path.exists()


def test_another_process_with_the_number_of_a_dead_one_is_not_it(path: Path) -> None:
    left_behind(path, started="1")
    with RunLock(path) as held:
        held.check()


@pytest.mark.parametrize("changes", [{"host": "elsewhere"}, {"system": "another boot"}])
def test_an_owner_that_cannot_be_looked_up_is_gone_when_it_is_silent(
    path: Path, changes: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    left_behind(path, **changes)
    with caplog.at_level(logging.INFO), RunLock(path, beat=0.01, silence=0.1) as held:
        held.check()
    assert "cannot be looked up from here" in caplog.messages[0]
    assert "taken over" in caplog.messages[1]


def test_an_owner_that_cannot_be_looked_up_is_alive_while_it_counts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunLock(path, beat=0.01):
        monkeypatch.setattr(platform, "node", lambda: "elsewhere")
        with pytest.raises(InputError, match="is in use by"):
            RunLock(path, beat=0.01, silence=3600).__enter__()


def test_a_file_that_cannot_be_understood_is_taken_over_when_nobody_changes_it(path: Path) -> None:
    for content in ("", "{", "[1]", '{"key": 1}'):
        path.write_text(content)
        with RunLock(path, beat=0.01, silence=0.05) as held:
            held.check()
            assert json.loads(path.read_text())["pid"] == os.getpid()


def test_who_was_taken_over_notices_and_leaves_the_lock_alone(path: Path) -> None:
    with RunLock(path, beat=0.01) as held:
        other = json.loads(path.read_text()) | {"key": "another", "pid": 7, "host": "elsewhere"}
        new = path.with_name("new")
        new.write_text(json.dumps(other))
        new.replace(path)
        time.sleep(0.1)  # some beats
        with pytest.raises(InputError, match="was taken over by process 7 on elsewhere"):
            held.check()
    assert json.loads(path.read_text()) == other


def test_a_lock_whose_file_somebody_removed_ends_nothing(path: Path) -> None:
    with RunLock(path, beat=0.01) as held:
        path.unlink()
        held.check()


def test_file_systems_without_links_can_be_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with RunLock(path), pytest.raises(InputError, match="is in use by"):
        RunLock(path).__enter__()
    assert not path.exists()


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*lock\.json: No such file"):
        RunLock(tmp_path / "absent" / "lock.json").__enter__()
