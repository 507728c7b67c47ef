"""Tiny downloads of datasets: files without content, since listing decodes nothing."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from config.errors import InputError
from data_utils.prepare.listing import Listing
from data_utils.prepare.unused import unused_files

Listed = Callable[..., Listing]
Refusal = Callable[..., str]


def list_with(module: ModuleType, raw: Path, *arguments: object) -> Listing:
    """What a dataset module lists with these arguments of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--raw", type=Path)
    module.add_arguments(parser)
    listing: Listing = module.list_videos(parser.parse_args(["--raw", str(raw), *map(str, arguments)]))
    assert listing.table["path"].is_unique
    assert set(listing.table["split"]) <= {"train", "val", "test"}
    for path in listing.table["path"]:
        assert (raw / path).exists()
    return listing


def refusal(module: ModuleType, raw: Path, *arguments: object) -> str:
    """The one line that a dataset module refuses its input with."""
    with pytest.raises(InputError) as error:
        list_with(module, raw, *arguments)
    message = str(error.value)
    assert message
    assert "\n" not in message
    return message


def unused_below(raw: Path, listing: Listing) -> dict[str, str]:
    """Why each file of a download is not a video of its listing, by path."""
    return dict(unused_files(raw, None, listing, []))


@pytest.fixture(scope="session")
def unused() -> Callable[[Path, Listing], dict[str, str]]:
    return unused_below


@pytest.fixture(scope="session")
def listed() -> Listed:
    return list_with


@pytest.fixture(scope="session")
def refused() -> Refusal:
    return refusal


@pytest.fixture(scope="session")
def touch() -> Callable[[Path, Iterable[str]], Path]:
    def make(folder: Path, paths: Iterable[str]) -> Path:
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).touch()
        return folder

    return make


@pytest.fixture(scope="session")
def by_split() -> Callable[[Listing, str], Mapping[str, list[str]]]:
    def values(listing: Listing, column: str) -> Mapping[str, list[str]]:
        table = listing.table
        return {split: list(table[column][table["split"] == split]) for split in ("train", "val", "test")}

    return values
