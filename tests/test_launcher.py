"""launcher.sh: which GPU a run gets, what it refuses, what main.py sees."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAIN = """\
import json, os, signal, sys
seen = {"argv": sys.argv[1:], "cwd": os.getcwd(), "pid": os.getpid()}
seen |= {"gpu": os.environ["CUDA_VISIBLE_DEVICES"], "order": os.environ["CUDA_DEVICE_ORDER"]}
seen["wait policy"] = os.environ["OMP_WAIT_POLICY"]
print(json.dumps(seen), flush=True)
if "wait=true" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    signal.pause()
"""


class Launcher:
    """A repository with a main.py that tells what it was given, and a PATH with chosen commands."""

    def __init__(self, folder: Path) -> None:
        self.root, self.commands = folder / "repository", folder / "bin"
        (self.root / "run_scripts").mkdir(parents=True)
        self.commands.mkdir()
        shutil.copy(ROOT / "launcher.sh", self.root)
        for script in ("arguments.sh", "setup_environment.sh"):
            shutil.copy(ROOT / "run_scripts" / script, self.root / "run_scripts")
        (self.root / "main.py").write_text(MAIN)
        for command in ("bash", "cat", "dirname", "grep"):
            (self.commands / command).symlink_to(shutil.which(command) or command)
        (self.commands / "python").symlink_to(sys.executable)
        # As inside the image: whatever python is on the PATH is used, and nothing is set up.
        self.environment = {"PATH": str(self.commands), "HVT_IN_DOCKER": "1"}
        self.cwd = folder

    def with_gpus(self, output: str, status: int = 0) -> Launcher:
        script = self.commands / "nvidia-smi"
        script.write_text(f"#!{shutil.which('bash')}\nprintf '{output}'\nexit {status}\n")
        script.chmod(0o755)
        return self

    def command(self, *arguments: str) -> list[str]:
        return [str(self.root / "launcher.sh"), *arguments]

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=self.cwd, env=self.environment, capture_output=True, text=True
        )


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "GPU_ID and CONFIG are needed"),
        (["0"], "GPU_ID and CONFIG are needed"),
        (["zero", "quickstart.yaml"], "GPU_ID must be a number or cpu, got 'zero'"),
        (["-1", "quickstart.yaml"], "GPU_ID must be a number or cpu, got '-1'"),
        (["0,1", "quickstart.yaml"], "one run uses one GPU, got '0,1'"),
        (["0", ""], "the second argument must be a config, got ''"),
        (["0", "lr=3"], "the second argument must be a config, got 'lr=3'"),
        (["0", "quickstart.yaml", "lr"], "expected key=value, got 'lr'"),
        (["0", "quickstart.yaml", "=3"], "expected key=value, got '=3'"),
        (["0", "quickstart.yaml", "lr", "--visualize"], "expected key=value, got 'lr'"),
    ],
)
def test_wrong_arguments_give_usage_and_exit_2(launcher: Launcher, arguments: list[str], message: str) -> None:
    done = launcher(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    first, *usage = done.stderr.splitlines()
    assert message in first
    assert usage[0] == "usage: ./launcher.sh GPU_ID CONFIG [key=value ...]"


def test_help_is_no_error(launcher: Launcher) -> None:
    done = launcher("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ./launcher.sh")


def test_a_gpu_is_chosen_by_its_bus_number(launcher: Launcher) -> None:
    done = launcher.with_gpus("0, Card A\\n1, Card B\\n")("1", "own.yaml", "a.b=[1, 2]", "--print-config")
    assert (done.returncode, done.stderr) == (0, "")
    seen = json.loads(done.stdout)
    assert (seen["gpu"], seen["order"]) == ("1", "PCI_BUS_ID")
    assert seen["argv"] == ["own.yaml", "a.b=[1, 2]", "--print-config"]
    assert seen["cwd"] == str(launcher.cwd)


def test_a_run_can_be_drawn_instead_with_options_of_visualization(launcher: Launcher) -> None:
    done = launcher("cpu", "own.yaml", "a.b=1", "--visualize", "--method", "umap", "--level", "clip")
    assert done.returncode == 0
    assert json.loads(done.stdout)["argv"] == [
        "own.yaml",
        "a.b=1",
        "--visualize",
        "--method",
        "umap",
        "--level",
        "clip",
    ]


def test_a_missing_gpu_is_refused_with_those_that_exist(launcher: Launcher) -> None:
    done = launcher.with_gpus("0, Card A\\n11, Card B\\n")("1", "own.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "launcher: there is no GPU 1; this machine has 0, Card A; 11, Card B\n"


def test_cpu_hides_the_gpus(launcher: Launcher) -> None:
    done = launcher.with_gpus("0, Card A\\n")("cpu", "own.yaml")
    assert json.loads(done.stdout)["gpu"] == ""
    assert done.stderr == "launcher: running on the CPU, as asked\n"


def test_a_machine_without_gpu_runs_on_the_cpu_and_says_so(launcher: Launcher) -> None:
    done = launcher("0", "own.yaml")
    assert json.loads(done.stdout)["gpu"] == ""
    assert done.stderr == "launcher: this machine has no GPU (no nvidia-smi): running on the CPU\n"


@pytest.mark.parametrize(("output", "status"), [("No devices were found\\n", 6), ("", 0)])
def test_a_driver_without_gpu_runs_on_the_cpu_and_says_so(launcher: Launcher, output: str, status: int) -> None:
    done = launcher.with_gpus(output, status)("0", "own.yaml")
    assert json.loads(done.stdout)["gpu"] == ""
    said = output.removesuffix("\\n")
    assert done.stderr == f"launcher: no usable GPU (nvidia-smi says: {said}): running on the CPU\n"


def test_waiting_threads_sleep_unless_the_user_wants_otherwise(launcher: Launcher) -> None:
    assert json.loads(launcher("cpu", "own.yaml").stdout)["wait policy"] == "passive"
    launcher.environment["OMP_WAIT_POLICY"] = "active"
    assert json.loads(launcher("cpu", "own.yaml").stdout)["wait policy"] == "active"


def test_signals_reach_python(launcher: Launcher) -> None:
    with subprocess.Popen(
        launcher.command("cpu", "own.yaml", "wait=true"),
        cwd=launcher.cwd,
        env=launcher.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["pid"] == process.pid
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait() in (7, -signal.SIGTERM)  # it may come before the handler is set
