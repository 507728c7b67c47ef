"""TensorBoard shows what was logged, each point once; read back with TensorBoard's own reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from config.schema import Config
from runs.folder import RunFolder
from runs.tracking.tensorboard_tracker import TensorBoardTracker
from runs.tracking.tracker import EmbeddedVideos
from runs.tracking.tracking import Tracking
from tests.full_disk import files_limited_to

MakeConfig = Callable[..., Config]
SUMMARY: dict[str, Any] = {
    "steps": 6,
    "best_step": 4,
    "wall_seconds": 2.5,
    "knn": {"clip": {"program": {"top1": 75.0}}},
}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.open(tmp_path, "run", resume=False)


def step(number: int) -> dict[str, Any]:
    return {"kind": "step", "step": number, "loss": {"space": {"up": number / 8}}}


def validation(number: int, epoch: int) -> dict[str, Any]:
    return {"kind": "validation", "step": number, "epoch": epoch, "rank": {"space": number / 4}, "alarms": []}


def points(run: RunFolder) -> dict[str, list[tuple[int, float]]]:
    """By name: what the charts show."""
    events = EventAccumulator(str(run.tensorboard), size_guidance={"scalars": 0})
    events.Reload()
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}


def videos(labels: dict[str, list[str]]) -> EmbeddedVideos:
    pictures = np.stack([np.full((3, 8, 8), shade, np.uint8) for shade in (0, 100, 200)])
    features = {"space": np.eye(3, 4, dtype=np.float32), "time": np.ones((3, 2), np.float32)}
    return EmbeddedVideos(features, {"path": ["a.mp4", "b\tc.mp4", "d\n.mp4"]} | labels, pictures)


def test_numbers_are_shown_by_their_names(tiny_config: MakeConfig, run: RunFolder) -> None:
    tracker = TensorBoardTracker(tiny_config(), run)
    tracker.start([])
    for record in (validation(0, 0), step(1), step(2), validation(2, 1)):
        tracker.record(record)
    tracker.close(finished=False)
    assert points(run) == {
        "loss/space/up": [(1, 0.125), (2, 0.25)],
        "rank/space": [(0, 0.0), (2, 0.5)],
        "alarms": [(0, 0.0), (2, 0.0)],
    }


def test_a_resumed_run_shows_each_point_once(tiny_config: MakeConfig, run: RunFolder) -> None:
    first = [validation(0, 0), *map(step, (1, 2, 3)), validation(3, 1), *map(step, (4, 5, 6)), validation(6, 2)]
    tracker = TensorBoardTracker(tiny_config(), run)
    tracker.start([])
    for record in first:
        tracker.record(record)
    tracker.results(SUMMARY, lambda: videos({}))
    tracker.close(finished=True)
    for kept in (6, 7, 8, 9):  # the checkpoint was taken after step 4, 5, 6, and after the validation that follows it
        tracker = TensorBoardTracker(tiny_config(), run)
        tracker.start(first[:kept])
        for record in first[kept:]:
            tracker.record(record)
        tracker.close(finished=False)
        shown = points(run)
        assert shown["loss/space/up"] == [(number, number / 8) for number in range(1, 7)]
        assert shown["rank/space"] == [(0, 0.0), (3, 0.75), (6, 1.5)]
        assert not shown["run/wall_seconds"]  # the run's end is still to come


def test_a_run_that_it_is_asked_for_later_is_shown_from_its_beginning(tiny_config: MakeConfig, run: RunFolder) -> None:
    tracker = TensorBoardTracker(tiny_config(), run)
    tracker.start([step(1), step(2)])
    tracker.record(step(3))
    tracker.close(finished=False)
    assert points(run) == {"loss/space/up": [(1, 0.125), (2, 0.25), (3, 0.375)]}


def test_results_figures_and_videos_are_shown_at_the_end(tiny_config: MakeConfig, run: RunFolder) -> None:
    Image.new("RGBA", (5, 4), (10, 20, 30, 255)).save(run.figures / "loss.png")
    tracker = TensorBoardTracker(tiny_config(), run)
    tracker.start([])
    tracker.results(SUMMARY, lambda: videos({"motion": ["up", "down", "left|up"]}))
    tracker.results(SUMMARY | {"best_step": 6}, lambda: videos({"motion": ["up", "down", "left|up"]}))
    tracker.close(finished=True)

    shown = points(run)
    assert shown["test/knn/clip/program"][-1] == (6, 75.0)
    assert shown["run/wall_seconds"][-1] == (6, 2.5)
    events = EventAccumulator(str(run.tensorboard))
    events.Reload()
    (figure, *_) = events.Images("figures/loss")
    assert (figure.step, figure.width, figure.height) == (6, 5, 4)

    assert [path.name for path in run.tensorboard.iterdir() if path.is_dir()] == ["00006"]
    space = run.tensorboard / "00006" / "space"
    assert (space / "metadata.tsv").read_text() == "path\tmotion\na.mp4\tup\nb c.mp4\tdown\nd .mp4\tleft|up\n"
    rows = [[float(cell) for cell in line.split("\t")] for line in (space / "tensors.tsv").read_text().splitlines()]
    assert rows == np.eye(3, 4).tolist()
    with Image.open(space / "sprite.png") as sprite:  # two rows of two
        assert sprite.size == (16, 16)
        assert [sprite.getpixel(place) for place in ((4, 4), (12, 4), (4, 12))] == [(s,) * 3 for s in (0, 100, 200)]
    config = (run.tensorboard / "projector_config.pbtxt").read_text()
    assert "00006/space/sprite.png" in config
    assert "00006/time/tensors.tsv" in config


def test_videos_without_labels_are_told_apart_by_their_path(tiny_config: MakeConfig, run: RunFolder) -> None:
    tracker = TensorBoardTracker(tiny_config(), run)
    tracker.start([])
    tracker.results(SUMMARY, lambda: videos({}))
    tracker.close(finished=True)
    assert (run.tensorboard / "00004/space/metadata.tsv").read_text() == "a.mp4\nb c.mp4\nd .mp4\n"


# Its own thread tells of the error, too.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_costs_no_training(
    tiny_config: MakeConfig, run: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    with Tracking(tiny_config("tracking=[tensorboard]"), run) as tracking:
        tracking.record(step(1))
        with files_limited_to(10):
            for number in range(2, 2000):
                tracking.record(step(number))
            tracking.results(SUMMARY, lambda: videos({}))
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("TensorBoard shows no more of this run (OSError: ")
