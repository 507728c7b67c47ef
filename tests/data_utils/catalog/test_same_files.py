"""Machines that train together are told apart by the sizes of their files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from config.errors import InputError
from data_utils.catalog.catalog import Catalog
from data_utils.catalog.same_files import check_file_sizes, file_sizes


def catalog_of(folder: Path, stored: list[str]) -> Catalog:
    """A catalog of videos that lie there."""
    return Catalog("train", folder, pd.DataFrame({"stored": stored}), labels={}, listed=len(stored))


def test_a_file_that_was_cut_off_or_is_missing_is_named(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for root in (here, there):
        (root / "frames").mkdir(parents=True)
        (root / "a.tar").write_bytes(b"x" * 2000)
    stored = ["a.tar#1", "a.tar#2", "frames"]
    sizes = file_sizes(catalog_of(there, stored))
    assert sizes == {"": {"a.tar": 2000, "frames": -1}}  # of a shard with many videos one size
    mine = catalog_of(here, stored)
    check_file_sizes(mine, sizes, "process 1")
    (here / "a.tar").write_bytes(b"x" * 1999)
    with pytest.raises(InputError, match=r"data of process 1 .*a\.tar has 1,999 bytes here and has 2,000 bytes there"):
        check_file_sizes(mine, sizes, "process 1")
    (here / "a.tar").unlink()
    with pytest.raises(InputError, match=r"a\.tar is missing here and has 2,000 bytes there"):
        check_file_sizes(mine, sizes, "process 1")


def test_of_many_files_a_thousand_are_compared(tmp_path: Path) -> None:
    names = [f"{number:05}.mp4" for number in range(2500)]
    sizes = file_sizes(catalog_of(tmp_path, names))[""]
    assert len(sizes) == 1000
    assert {names[0], names[-1]} <= set(sizes)


def test_those_of_further_datasets_are_compared_too(tmp_path: Path) -> None:
    (tmp_path / "b.mp4").write_bytes(b"xy")
    both = catalog_of(tmp_path, ["a.mp4"])
    both = dataclasses.replace(both, further={"second": catalog_of(tmp_path, ["b.mp4"])})
    sizes = file_sizes(both)
    assert sizes == {"": {"a.mp4": -2}, "second": {"b.mp4": 2}}
    check_file_sizes(both, sizes, "process 1")
    (tmp_path / "b.mp4").unlink()
    with pytest.raises(InputError, match=r"b\.mp4 is missing here"):
        check_file_sizes(both, sizes, "process 1")
