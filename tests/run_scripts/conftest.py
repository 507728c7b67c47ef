"""A repository with the scripts for Docker, and a PATH on which the only engine is a fake one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = ("bash", "basename", "cat", "df", "dirname", "git", "grep", "id", "mkdir", "mktemp", "rm", "tail", "tee")


class DockerScripts:
    """Starts the scripts; `folder` has characters that a shell, a CSV or `-v` could trip over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repository, self.state = folder / 'my "répo", $HOME: it\'s', folder / "state"
        (self.repository / "run_scripts").mkdir(parents=True)
        (self.repository / "config").mkdir()
        self.state.mkdir()
        for script in (ROOT / "run_scripts").glob("*.sh"):
            shutil.copy(script, self.repository / "run_scripts")
        for name in ("launcher.sh", "main.py", "config/quickstart.yaml", "config/ucf101.yaml"):
            shutil.copy(ROOT / name, self.repository / name)
        self.commands = folder / "bin"
        self.commands.mkdir()
        for command in COMMANDS:
            (self.commands / command).symlink_to(shutil.which(command) or command)
        self.environment = {"PATH": str(self.commands), "ENGINE_STATE": str(self.state), "HOME": str(folder)}
        self.environment["HVT_MIN_FREE_MB"] = "1"
        self.engine("docker")
        self.answer()

    def engine(self, name: str) -> None:
        script = self.commands / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {ROOT}/tests/run_scripts/fake_engine.py "$@"\n')
        script.chmod(0o755)

    def answer(self, **answers: Any) -> None:
        """What the fake engine says from now on."""
        (self.state / "answers.json").write_text(json.dumps(answers))

    def with_gpus(self, text: str) -> None:
        script = self.commands / "nvidia-smi"
        script.write_text(f"#!/bin/sh\nprintf '{text}'\n")
        script.chmod(0o755)

    def settings(self, text: str) -> None:
        (self.repository / "run_scripts/paths.env").write_text(text, encoding="utf-8")

    def start(self, script: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.repository / "run_scripts" / script, *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def __call__(self, script: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(script, *arguments, **environment)
        output, messages = process.communicate()
        return process.returncode, output, messages

    def calls(self, verb: str) -> list[list[str]]:
        """The arguments of every call of the engine that begins with `verb`."""
        return [call["arguments"] for call in self._calls() if call["arguments"][0] == verb]

    def environments(self, verb: str) -> list[dict[str, str | None]]:
        """What the engine saw in its environment in these calls."""
        return [call["environment"] for call in self._calls() if call["arguments"][0] == verb]

    def _calls(self) -> list[dict[str, Any]]:
        file = self.state / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def log(self) -> Path:
        return self.repository / "outputs/logs/quickstart.log"


@pytest.fixture
def scripts(tmp_path: Path) -> DockerScripts:
    os.umask(0o022)
    return DockerScripts(tmp_path)
