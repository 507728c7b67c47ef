"""The program as its users start it: launcher.sh and a config, judged by the run folder that it leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from config.schema import Config
from runs.checkpoint import load_checkpoint

ROOT = Path(__file__).parents[1]
FIGURES = {f"{name}.png" for name in ("windows", "loss", "pace", "knn", "collapse", "pca", "tsne", "umap", "epochs")}
LEVELS, LABELS = ["space", "time", "clip"], {"program", "motion", "digit"}


class Machine:
    """A folder with a small config file, and the program in processes of its own."""

    def __init__(self, folder: Path, config: Config, root: Path) -> None:
        self.folder, self.config, self.outputs, self.root = folder, folder / "small.yaml", folder / "outputs", root
        self.config.write_text(json.dumps(config.model_dump() | {"model_name": None}))  # JSON is YAML
        self.environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        if not (ROOT / ".venv").is_dir():  # then this Python is the one that has everything
            search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            self.environment |= {"HVT_IN_DOCKER": "1", "PATH": search}

    def start(self, *overrides: str) -> subprocess.Popen[str]:
        given = [f"save_path={self.outputs}", f"dataset.root={self.root}", *overrides]
        return subprocess.Popen(
            [str(ROOT / "launcher.sh"), "cpu", str(self.config), *given],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *overrides: str, status: int = 0) -> tuple[str, str]:
        """What a whole run prints on stdout and stderr."""
        process = self.start(*overrides)
        out, err = process.communicate()
        assert process.returncode == status, out + err
        return out, err


def records_of(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


@pytest.fixture
def machine(tmp_path: Path, tiny_config: Callable[..., Config]) -> Machine:
    root = tmp_path / "datasets" / "digits"
    videos = f'dataset={{name: moving_digits, root: "{root}", videos: {{train: 48, val: 24, test: 24}}, seed: 0}}'
    config = tiny_config(videos, "num_epochs=2", "val_interval=1", "log_interval=1", "figure_videos=12")
    return Machine(tmp_path, config, root)


def test_one_command_trains_scores_and_reports(machine: Machine) -> None:
    out, err = machine.run("figures=[pca, tsne, umap]")
    run = machine.outputs / "small"
    assert "running on the CPU, as asked" in err
    assert "Traceback" not in err
    for words in (
        "videos: 48 train, 24 val, 24 test",
        "random init: kNN",
        "epoch 2: kNN",
        "step 12/12",
        "linear probe",
    ):
        assert words in out
    assert str(run / "report.html") in out
    check_files(run)
    check_summary(run)
    check_metrics(run)
    check_report(run)
    check_encoder(run)

    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    _, err = machine.run(status=2)
    refused = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(refused) == 1
    assert "resume=true" in refused[0]
    assert "Traceback" not in err
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before

    out, _ = machine.run("resume=true", "num_epochs=3", "figure_videos=4")
    assert "at step 12 of 18" in out
    assert [record["step"] for record in records_of(run, "step")] == list(range(1, 19))
    assert [record["epoch"] for record in records_of(run, "validation")] == [0, 1, 2, 3]
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["epochs"], summary["steps"]) == (3, 18)


def check_files(run: Path) -> None:
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    predictions = {file for file in files if file.startswith("predictions/")}  # see test_predictions.py
    assert "predictions/knn-clip-program.csv" in predictions
    assert files - predictions == {
        "config.yaml",
        "environment.json",
        "metrics.jsonl",
        "summary.json",
        "report.html",
        "bad_videos.csv",
        *(f"checkpoints/{name}" for name in ("last.pt", "last_6.pt", "best.pt", "encoder.safetensors", "encoder.json")),
        *(f"figures/{name}" for name in FIGURES),
        *(f"epoch_features/stage-00-epoch-00000{epoch}.npz" for epoch in range(3)),
        *(f"figures/{name}" for name in ("scatter.json", "scatter_0.webp", "scatter_1.webp")),
    }
    assert (run / "bad_videos.csv").read_text().splitlines() == ["split,path,reason,dataset"]
    for figure in FIGURES:
        assert (run / "figures" / figure).read_bytes().startswith(b"\x89PNG")
    environment = json.loads((run / "environment.json").read_text())
    assert {"python", "versions", "device", "git", "command"} <= environment.keys()
    assert environment["reading"]["format"] == "video"
    assert environment["reading"]["pyav"] == environment["versions"]["av"]
    assert "# small.yaml" in re.sub(r"# \S+/small", "# small", (run / "config.yaml").read_text())


def check_summary(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    for kind in ("knn", "linear_probe"):
        assert list(summary[kind]) == LEVELS
        for by_labels in summary[kind].values():
            assert set(by_labels) == LABELS
            for score in by_labels.values():
                assert {"top1", "random_init", "chance"} <= score.keys()
                assert all(0 <= value <= 100 for value in score.values())
    assert summary["knn"]["clip"]["program"]["chance"] == pytest.approx(100 / 12, abs=1e-3)
    assert summary["own_labels"] == {"space": "digit", "time": "motion", "clip": "program"}
    for name in ("wall_seconds", "peak_memory_mb", "windows_per_second", "frames_per_second"):
        assert summary[name] > 0
    assert summary["device"]
    assert "small.yaml" in summary["command"]
    assert (summary["epochs"], summary["steps"], summary["bad_videos"]) == (2, 12, 0)


def check_metrics(run: Path) -> None:
    steps, validations = records_of(run, "step"), records_of(run, "validation")
    assert [record["step"] for record in steps] == list(range(1, 13))
    assert all(list(record["loss"]) == LEVELS and record["data_wait"] <= record["seconds"] for record in steps)
    assert [(record["epoch"], record["step"]) for record in validations] == [(0, 0), (1, 6), (2, 12)]
    for by_labels in validations[0]["knn"].values():  # before training, the score is its own floor
        assert all(score["top1"] == score["random_init"] for score in by_labels.values())


def check_report(run: Path) -> None:
    html = (run / "report.html").read_text()
    assert html.count("data:image/png;base64,") == len(
        set(FIGURES) - {"loss.png", "knn.png", "collapse.png", "pace.png"}
    )
    assert html.count("data:image/webp;base64,") == 2  # the film strips of test and validation videos
    assert html.count('class="chart"') > 10
    assert not re.search(r"""(src|href|url|action)\s*[=(]\s*["']?\s*(https?:|//|file:)""", html, re.IGNORECASE)
    assert not re.search(r"<(script|link|iframe)\b[^>]*\b(src|href)=(?!.data:)", html, re.IGNORECASE)
    assert html.rstrip().endswith("</html>")


def check_encoder(run: Path) -> None:
    """The README's example, word for word but for the name of the run."""
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(example.replace("outputs/quickstart", str(run)), found)
    units, tokens = ({level: list(found[name][level].shape[:3]) for level in LEVELS} for name in ("features", "tokens"))
    widths = {level: units[level].pop() for level in LEVELS}
    assert units == {"space": [1, 6], "time": [1, 3], "clip": [1, 1]}
    assert tokens == {"space": [1, 6, 6], "time": [1, 3, 2], "clip": [1, 1, 3]}
    for level in LEVELS:
        assert found["tokens"][level].shape[3] == widths[level]
        assert found["features"][level].isfinite().all()


def test_a_stopped_and_resumed_run_ends_with_the_same_weights(machine: Machine) -> None:
    few = ("num_epochs=6", "batch_size=4", "figures=[]")
    machine.run(*few, "model_name=whole")
    process = machine.start(*few, "model_name=halves")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step 21/72"):  # the third step of the second of six epochs
            process.send_signal(signal.SIGTERM)
            break
    out, err = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, out + err
    assert "Traceback" not in err
    whole, halves = machine.outputs / "whole", machine.outputs / "halves"
    stopped_at = load_checkpoint(halves / "checkpoints" / "last.pt")["history"]["step"]
    assert 21 <= stopped_at < 72
    assert f"stopped at step {stopped_at} of 72" in out
    assert not (halves / "summary.json").exists()

    out, _ = machine.run(*few, "model_name=halves", "resume=true")
    assert f"at step {stopped_at} of 72" in out
    encoders = [(run / "checkpoints" / "encoder.safetensors").read_bytes() for run in (whole, halves)]
    assert encoders[0] == encoders[1]
    last = [load_checkpoint(run / "checkpoints" / "last.pt") for run in (whole, halves)]
    assert last[0]["task"].keys() == last[1]["task"].keys()
    for name, values in last[0]["task"].items():
        assert torch.equal(values, last[1]["task"][name]), name
    for kind, keys in {
        "step": ("step", "epoch", "loss", "lr", "grad_norm"),
        "validation": ("step", "knn", "rank"),
    }.items():
        one, other = ([[record[key] for key in keys] for record in records_of(run, kind)] for run in (whole, halves))
        assert one == other
    summaries = [json.loads((run / "summary.json").read_text()) for run in (whole, halves)]
    assert summaries[0]["knn"] == summaries[1]["knn"]
