"""A finished run made up of realistic numbers and real figures, for the tests of the report."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from figures.windows import draw_windows
from runs.folder import RunFolder
from runs.reporting.curves import draw_curves
from runs.results import Result, as_records

LEVELS = ("space", "time", "clip")
LABELS = {"digit": 10, "motion": 4, "program": 12}
OWN = dict(zip(LEVELS, LABELS, strict=True))


class FinishedRun(NamedTuple):
    """What `write_report` gets."""

    folder: RunFolder
    summary: dict[str, Any]
    config_yaml: str
    environment: dict[str, Any]
    records: list[dict[str, Any]]


@pytest.fixture(scope="session")
def drawn_figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The figures of the run; to be copied."""
    folder = tmp_path_factory.mktemp("figures")
    draw_curves(make_records(), folder)
    draw_windows(make_windows(), ["digit 7, left then up", "digit 2, up then right"], 2, folder / "windows.png")
    return folder


@pytest.fixture
def finished_run(tmp_path: Path, drawn_figures: Path) -> FinishedRun:
    """A run whose levels `space` and `time` know their own labels, and whose `clip` does not."""
    folder = RunFolder.open(tmp_path, "moving_digits_1", resume=False)
    records = make_records()
    shutil.copytree(drawn_figures, folder.figures, dirs_exist_ok=True)
    folder.bad_videos.write_text("path,reason\nvideos/17.mp4,truncated after 11 of 32 frames\n", encoding="utf-8")
    config = "task: hierarchical\ngroups: [space, time, clip]\nnum_epochs: 20\n"
    environment = {
        "started": "2025-03-04T10:11:12+00:00",
        "command": "python main.py quickstart.yaml",
        "versions": {"torch": "2.13.0", "numpy": None},
        "device_name": "Some CPU @ 2.0 GHz",
        "git": {"commit": "0123456789abcdef", "dirty": True},
    }
    return FinishedRun(folder, make_summary(), config, environment, records)


def make_summary() -> dict[str, Any]:
    """summary.json of the run."""
    top1 = {"space": (61.9, 33.1, 12.2), "time": (47.8, 71.4, 35.6), "clip": (38.2, 58.8, 31.9)}
    floor = {"space": (41.0, 31.5, 13.1), "time": (33.5, 52.1, 29.0), "clip": (30.3, 47.5, 30.1)}

    def table(gain: float) -> dict[str, dict[str, dict[str, float]]]:
        return {
            level: {
                name: {
                    "value": top1[level][column] + gain,
                    "random_init": floor[level][column] + gain,
                    "chance": 100 / classes,
                    "interval": 3.5,
                }
                for column, (name, classes) in enumerate(LABELS.items())
            }
            for level in LEVELS
        }

    results = [
        Result(evaluation, "moving_digits", "test", level, name, "top1", own=OWN[level] == name, **values)  # type: ignore[arg-type]
        for evaluation, scores in (("knn", table(0)), ("linear_probe", table(4.5)))
        for level, by_labels in scores.items()
        for name, values in by_labels.items()
    ]
    return {
        "results": as_records(results),
        "evaluations": {
            "knn": {"title": "kNN", "heading": "k nearest neighbours", "note": "Frozen features."},
            "linear_probe": {"title": "linear probe", "heading": "Linear probe", "note": "A linear classifier."},
        },
        "own_labels": OWN,
        "alarms": ["step 380: rank of time fell to 2.1, 9 % of its value at init"],
        "rank": {level: {"final": 30.0 - 7 * i, "random_init": 24.0 - i} for i, level in enumerate(LEVELS)},
        "std": {level: {"final": 0.91, "random_init": 0.403} for level in LEVELS},
        "wall_seconds": 312.4,
        "peak_memory_mb": 1843.2,
        "windows_per_second": 231.7,
        "frames_per_second": 1853.6,
        "data_wait": 0.118,
        "device": "cpu",
        "command": "python main.py quickstart.yaml num_epochs=20",
        "task": "hierarchical",
        "epochs": 20,
        "steps": 760,
        "bad_videos": 1,
    }


def make_records() -> list[dict[str, Any]]:
    """metrics.jsonl of the run: a step every 10, a validation every 190, one alarm that passes."""
    rng = np.random.default_rng(0)
    terms = {"up": 0.8, "down": 0.5, "side": 0.9, "variance": 0.3, "covariance": 0.02}

    def step_record(step: int) -> dict[str, Any]:
        fall = 0.4 + np.exp(-step / 200)
        return {
            "kind": "step",
            "step": step,
            "epoch": step // 38,
            "loss": {
                level: {term: value * fall * rng.uniform(0.95, 1.05) for term, value in terms.items()}
                for level in LEVELS
            },
            "grad_norm": {level: fall * rng.uniform(0.5, 2) for level in LEVELS},
            "lr": 1e-3 * fall,
            "windows": 64,
            "seconds": 0.28,
            "data_wait": 0.1,
        }

    def validation_record(step: int) -> dict[str, Any]:
        gain = 20 * (1 - np.exp(-step / 200))
        knn = {
            level: {
                name: {"top1": 30 + gain * (OWN[level] == name), "random_init": 30.0, "chance": 100 / classes}
                for name, classes in LABELS.items()
            }
            for level in LEVELS
        }
        return {
            "kind": "validation",
            "step": step,
            "epoch": step // 38,
            "knn": knn,
            "rank": {level: 25 + rng.uniform(-2, 2) - 4 * i for i, level in enumerate(LEVELS)},
            "std": dict.fromkeys(LEVELS, 0.4 + gain / 40),
            "monitors": {
                "lidar": {level: 18 + gain / 4 + rng.uniform(-2, 2) for level in LEVELS},
                "shuffled_up": dict.fromkeys(LEVELS[:-1], 1 - gain / 60),
                "shuffled_down": dict.fromkeys(LEVELS, 1 - gain / 40),
                "cka": {"space-time": 0.9, "space-clip": 0.7, "time-clip": 0.8},
            }
            | ({"grad_norm": {level: rng.uniform(0.5, 2) for level in LEVELS}} if step else {}),
            "alarms": ["rank of time fell to 2.1, 9 % of its value at init"] if step == 380 else [],
        }

    records = [step_record(step) for step in range(10, 761, 10)] + [validation_record(s) for s in range(0, 761, 190)]
    return sorted(records, key=lambda record: int(record["step"]))


def make_windows() -> NDArray[np.uint8]:
    """Two windows of 8 frames of 32 x 32 pixels: a bright square that moves."""
    windows = np.full((2, 8, 32, 32, 3), 60, np.uint8)
    for frame in range(8):
        windows[0, frame, 12:20, 2 + 2 * frame : 10 + 2 * frame] = (250, 200, 40)
        windows[1, frame, 2 + 2 * frame : 10 + 2 * frame, 12:20] = (40, 200, 250)
    return windows
