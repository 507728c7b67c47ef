"""Features of the validations in the run folder: as they were, few enough, and none of a future that was given up."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest

from config.errors import InputError
from runs.epoch_features import EpochFeatures, keep, kept_keys, read_kept


def found(epoch: int, stage: int = 0, videos: int = 4) -> EpochFeatures:
    rng = np.random.default_rng(epoch)
    names = ["b c.mp4", "a.mp4", "\u8d70.avi", os.fsdecode(b"caf\xe9.mp4")][:videos]
    return EpochFeatures(
        stage,
        epoch,
        10 * epoch,
        {1: names, 2: names[:2]},
        {1: {"space": rng.normal(size=(videos, 1, 3))}, 2: {"space": rng.normal(size=(min(2, videos), 2, 3))}},
    )


def test_what_is_read_is_what_was_kept(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    for epoch in (0, 3):
        keep(folder, found(epoch), 8)
    first, second = read_kept(folder)
    assert (first.title, second.title) == ("random init", "epoch 3")
    assert (second.epoch, second.step, second.stage) == (3, 30, 0)
    assert second.paths == found(3).paths
    for parts, of_level in second.features.items():
        np.testing.assert_allclose(of_level["space"], found(3).features[parts]["space"], rtol=2e-3)
    assert all(path.stat().st_size < 3000 for path in folder.iterdir())


def test_no_more_are_kept_than_asked_for_spread_from_the_first_to_the_last(tmp_path: Path) -> None:
    for epoch in range(40):
        keep(tmp_path, found(epoch), 5)
    epochs = [epoch for _, epoch in kept_keys(tmp_path)]
    assert len(epochs) == 5
    assert (epochs[0], epochs[-1]) == (0, 39)
    gaps = np.diff(epochs)
    assert gaps.max() <= 4 * gaps.min() + 4
    keep(tmp_path, found(40), 1)
    assert kept_keys(tmp_path) == [(0, 40)]


def test_a_run_that_goes_on_from_an_earlier_checkpoint_forgets_what_came_after_it(tmp_path: Path) -> None:
    for epoch in (0, 1, 2, 3):
        keep(tmp_path, found(epoch), 8)
    keep(tmp_path, found(2), 8)
    assert kept_keys(tmp_path) == [(0, 0), (0, 1), (0, 2)]


def test_stages_come_one_after_another(tmp_path: Path) -> None:
    for stage, epoch in ((1, 0), (1, 4), (2, 4), (2, 5)):
        keep(tmp_path, found(epoch, stage), 8)
    assert kept_keys(tmp_path) == [(1, 0), (1, 4), (2, 4), (2, 5)]
    assert [each.title for each in read_kept(tmp_path)][1:3] == ["stage 1, epoch 4", "stage 2, epoch 4"]


def test_a_damaged_file_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for epoch in (0, 1):
        keep(tmp_path, found(epoch), 8)
    first = min(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:200])
    (tmp_path / "stage-x-epoch-y.npz").write_bytes(b"of somebody else")
    with caplog.at_level(logging.WARNING):
        assert [each.epoch for each in read_kept(tmp_path)] == [1]
    assert "cannot be read and is left out" in caplog.text
    assert read_kept(tmp_path / "absent") == []


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((InputError, OSError)):
        keep(tmp_path / "file", found(0), 8)


def test_a_validation_without_videos_can_be_kept(tmp_path: Path) -> None:
    keep(tmp_path, found(0, videos=0), 8)
    (each,) = read_kept(tmp_path)
    assert each.paths == {1: [], 2: []}
