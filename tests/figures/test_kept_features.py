"""Features that validations keep: of the same videos, without touching what trains, and never at its cost."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from config.schema import Config
from data_utils.catalog.catalog import Catalog
from figures.kept_features import keep_features
from protocols.encoded_split import EncodedSplit
from runs.epoch_features import kept_keys, read_kept


def encoded(catalog: Catalog) -> EncodedSplit:
    videos = len(catalog.table)
    rng = np.random.default_rng(videos)
    features = {parts: {"clip": rng.normal(size=(videos, parts, 60)).astype(np.float32)} for parts in (1, 2)}
    return EncodedSplit.of_videos(features, catalog.labels)


def states() -> list[object]:
    return [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()]  # type: ignore[index]


def test_neither_features_nor_generators_change(
    tiny_config: Callable[..., Config], tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> None:
    val, config = tiny_catalogs["val"], tiny_config(root=tiny_catalogs["val"].root)
    split, before = encoded(val), states()
    keep_features(tmp_path / "kept", val, config, 3, 30, split)
    assert states() == before
    for parts, of_level in encoded(val).features.items():
        np.testing.assert_array_equal(of_level["clip"], split.features[parts]["clip"])
    (kept,) = read_kept(tmp_path / "kept")
    assert kept.paths[1] == [str(path) for path in val.table["path"]]
    assert kept.features[1]["clip"].shape == (12, 1, 12)


def test_videos_are_few_enough_and_one_that_cannot_be_read_moves_no_other(
    tiny_config: Callable[..., Config], tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> None:
    val, config = tiny_catalogs["val"], tiny_config("figure_videos=10", root=tiny_catalogs["val"].root)
    split = encoded(val)
    keep_features(tmp_path, val, config, 0, 0, split)
    without = {parts: {"clip": of["clip"][1:]} for parts, of in split.features.items()}
    keep_features(tmp_path, val, config, 1, 1, replace(split, features=without, rows=split.rows[1:]))
    first, second = read_kept(tmp_path)
    assert (len(first.paths[1]), len(first.paths[2])) == (10, 5)
    gone = str(val.table["path"].iloc[0])
    assert second.paths == {parts: [path for path in paths if path != gone] for parts, paths in first.paths.items()}


def test_none_are_kept_where_none_are_asked_for(
    tiny_config: Callable[..., Config], tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> None:
    val, config = tiny_catalogs["val"], tiny_config("figure_epochs=0", root=tiny_catalogs["val"].root)
    keep_features(tmp_path / "kept", val, config, 0, 0, encoded(val))
    assert not (tmp_path / "kept").exists()


def test_features_that_cannot_be_kept_cost_a_warning(
    tiny_config: Callable[..., Config],
    tiny_catalogs: dict[str, Catalog],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    val, config = tiny_catalogs["val"], tiny_config(root=tiny_catalogs["val"].root)
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        keep_features(tmp_path / "file", val, config, 0, 0, encoded(val))
    assert "features for figures over the epochs are not kept: " in caplog.text
    bad = encoded(val)
    bad.features[1]["clip"][2] = np.inf
    keep_features(tmp_path / "kept", val, config, 0, 0, bad)
    assert kept_keys(tmp_path / "kept") == [(0, 0)]
    assert not np.isfinite(read_kept(tmp_path / "kept")[0].features[1]["clip"]).all()
