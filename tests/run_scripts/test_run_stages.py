"""The scripts for the stages of OmniMAE and PPMA, with a launcher and an eval.py that note what they are asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recipes import ROOT, copy_program

LAUNCHER = """\
#!/usr/bin/env bash
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
printf '%s|' "$@" >>"$here/started"; echo >>"$here/started"
[[ ! -f $here/fail ]] || exit 3
"""
EVAL = """\
import json, os, pathlib, sys
files = [a for a in sys.argv if a.endswith(".yaml")]
said = {"arguments": sys.argv[1:], "gpu": os.environ["CUDA_VISIBLE_DEVICES"],
        "files": {pathlib.Path(f).name: open(f).read() for f in files}}
pathlib.Path(__file__).with_name("asked").write_text(json.dumps(said))
"""
NOTE = "import json, sys; print(json.dumps(sys.argv[1:]))"
SBATCH = """\
#!/usr/bin/env bash
printf '%s|' "$@"; echo
"""


class Copy:
    """A copy of the program in a folder whose name has blanks."""

    def __init__(self, folder: Path) -> None:
        self.root, self.runs = folder / "a copy", folder / "all runs"
        self.root.mkdir()
        copy_program(self.root)
        shutil.copytree(ROOT / "run_scripts", self.root / "run_scripts", ignore=shutil.ignore_patterns("__pycache__"))
        (self.root / "launcher.sh").write_text(LAUNCHER)
        (self.root / "launcher.sh").chmod(0o755)
        (self.root / "eval.py").write_text(EVAL)
        self.bin = folder / "bin"
        self.bin.mkdir()
        search = f"{self.bin}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = os.environ | {"HVT_IN_DOCKER": "1", "PATH": search, "OMP_NUM_THREADS": "1"}

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.root / "run_scripts" / script), *arguments],
            env=self.environment | environment,
            cwd=self.root,
            text=True,
            capture_output=True,
            check=False,
        )

    def started(self) -> list[list[str]]:
        file = self.root / "started"
        return [line.split("|")[:-1] for line in file.read_text().splitlines()] if file.exists() else []

    def asked(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.root / "asked").read_text())
        return found


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("stages"))


@pytest.fixture
def program(copied: Copy) -> Copy:
    for name in ("started", "asked", "fail"):
        (copied.root / name).unlink(missing_ok=True)
    shutil.rmtree(copied.runs, ignore_errors=True)
    return copied


def test_a_stage_begins_goes_on_and_is_passed_over(program: Copy) -> None:
    arguments = ["0,1", "masked.yaml", f"save_path={program.runs}", "model_name=mae"]
    run = program.runs / "mae"
    assert program.run("run_mae.sh", *arguments).returncode == 0
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints/last.pt").touch()
    assert program.run("run_mae.sh", *arguments).returncode == 0
    (run / "summary.json").touch()
    done = program.run("run_mae.sh", *arguments)
    assert f"the run has ended: {run}" in done.stderr
    assert program.started() == [arguments, [*arguments, "resume=true"]]


def test_a_run_that_fails_fails_the_script(program: Copy) -> None:
    (program.root / "fail").touch()
    assert program.run("run_mae.sh", "cpu", "masked.yaml", f"save_path={program.runs}").returncode == 3


def test_alignment_starts_from_the_encoder_of_a_run(program: Copy) -> None:
    mae = program.runs / "mae"
    missing = program.run("run_align.sh", "cpu", str(mae), "align.yaml")
    assert missing.returncode == 2
    assert "has no checkpoints/encoder.safetensors" in missing.stderr
    (mae / "checkpoints").mkdir(parents=True)
    encoder = mae / "checkpoints/encoder.safetensors"
    encoder.touch()
    assert program.run("run_align.sh", "cpu", str(mae), "align.yaml", f"save_path={program.runs}").returncode == 0
    assert program.run("run_align.sh", "cpu", "none", "align.yaml").returncode == 0
    assert program.started() == [
        ["cpu", "align.yaml", f"encoder_checkpoint={encoder}", f"save_path={program.runs}"],
        ["cpu", "align.yaml"],
    ]


@pytest.mark.parametrize(("script", "protocol"), [("ft", "finetune"), ("lp", "linear_probe")])
def test_the_six_datasets_of_a_catalog_are_one_table(program: Copy, script: str, protocol: str) -> None:
    done = program.run(
        f"run_downstream_{script}.sh",
        "cpu",
        "outputs/a run",
        "batch_size=8",
        "--seeds",
        "2",
        CATALOG="c.yaml",
        VIDEOS="/v",
    )
    assert done.returncode == 0, done.stderr
    asked = program.asked()
    arguments = asked["arguments"]
    assert isinstance(arguments, list)
    assert arguments[:3] == ["outputs/a run", "--protocol", protocol]
    assert [arguments[i + 1].rpartition("/")[2] for i, a in enumerate(arguments) if a == "--dataset"] == [
        f"{name}.yaml" for name in ("ucf101", "hmdb51", "diving48", "ikea", "uav", "mini_ssv2")
    ]
    assert {"window.eval_windows=2", "eval_crop=three", "batch_size=8"} <= set(arguments)
    assert arguments[-1] == "batch_size=8"  # after the recipe's own values, so that it counts
    assert arguments[arguments.index("--seeds") + 1] == "2"
    files = asked["files"]
    assert isinstance(files, dict)
    assert files["ikea.yaml"] == 'dataset: {name: npy, lists: "ikea", catalog: "c.yaml", root: "/v"}\n'
    assert not Path(arguments[arguments.index("--dataset") + 1]).exists()  # cleared away


def test_prepared_datasets_need_no_catalog(program: Copy) -> None:
    assert program.run("run_downstream_lp.sh", "cpu", "a", "datasets/ucf101", "x.csv.d").returncode == 0
    arguments = program.asked()["arguments"]
    assert isinstance(arguments, list)
    assert arguments[3:7] == ["--dataset", "datasets/ucf101", "--dataset", "x.csv.d"]


def test_averaged_probes_take_several_runs(program: Copy) -> None:
    assert program.run("run_downstream_average_lp.sh", "cpu", "layer", "a,b c,d", "data").returncode == 0
    arguments = program.asked()["arguments"]
    assert isinstance(arguments, list)
    assert arguments[0] == "a"
    assert {
        "evaluations.averaged_probe.settings.mixture=layer",
        'evaluations.averaged_probe.settings.others=["b c", "d"]',
    } <= set(arguments)


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("run_mae.sh", ["cpu"], "GPU_ID and CONFIG are needed"),
        ("run_mae.sh", ["gpu", "masked.yaml"], "GPU_ID must be a number or cpu"),
        ("run_align.sh", ["cpu", "none"], "GPU_ID, MAE and CONFIG are needed"),
        ("run_downstream_lp.sh", ["cpu", "run"], "name datasets"),
        ("run_downstream_average_lp.sh", ["cpu", "mean", "a,b", "data"], "MIXTURE is equal, model or layer"),
        ("run_downstream_average_lp.sh", ["cpu", "model", "a", "data"], "two runs at least"),
    ],
)
def test_what_is_missing_is_told(program: Copy, script: str, arguments: list[str], words: str) -> None:
    done = program.run(script, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "usage:" in done.stderr


def test_each_script_explains_itself(program: Copy) -> None:
    for script in sorted((program.root / "run_scripts").glob("run_*.sh")):
        if "docker" not in script.name:
            assert program.run(script.name, "--help").stdout.startswith(f"usage: run_scripts/{script.name}")


def test_a_stage_is_submitted_by_the_launcher_for_slurm(program: Copy) -> None:
    (program.root / "launch_slurm.py").write_text(NOTE)
    place = [f"save_path={program.runs}", "model_name=a b"]
    done = program.run("run_mae.sh", "slurm", "masked.yaml", *place, LAUNCH_SLURM_OPTIONS="--nodes 2 --gpus 4")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["masked.yaml", *place, "--nodes", "2", "--gpus", "4"]
    assert not program.started()


def test_an_evaluation_is_a_job(program: Copy) -> None:
    sbatch = program.bin / "sbatch"
    sbatch.unlink(missing_ok=True)
    none = program.run("run_downstream_lp.sh", "slurm", "run", "data", PATH="/usr/bin:/bin")
    assert (none.returncode, "there is no sbatch on the PATH" in none.stderr) == (2, True)
    sbatch.write_text(SBATCH)
    sbatch.chmod(0o755)
    done = program.run("run_downstream_lp.sh", "slurm", "a run", "data", SBATCH_OPTIONS="--gpus=2 --mem=9G")
    assert done.returncode == 0, done.stderr
    arguments = done.stdout.strip().split("|")
    assert {"--job-name=run_downstream_lp", "--gpus=2", "--mem=9G"} <= set(arguments)
    command = arguments[arguments.index("--wrap") + 1]
    assert command.endswith(r"run_downstream_lp.sh 0 a\ run data ")
    assert command.startswith("exec ")
    assert not (program.root / "asked").exists()
