"""setup_environment.sh: what it installs, when, and what it says where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = ("bash", "dirname", "flock", "mv", "sha256sum", "sleep")
UV = """\
[[ $1 == --version ]] && exit
echo "$*" >>"$UV_LOG"
sleep 0.3
exit "${UV_STATUS:-0}"
"""


class Repository:
    """A repository with the script and two requirements files, and a PATH with a uv that only notes its calls."""

    def __init__(self, folder: Path) -> None:
        self.root, self.commands, self.log = folder / "repository", folder / "bin", folder / "uv.log"
        (self.root / "run_scripts").mkdir(parents=True)
        self.commands.mkdir()
        self.script = Path(shutil.copy(ROOT / "run_scripts/setup_environment.sh", self.root / "run_scripts"))
        (self.root / "requirements.txt").write_text("one==1\n")
        (self.root / "requirements-dev.txt").write_text("two==2\n")
        for name in COMMANDS:
            (self.commands / name).symlink_to(shutil.which(name) or name)
        self.command("python3", f'exec {sys.executable} "$@"\n')
        self.command("uv", UV)
        self.environment = {"PATH": str(self.commands), "UV_LOG": str(self.log)}
        self.cwd = folder

    def command(self, name: str, script: str) -> None:
        (self.commands / name).write_text(f"#!{shutil.which('bash')}\n{script}")
        (self.commands / name).chmod(0o755)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.script, *arguments],
            cwd=self.cwd,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **environment)
        output, messages = process.communicate()
        return process.returncode, output, messages

    @property
    def python(self) -> str:
        return f"{self.root}/.venv/bin/python"

    @property
    def installations(self) -> list[list[str]]:
        """The requirements files of every call of uv."""
        calls = self.log.read_text().splitlines() if self.log.exists() else []
        return [[Path(word).name for word in call.split() if word.endswith(".txt")] for call in calls]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_the_first_start_installs_and_the_second_does_nothing(repository: Repository) -> None:
    status, output, messages = repository()
    assert (status, output) == (0, f"{repository.python}\n")
    assert "installing requirements.txt into .venv" in messages
    assert os.access(repository.python, os.X_OK)
    assert repository() == (0, f"{repository.python}\n", "")
    assert repository.installations == [["requirements.txt"]]


def test_dev_adds_to_what_is_there(repository: Repository) -> None:
    repository()
    assert repository("dev")[0] == 0
    assert repository("dev") == (0, f"{repository.python}\n", "")
    assert repository() == (0, f"{repository.python}\n", "")
    assert repository.installations == [["requirements.txt"], ["requirements.txt", "requirements-dev.txt"]]


def test_changed_requirements_are_installed(repository: Repository) -> None:
    repository()
    (repository.root / "requirements.txt").write_text("one==3\n")
    repository()
    assert len(repository.installations) == 2


def test_a_failed_installation_says_so_and_is_repeated(repository: Repository) -> None:
    status, output, messages = repository(UV_STATUS="1")
    assert (status, output) == (1, "")
    assert messages.splitlines()[-1] == (
        "setup: the requirements could not be installed (see above). Is there a network? Start again when there is."
    )
    assert repository()[:2] == (0, f"{repository.python}\n")
    assert len(repository.installations) == 2


def test_starts_at_the_same_time_install_once(repository: Repository) -> None:
    starts = [repository.start() for _ in range(3)]
    results = [(process.communicate()[0], process.returncode) for process in starts]
    assert results == [(f"{repository.python}\n", 0)] * 3
    assert repository.installations == [["requirements.txt"]]


def test_a_venv_whose_python_is_gone_is_made_anew(repository: Repository) -> None:
    repository()
    Path(repository.python).unlink()
    assert repository()[:2] == (0, f"{repository.python}\n")
    assert os.access(repository.python, os.X_OK)
    assert len(repository.installations) == 2


def test_an_old_python_is_refused(repository: Repository) -> None:
    repository.command("python3", "[[ $1 == --version ]] && echo Python 3.9.2 || exit 1\n")
    assert repository() == (
        1,
        "",
        "setup: Python 3.11 or newer is needed; found Python 3.9.2. Install it and start again.\n",
    )


def test_a_newer_python_beside_an_old_one_is_found(repository: Repository) -> None:
    repository.command("python3", "[[ $1 == --version ]] && echo Python 3.9.2 || exit 1\n")
    repository.command("python3.12", f'exec {sys.executable} "$@"\n')
    assert repository()[0] == 0


def test_inside_the_image_nothing_is_set_up(repository: Repository) -> None:
    image_python = f"{repository.commands}/python3"
    assert repository(HVT_IN_DOCKER="1") == (0, f"{image_python}\n", "")
    assert not (repository.root / ".venv").exists()


def test_an_image_of_other_requirements_is_told(repository: Repository) -> None:
    folder = repository.root.parent / "image"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").symlink_to(sys.executable)
    repository.environment["PATH"] = f"{folder}/bin:{repository.environment['PATH']}"
    with (repository.root / "requirements.txt").open("rb") as file:
        stamp = subprocess.run(["sha256sum"], stdin=file, capture_output=True, text=True, check=True).stdout
    (folder / "requirements.txt.sha256").write_text(stamp)
    assert repository(HVT_IN_DOCKER="1") == (0, f"{folder}/bin/python\n", "")
    (repository.root / "requirements.txt").write_text("one==2\n")
    assert repository(HVT_IN_DOCKER="1") == (
        0,
        f"{folder}/bin/python\n",
        "setup: the image was built from another requirements.txt than this code's; run_scripts/build_docker.sh renews "
        "it\n",
    )


def test_unknown_arguments_are_refused(repository: Repository) -> None:
    assert repository("prod") == (1, "", "setup: usage: setup_environment.sh [dev]\n")
