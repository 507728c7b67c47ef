"""Where moving_digits are made: in a folder that is there already, in the current one, after a killed start."""

from __future__ import annotations

from pathlib import Path

import joblib
import pytest

from config.errors import InputError
from data_utils.prepare import moving_digits

VIDEOS = {"train": 2, "val": 1, "test": 1}
MADE = {"train", "val", "test", "train.csv", "val.csv", "test.csv", "caption.csv", "dataset.json"}


def make(root: Path) -> set[str]:
    with joblib.parallel_config(backend="sequential"):
        moving_digits.prepare(root, VIDEOS, seed=0)
    return {entry.name for entry in root.iterdir()}


def test_in_an_empty_folder_that_cannot_be_replaced(tmp_path: Path) -> None:
    root = tmp_path / "mounted"
    (root / "lost+found").mkdir(parents=True)
    before = root.stat().st_ino
    assert make(root) == MADE | {"lost+found"}
    assert root.stat().st_ino == before
    assert make(root) == MADE | {"lost+found"}  # it is found again


def test_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert make(Path()) == MADE
    assert [entry.name for entry in tmp_path.parent.glob(f"{tmp_path.name}*")] == [tmp_path.name]


def test_what_a_killed_start_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "digits.unfinished-99999999"
    (left / "train").mkdir(parents=True)
    assert make(tmp_path / "digits") == MADE
    assert not left.exists()
    left.mkdir()
    assert make(tmp_path / "digits") == MADE  # also where there is nothing to make
    assert not left.exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(InputError, match=r"exists and is not a moving_digits dataset"):
        make(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]
