"""run_curriculum.sh in a copy of the program: each stage in a process of its own, and on from where it was stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.schema import Config
from tests.recipes import ROOT, copy_program

STEPS: dict[str, Any] = {
    "step_1": {"groups": ["backbone", "space"], "window": {"length": 1}, "frames_per_clip": 1},
    "step_2": {"groups": ["backbone", "space", "time"], "window": {"length": 2}, "stage_lr": {"backbone": 0}},
}
# A launcher that notes its arguments and leaves what a run leaves; it waits where it is asked to.
FAKE = """\
#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
printf '%s|' "$@" >>"$here/started"; echo >>"$here/started"
name=$(basename "$2" .yaml)
run=$(cat "$here/run_folders")/$name
mkdir -p "$run/checkpoints"
touch "$run/checkpoints/last.pt"
if [[ -f $here/wait ]]; then
    trap 'echo stopped >>"$here/started"; exit 143' TERM
    touch "$here/waits"
    while true; do sleep 0.05; done
fi
[[ ! -f $here/fail ]] || exit 3
touch "$run/summary.json"
"""


class Copy:
    """A copy of the program in a folder whose name has blanks."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.root, self.runs = folder / "a copy", folder / "all runs"
        self.root.mkdir()
        copy_program(self.root)
        shutil.copytree(ROOT / "run_scripts", self.root / "run_scripts", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "launcher.sh", self.root)
        self.config = folder / "my steps.yaml"
        values = config.model_dump() | {"use_curriculum": True, "curriculum": STEPS, "model_name": "two"}
        self.config.write_text(json.dumps(values | {"save_path": str(self.runs)}))  # JSON is YAML
        search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = os.environ | {"HVT_IN_DOCKER": "1", "PATH": search, "OMP_NUM_THREADS": "1"}

    def with_fake_launcher(self) -> Copy:
        (self.root / "launcher.sh").write_text(FAKE)
        (self.root / "run_folders").write_text(str(self.runs))
        return self

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.root / "run_scripts" / "run_curriculum.sh"), *arguments],
            cwd=self.config.parent,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *overrides: str, status: int = 0) -> str:
        process = self.start("cpu", str(self.config), *overrides)
        out, _ = process.communicate()
        assert process.returncode == status, out
        return out

    def started(self) -> list[list[str]]:
        return [line.rstrip("|").split("|") for line in (self.root / "started").read_text().splitlines()]


@pytest.fixture
def copy(tmp_path: Path, tiny_config: Callable[..., Config], tiny_dataset: Path) -> Copy:
    small = ("num_epochs=1", "figures=[]", "evaluations.linear_probe=null", "evaluations.supervised=null")
    return Copy(tmp_path, tiny_config(*small, root=tiny_dataset))


@pytest.mark.slow
def test_every_stage_is_a_run_of_its_own_and_a_stopped_one_goes_on(copy: Copy) -> None:
    out = copy.run()
    assert "Traceback" not in out
    first, second = (copy.runs / f"two--CLp-{number}" for number in (1, 2))
    assert f"carried over from {first}/checkpoints/stage_1.pt" in out
    summary = json.loads((second / "summary.json").read_text())
    assert [stage["stage"] for stage in summary["stages"]] == [1, 2]
    assert (copy.root / "config" / "generated" / "two--CLp-2.yaml").is_file()

    before = (second / "checkpoints" / "encoder.safetensors").read_bytes()
    (second / "summary.json").unlink()  # as if it had been stopped before its last test
    out = copy.run()
    assert f"stage 1 has ended: {first}" in out
    assert f"stage 2 goes on: {second}" in out
    assert (second / "checkpoints" / "encoder.safetensors").read_bytes() == before


def test_stages_that_have_ended_are_passed_over_and_a_failed_one_ends_the_chain(copy: Copy) -> None:
    copy.with_fake_launcher()
    (copy.root / "fail").touch()
    copy.run("seed=4", status=3)
    (copy.root / "fail").unlink()
    out = copy.run("seed=4")
    assert "all 2 stages have ended" in out
    files = [str(copy.root / "config" / "generated" / f"two--CLp-{number}.yaml") for number in (1, 2)]
    assert copy.started() == [["cpu", files[0]], ["cpu", files[0], "resume=true"], ["cpu", files[1]]]
    assert "seed: 4" in Path(files[1]).read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_script_stops_the_run(copy: Copy, number: int) -> None:
    copy.with_fake_launcher()
    (copy.root / "wait").touch()
    process = copy.start("cpu", str(copy.config))
    while not (copy.root / "waits").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == 143
    assert copy.started()[-1] == ["stopped"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "GPU_ID and CONFIG are needed"),
        (["cpu", "quickstart"], "error: quickstart has no stages"),
        (["cpu", "nowhere.yaml"], "error: config nowhere.yaml not found"),
    ],
)
def test_what_cannot_start_is_told_in_one_line(copy: Copy, arguments: list[str], words: str) -> None:
    process = copy.with_fake_launcher().start(*arguments)
    out, _ = process.communicate()
    assert process.returncode == 2
    assert words in out
    assert not (copy.root / "started").exists()
