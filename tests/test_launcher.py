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
if "wait=true" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
seen = {"argv": sys.argv[1:], "cwd": os.getcwd(), "pid": os.getpid()}
seen |= {"gpu": os.environ["CUDA_VISIBLE_DEVICES"], "order": os.environ["CUDA_DEVICE_ORDER"]}
seen["wait policy"] = os.environ["OMP_WAIT_POLICY"]
seen |= {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT")}
sys.stdout.write(json.dumps(seen) + "\\n")  # in one go, as processes share the pipe
sys.stdout.flush()
if "fail=true" in sys.argv:
    sys.exit(3 if os.environ["RANK"] == "1" else 0)
if "wait=true" in sys.argv:
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
        (self.root / "parallel").mkdir()
        shutil.copy(ROOT / "parallel" / "start.py", self.root / "parallel")
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
        (["0,cpu", "quickstart.yaml"], "either GPUs or cpu, got '0,cpu'"),
        (["0,,1", "quickstart.yaml"], "GPU_ID must be a number or cpu, got ''"),
        (["0,one", "quickstart.yaml"], "GPU_ID must be a number or cpu, got 'one'"),
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
    assert usage[0] == "usage: ./launcher.sh GPU_ID[,GPU_ID ...] CONFIG [key=value ...]"


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


def test_several_gpus_get_a_process_each_and_all_see_them(launcher: Launcher) -> None:
    done = launcher.with_gpus("0, Card A\\n1, Card B\\n2, Card C\\n")("2,0", "own.yaml", "a=1")
    assert done.returncode == 0, done.stderr
    seen = sorted(map(json.loads, done.stdout.splitlines()), key=lambda process: str(process["RANK"]))
    assert [process["RANK"] for process in seen] == ["0", "1"]
    for process in seen:
        assert (process["gpu"], process["WORLD_SIZE"]) == ("2,0", "2")
        assert process["argv"] == ["own.yaml", "a=1"]
        assert process["MASTER_PORT"] == seen[0]["MASTER_PORT"]


@pytest.mark.parametrize(
    ("gpus", "message"), [("0,0", "GPU 0 is named twice"), ("0,2", "there is no GPU 2; this machine has 0, Card A")]
)
def test_gpus_that_are_not_there_or_twice_are_refused(launcher: Launcher, gpus: str, message: str) -> None:
    done = launcher.with_gpus("0, Card A\\n")(gpus, "own.yaml")
    assert done.returncode == 2
    assert message in done.stderr


def test_the_status_of_the_process_that_failed_is_that_of_all(launcher: Launcher) -> None:
    assert launcher("cpu,cpu", "own.yaml", "fail=true").returncode == 3


def test_a_question_is_answered_by_one_process(launcher: Launcher) -> None:
    done = launcher("cpu,cpu", "own.yaml", "--print-config")
    assert json.loads(done.stdout)["RANK"] is None


def test_signals_reach_every_process(launcher: Launcher) -> None:
    with subprocess.Popen(
        launcher.command("cpu,cpu", "own.yaml", "wait=true"),
        cwd=launcher.cwd,
        env=launcher.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for _ in range(2):
            process.stdout.readline()
        process.terminate()
        assert process.wait() == 7
