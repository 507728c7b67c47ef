""".dockerignore: what may get into the image, and what never does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pathspec
import pytest

ROOT = Path(__file__).resolve().parents[1]
NEVER = (
    "wandb.key",
    "config/wandb.key",
    "run_scripts/paths.env",
    ".env",
    ".netrc",
    ".git/config",
    ".venv/bin/python",
    ".ci/run",
    "id_rsa",
    "pip.conf",
    "datasets/ucf101/train.csv",
    "outputs/quickstart/checkpoints/last.pt",
    "wandb/run-1/files/config.yaml",
    "config/generated/sweep/lr-0.1.yaml",
    "my_videos/a.mp4",
    "tasks/best.pt",
    "runs/encoder.safetensors",
    "architecture/__pycache__/level.cpython-311.pyc",
    "tests/conftest.py",
    "docs/docker.md",
    "notes.txt",
)


@pytest.fixture(scope="module")
def left_out() -> Callable[[str], bool]:
    """The rules as git would write them: a pattern of Docker's begins at the root of the repository."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    rooted = [f"!/{line[1:]}" if line.startswith("!") else f"/{line}" for line in lines]
    return pathspec.GitIgnoreSpec.from_lines(rooted).match_file


@pytest.mark.parametrize("path", NEVER)
def test_it_stays_out(left_out: Callable[[str], bool], path: str) -> None:
    assert left_out(path)


def test_all_that_runs_gets_in(left_out: Callable[[str], bool]) -> None:
    modules = [path.relative_to(ROOT) for path in ROOT.glob("*.py")]
    packages = {path.parent.name for path in ROOT.glob("*/*.py")} - {"tests", "benchmarks", "run_scripts"}
    inside = [path.relative_to(ROOT) for name in packages for path in (ROOT / name).rglob("*.py")]
    others = ["launcher.sh", "requirements.txt", "run_scripts/setup_environment.sh", "run_scripts/arguments.sh"]
    others += ["dockerfile/install_requirements.sh", "config/quickstart.yaml", "LICENSE"]
    assert len(modules) > 5
    assert len(inside) > 50
    missing = [path for path in [*map(str, [*modules, *inside]), *others] if left_out(path)]
    assert not missing
