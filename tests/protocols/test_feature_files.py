"""Features in files: the same numbers, gone on with after an interruption, never stale, made again when damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import protocols.split_arrays
from config.errors import InputError
from config.schema import Config
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from protocols.encoded import EncodedData
from protocols.encoded_split import EncodedSplit
from protocols.view_store import ViewStore
from runs.process.seeds import seed_everything
from tasks.encoder import build_hierarchy

MakeConfig = Callable[..., Config]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoder(tiny_config: MakeConfig) -> nn.Module:
    seed_everything(0)
    return build_hierarchy(tiny_config())


@pytest.fixture
def opened(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], encoder: nn.Module, tmp_path: Path
) -> Callable[..., EncodedData]:
    """An encoder with data and a folder for files; what fits into no memory at all unless told otherwise."""

    def make(*overrides: str, network: nn.Module = encoder, folder: Path | None = tmp_path / "features") -> EncodedData:
        config = tiny_config("features_memory_mb=0", "batch_size=4", *overrides, root=tiny_catalogs["test"].root)
        bad = BadVideos(tmp_path / "bad_videos.csv", total=48, max_share=0.5, dataset="videos")
        return EncodedData(network, "digits", tiny_catalogs, config, CPU, bad, folder=folder)

    return make


def files(folder: Path) -> list[Path]:
    return sorted((folder / "features").glob("*.h5"))


def assert_same(one: EncodedSplit, other: EncodedSplit) -> None:
    for parts, by_level in one.features.items():
        for level, features in by_level.items():
            np.testing.assert_array_equal(features, other.features[parts][level])
            np.testing.assert_array_equal(one.views[parts][level], other.views[parts][level])
        np.testing.assert_array_equal(one.view_shown[parts], other.view_shown[parts])
    assert {parts: list(levels) for parts, levels in one.features.items()} == {
        parts: list(levels) for parts, levels in other.features.items()
    }
    for name in ("view_video", "view_frames", "rows"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for level, units in one.singles.units.items():
        np.testing.assert_array_equal(units, other.singles.units[level])
    np.testing.assert_array_equal(one.singles.rows_W, other.singles.rows_W)


def test_a_file_has_the_numbers_that_memory_has(opened: Callable[..., EncodedData], tmp_path: Path) -> None:
    in_memory = opened("features_memory_mb=100").split("test")
    assert (in_memory.file, files(tmp_path)) == (None, [])
    in_file = opened().split("test")
    assert [in_file.file] == files(tmp_path)
    assert isinstance(in_file.views[1]["clip"], np.memmap)
    assert_same(in_memory, in_file)
    assert_same(in_memory, opened(folder=None).split("test"))  # without a folder memory has to do


def test_a_file_is_used_again_without_encoding(
    opened: Callable[..., EncodedData], encoder: nn.Module, tmp_path: Path
) -> None:
    first = opened().split("test")
    calls: list[int] = []
    handle = encoder.register_forward_hook(lambda *_: calls.append(1))
    assert_same(first, opened().split("test"))
    handle.remove()
    assert calls == []


@pytest.mark.parametrize("change", ["weights", "window", "pixels", "videos"])
def test_a_stale_file_is_never_used(
    opened: Callable[..., EncodedData], tmp_path: Path, change: str, tiny_config: MakeConfig
) -> None:
    opened().split("test")
    if change == "weights":
        seed_everything(1)
        other = opened(network=build_hierarchy(tiny_config()))
    elif change == "window":
        other = opened("window.eval_windows=1")
    elif change == "pixels":
        other = opened("mean=[0.1,0.2,0.3]")
    else:
        other = opened()
        keep = np.arange(12) != 3
        other.catalogs = {**other.catalogs, "test": other.catalogs["test"].with_rows(keep)}
    other.split("test")
    assert len(files(tmp_path)) == 2


def test_a_changed_video_makes_another_file(
    opened: Callable[..., EncodedData], tmp_path: Path, tiny_catalogs: dict[str, Catalog]
) -> None:
    opened().split("test")
    data, catalog = opened(), tiny_catalogs["test"]
    copied = tmp_path / "videos"
    (copied / catalog.table["path"][0]).parent.mkdir(parents=True)
    for path in catalog.table["path"]:
        (copied / path).write_bytes((catalog.root / path).read_bytes())
    data.catalogs = {"test": replace(catalog, root=copied)}
    data.split("test")
    (copied / catalog.table["path"][0]).write_bytes((catalog.root / catalog.table["path"][1]).read_bytes())
    again = opened()
    again.catalogs = data.catalogs
    again.split("test")
    assert len(files(tmp_path)) == 3


@pytest.mark.parametrize("damage", ["bit", "cut", "rubbish"])
def test_a_damaged_file_is_made_again_and_said(
    opened: Callable[..., EncodedData], tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = opened("features_memory_mb=100").split("test")
    opened().split("test")
    (file,) = files(tmp_path)
    content = bytearray(file.read_bytes())
    if damage == "bit":
        content[len(content) // 2] ^= 1
    file.write_bytes({"bit": bytes(content), "cut": bytes(content[:-900]), "rubbish": b"rubbish"}[damage])
    assert_same(first, opened().split("test"))
    assert f"{file} is damaged" in caplog.text
    assert "its features are made again" in caplog.text


def test_an_interrupted_extraction_goes_on(
    opened: Callable[..., EncodedData], encoder: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = opened("features_memory_mb=100").split("test")  # 24 windows in 6 batches
    monkeypatch.setattr(protocols.split_arrays, "_COMMIT", 1)
    calls: list[int] = []

    def stop(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt

    handle = encoder.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        opened().split("test")
    handle.remove()
    (file,) = files(tmp_path)
    calls.clear()
    handle = encoder.register_forward_hook(lambda *_: calls.append(1))
    assert_same(whole, opened().split("test"))
    handle.remove()
    assert len(calls) == 4  # two batches were there: the third was encoded, but not fetched
    assert files(tmp_path) == [file]


def test_a_full_disk_is_one_line_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    path = tmp_path / "features" / "test.h5"
    with pytest.raises(InputError, match=r"cannot write .*No space left on device; free the disk"):
        ViewStore.create(path, "abc", {"row": ((4,), np.int64)})
    assert not path.exists()


def test_files_of_a_validation_go(opened: Callable[..., EncodedData], tmp_path: Path) -> None:
    data = opened()
    data.split("val")
    assert len(files(tmp_path)) == 1
    data.discard_files()
    assert files(tmp_path) == []


# --------------------------------------------------------------------------------------------------------- tokens


def gathered(batches: Iterator[Any]) -> tuple[Any, list[int]]:
    found = [(tokens.numpy(), list(views)) for tokens, views in batches]
    return np.concatenate([tokens for tokens, _ in found]), [view for _, views in found for view in views]


@pytest.mark.parametrize("place", ["memory", "file", "anew"])
def test_tokens_are_of_the_views_that_they_say(
    opened: Callable[..., EncodedData], tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "anew":
        monkeypatch.setattr("protocols.encoded_tokens._DISK_SHARE", 0.0)
    data = opened(*(["features_memory_mb=100"] if place == "memory" else []))
    split = data.split("test")
    for level, shape in (("space", (6, 16)), ("time", (3, 20)), ("clip", (1, 24))):
        units = data.tokens("test", level, "units")
        assert (units.shape, len(units)) == (shape, 24)
        in_order, views = gathered(units.batches(5))
        assert views == list(range(24))
        np.testing.assert_allclose(in_order.mean(axis=1), split.views[1][level][:, 0], atol=1e-5)
        drawn, order = gathered(units.batches(5, epoch=0))
        assert order != views
        assert sorted(order) == views
        # Encoded with others in its batch, a window may differ by rounding.
        np.testing.assert_allclose(drawn, in_order[order], atol=1e-5)
        assert gathered(units.batches(5, epoch=1))[1] != order
        assert gathered(units.batches(5, epoch=0))[1] == order
    assert data.tokens("test", "space").shape[1] == 16
    assert len(data.tokens("test", "space").shape) == 2


def test_tokens_leave_out_videos_that_are_not_scored(opened: Callable[..., EncodedData]) -> None:
    data = opened("features_memory_mb=100")
    whole, keep = data.split("test"), np.arange(12) != 3
    kept_views = keep[whole.view_video]
    # As where no window of a video shows the part that one of its labels is of.
    data._encoded["test", 12] = replace(
        whole,
        rows=whole.rows[keep],
        view_video=(np.cumsum(keep) - 1)[whole.view_video[kept_views]],
        view_frames=whole.view_frames[kept_views],
        views={1: {"clip": whole.views[1]["clip"][kept_views]}},
    )
    units = data.tokens("test", "clip", "units")
    found, views = gathered(units.batches(4))
    assert views == list(range(22))
    np.testing.assert_allclose(found[:, 0], whole.views[1]["clip"][kept_views, 0], atol=1e-5)
