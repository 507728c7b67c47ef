import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from runs.process import environment
from runs.process.environment import describe_environment, git_state

REPOSITORY = Path(__file__).parents[3]


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false", "-c", "core.hooksPath="]
    return subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True, text=True).stdout


def test_the_description_is_json_that_names_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["main.py", "quickstart.yaml", "window={length: 8}"])
    monkeypatch.setattr(environment, "_PACKAGES", ("torch", "no-such-package"))
    described = describe_environment("cpu")
    assert json.loads(json.dumps(described)) == described
    assert described["command"] == "python main.py quickstart.yaml 'window={length: 8}'"
    assert described["versions"] == {"torch": torch.__version__.partition("+")[0], "no-such-package": None}
    assert described["device"] == "cpu"
    assert described["device_name"]
    assert described["cpus"] >= 1
    assert described["memory_gb"] > 0
    assert abs((datetime.now(UTC) - datetime.fromisoformat(described["started"])).total_seconds()) < 60


def test_git_state_is_none_outside_a_repository_and_without_a_commit(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None


def test_git_state_tells_the_commit_and_whether_files_differ_from_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD").strip()
    assert git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path) == {"commit": commit, "dirty": True}


def test_git_state_is_none_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(REPOSITORY) is None


@pytest.mark.parametrize(("told", "state"), [("abc123", False), ("abc123-dirty", True)])
def test_in_an_image_the_commit_is_what_the_environment_says(
    told: str, state: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HVT_COMMIT", told)
    assert git_state(REPOSITORY) == {"commit": "abc123", "dirty": state}
    monkeypatch.setenv("HVT_COMMIT", "")
    assert git_state(REPOSITORY) is None
