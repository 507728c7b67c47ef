from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.load import load_config
from config.schema import Config
from data_utils.batches.windows import frames_needed, num_evaluation_windows, num_training_windows
from data_utils.prepare.conversion.fitting_config import fitting_config
from protocols.knn import knn_settings

# height, width, frames, rates; videos, classes
KINDS: dict[str, tuple[tuple[int, int], tuple[int, int], list[float], int, int]] = {
    "mouths": ((64, 128), (6, 27), [15.0], 1100, 10),
    "a phone's": ((256, 456), (60, 400), [29.97, 30.0, 24.0], 93, 4),
    "upright": ((456, 256), (90, 90), [30.0], 60, 3),
    "tiny": ((28, 28), (20, 20), [10.0], 5000, 10),
    "one pixel": ((1, 1), (5, 5), [1.0], 30, 2),
    "stills": ((200, 300), (1, 1), [0.0], 800, 8),
    "folders of frames": ((100, 176), (12, 36), [0.0], 4000, 27),
    "hours": ((256, 340), (50_000, 200_000), [25.0], 6, 2),
    "panorama": ((64, 1024), (40, 40), [25.0], 100, 5),
    "very short": ((120, 160), (2, 5), [25.0], 40, 2),
    "three": ((240, 320), (30, 30), [25.0], 3, 1),
}


def make(kind: str) -> tuple[pd.DataFrame, pd.Series]:
    (height, width), (low, high), rates, videos, classes = KINDS[kind]
    generator = np.random.default_rng(0)
    facts = pd.DataFrame(
        {
            "frames": generator.integers(low, high + 1, videos),
            "height": height,
            "width": width,
            "fps": [rates[number % len(rates)] for number in range(videos)],
        }
    )
    return facts, pd.Series([f"class {number % classes}" for number in range(videos)])


def loaded(text: str, folder: Path) -> Config:
    (folder / "mine.yaml").write_text(text + "\nmean: [0.4, 0.4, 0.4]\nstd: [0.2, 0.2, 0.2]\n")
    return load_config(str(folder / "mine.yaml"), []).config


@pytest.mark.parametrize("kind", KINDS)
def test_the_config_fits_what_was_found(kind: str, tmp_path: Path) -> None:
    facts, labels = make(kind)
    config = loaded(fitting_config(tmp_path / "my: data", tmp_path / "my: data", facts, labels), tmp_path)
    assert config.dataset.root == str(tmp_path / "my: data")
    frames, fps = facts["frames"].to_numpy(np.int64), facts["fps"].to_numpy(np.float64)
    windows = num_training_windows(frames, fps, config.window, config.short_videos)
    assert (windows > 0).all()  # none is skipped
    assert (num_evaluation_windows(frames, fps, config.window, config.short_videos) > 0).all()
    assert (frames_needed(fps, config.window) <= frames).mean() >= 0.7 or kind == "very short"
    steps = max(1, int(windows.sum()) // config.batch_size) * config.num_epochs
    assert steps >= 500 or kind == "three"
    assert config.num_epochs // config.val_interval <= 20
    assert config.batch_size >= 2
    height, width = facts["height"][0], facts["width"][0]
    assert config.frame_size[0] <= max(8, height)
    assert config.frame_size[1] <= max(8, width)
    assert 4 <= config.geometry.patches <= 96
    ratio = (config.frame_size[1] / config.frame_size[0]) / (width / height)
    assert 0.7 <= ratio <= 1.3 or kind == "panorama"
    assert knn_settings(config.evaluations).ks[0] < labels.value_counts().min()


def test_rates_that_differ_are_asked_for_by_seconds(tmp_path: Path) -> None:
    config = loaded(fitting_config(tmp_path, tmp_path, *make("a phone's")), tmp_path)
    assert config.window.frequency_fps == pytest.approx(6, abs=1)
    assert loaded(fitting_config(tmp_path, tmp_path, *make("upright")), tmp_path).window.frequency_fps is None


def test_windows_span_the_whole_of_short_clips(tmp_path: Path) -> None:
    """Three quarters of clips of 6 to 27 frames at 15 per second are shorter than 1.5 seconds."""
    config = loaded(fitting_config(tmp_path, tmp_path, *make("mouths")), tmp_path)
    assert (config.window.sampling, config.window.length, config.window.eval_windows) == ("uniform", 8, 3)
    assert config.short_videos == "skip"  # which has no say: none is short
    for kind in ("a phone's", "upright", "hours", "folders of frames"):  # longer ones, and of unknown rate
        assert loaded(fitting_config(tmp_path, tmp_path, *make(kind)), tmp_path).window.sampling == "dense"


def test_what_is_not_known_is_not_guessed(tmp_path: Path) -> None:
    nothing = pd.DataFrame({name: [] for name in ("frames", "height", "width", "fps")})
    text = fitting_config(tmp_path / "raw", tmp_path / "out", nothing, pd.Series(["a"]))
    assert text == f"dataset: {{name: catalog, root: {tmp_path / 'raw'}, catalog: {tmp_path / 'out'}}}"
    facts, labels = make("mouths")
    assert "evaluations" not in fitting_config(tmp_path, tmp_path, facts, labels.map(lambda _: ""))
