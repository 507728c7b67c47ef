"""The table has the floors of the videos that it was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import moving_digits_floors
from benchmarks.moving_digits_floors import VIEWS

ROWS = ["one frame (the best of them)", "mean frame", "all pixels", "frame differences", "chance"]


def table(text: str) -> dict[str, list[float]]:
    """The rows of the printed table."""
    head, *lines = text.splitlines()
    assert head.split()[-3:] == ["program", "motion", "digit"]
    cells = {line[:42].strip(): [float(cell) for cell in line[42:].split()] for line in lines}
    assert list(cells) == ROWS
    return cells


def test_views_of_the_pixels() -> None:
    video = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4) ** 2
    one, mean, everything, differences = (VIEWS[name](video) for name in ROWS[:4])
    assert [frame.tolist() for frame in one] == [video[:, t].tolist() for t in range(3)]
    np.testing.assert_allclose(mean[0], (video[:, 0] + video[:, 1] + video[:, 2]) / 3)
    np.testing.assert_array_equal(everything[0], video)
    np.testing.assert_array_equal(differences[0][:, 1], video[:, 2] - video[:, 1])


def test_differences_of_frames_tell_easy_programs_and_not_hard_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    floors = {}
    for difficulty in ("easy", "hard"):
        root = tmp_path / difficulty
        overrides = [f"dataset.root={root}", "dataset.videos={train: 480, val: 12, test: 240}", "num_workers=0"]
        moving_digits_floors.main(["--difficulty", difficulty, "quickstart.yaml", *overrides])
        floors[difficulty] = table(capsys.readouterr().out)
        assert json.loads((root / "dataset.json").read_text()).get("difficulty", "easy") == difficulty
    for cells in floors.values():
        assert cells["chance"] == [8.3, 25.0, 10.0]
    assert floors["easy"]["frame differences"][0] > 50
    # Twice chance, and what 240 videos leave to luck.
    assert all(cells[0] < 22 for cells in floors["hard"].values())


def test_the_config_says_which_without_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos = "dataset.videos={train: 24, val: 12, test: 12}"
    overrides = [f"dataset.root={tmp_path / 'digits'}", videos, "dataset.difficulty=hard", "num_workers=0"]
    moving_digits_floors.main(["control.yaml", *overrides])
    assert table(capsys.readouterr().out)["chance"] == [8.3, 25.0, 100.0]  # the first twelve videos show a 0
    assert json.loads((tmp_path / "digits" / "dataset.json").read_text())["difficulty"] == "hard"
