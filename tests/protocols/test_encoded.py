"""How a split becomes features: windows, units and parts of videos, and what cannot be read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import resize

import monitors
from config.errors import InputError
from config.schema import Config
from data_utils.batches.opening import open_catalogs
from data_utils.batches.windows import evaluation_starts, frame_indices
from data_utils.catalog.annotations.classes import LabelSet
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from data_utils.formats.video import VideoReader
from data_utils.views.normalise import normalise
from protocols.encoding import encode_split
from runs.process.seeds import seed_everything
from tasks.encoder import build_hierarchy

MakeConfig = Callable[..., Config]
CPU = torch.device("cpu")


# ---------------------------------------------------------------------------------------------------- encode_split


def bad_list(folder: Path, max_share: float = 0.5) -> BadVideos:
    return BadVideos(folder / "bad_videos.csv", total=48, max_share=max_share, dataset="videos")


def make_encoder(config: Config) -> nn.Module:
    seed_everything(0)
    return build_hierarchy(config)


def encode_directly(encoder: nn.Module, catalog: Catalog, config: Config, row: int) -> dict[str, list[Tensor]]:
    """By level: the unit vectors [U, D] of each evaluation window of a video, and of which frames it is."""
    length = int(catalog.table["frames"].iloc[row])
    found: dict[str, list[Tensor]] = {"frames": []}
    for start in evaluation_starts(length, 25.0, config.window, config.short_videos):
        frames = frame_indices(start, length, 25.0, config.window, config.short_videos)
        pixels = VideoReader().read(catalog.root / catalog.table["path"].iloc[row], frames, (16, 24))
        video = normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2)[None], *config.pixels)
        found["frames"].append(torch.from_numpy(frames))
        with torch.no_grad():
            for level, units in encoder.eval()(video).items():
                found.setdefault(level, []).append(units[0])
    return found


@pytest.mark.parametrize(
    ("overrides", "windows"),
    [
        ((), 2),
        (("window={length: 6, frequency: 1, step: 5, max_seq_per_video: 1, eval_windows: 3}",), 3),
        (("window={length: 6, frequency: 3, step: null, max_seq_per_video: 1, eval_windows: 4}",), 1),
        (
            (
                "window={length: 6, frequency: 5, step: null, max_seq_per_video: 1, eval_windows: 2}",
                "short_videos=loop",
            ),
            1,
        ),
        (
            ("window={length: 6, frequency: 5, step: null, max_seq_per_video: 1, eval_windows: 2}", "short_videos=pad"),
            1,
        ),
    ],
)
def test_features_are_the_means_over_windows_and_units(
    tiny_config: MakeConfig,
    tiny_catalogs: dict[str, Catalog],
    tmp_path: Path,
    overrides: tuple[str, ...],
    windows: int,
) -> None:
    config = tiny_config(*overrides, root=tiny_catalogs["test"].root)
    catalog, encoder = tiny_catalogs["test"], make_encoder(config)
    split = encode_split(encoder, catalog, config, CPU, bad_list(tmp_path))
    assert split.rows.tolist() == list(range(12))
    assert {name: len(labels.values) for name, labels in split.labels.items()} == dict.fromkeys(
        ("program", "motion", "digit"), 12
    )
    assert {count: list(by_level) for count, by_level in split.features.items()} == {
        1: ["space", "time", "clip"],
        2: ["space", "time", "clip"],
    }
    for row in (0, 7, 11):
        direct = encode_directly(encoder, catalog, config, row)
        assert len(direct["frames"]) == windows
        for level in ("space", "time", "clip"):
            mean = torch.cat(direct[level]).mean(dim=0)
            np.testing.assert_allclose(split.features[1][level][row, 0], mean, atol=2e-5)
            for part in range(2):
                total, weight = torch.zeros(len(mean)), 0.0
                for units, frames in zip(direct[level], direct["frames"], strict=True):
                    for unit, group in zip(units, frames.split(6 // len(units)), strict=True):
                        share = float(((group * 2) // 16 == part).float().mean())
                        total, weight = total + share * unit, weight + share
                np.testing.assert_allclose(split.features[2][level][row, part], total / weight, atol=2e-5)


@pytest.mark.parametrize("eval_crop", ["centre", "unscaled", "resize", "three"])
def test_crops_of_larger_frames_are_averaged_like_windows(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, eval_crop: str
) -> None:
    config = tiny_config("load_size=[32,64]", f"eval_crop={eval_crop}", root=tiny_catalogs["test"].root)
    catalog, encoder = tiny_catalogs["test"], make_encoder(config)
    split = encode_split(encoder, catalog, config, CPU, bad_list(tmp_path))
    for row in (0, 7):
        length, path = int(catalog.table["frames"].iloc[row]), catalog.root / catalog.table["path"].iloc[row]
        looks = []
        for start in evaluation_starts(length, 25.0, config.window, config.short_videos):
            frames = frame_indices(start, length, 25.0, config.window, config.short_videos)
            whole = torch.from_numpy(VideoReader().read(path, frames, (32, 64))).permute(0, 3, 1, 2)
            parts = {"centre": [whole[..., 8:56]], "resize": [whole]}
            parts["three"] = [whole[..., left : left + 48] for left in (8, 0, 16)]
            parts["unscaled"] = [whole[..., 8:24, 20:44]]
            for part in parts[eval_crop]:
                small = resize(part, [16, 24], antialias=True)
                looks.append(normalise(small[None], *config.pixels))
        assert len(looks) == (6 if eval_crop == "three" else 2)
        with torch.no_grad():
            found = [encoder.eval()(look) for look in looks]
        for level in ("space", "time", "clip"):
            expected = torch.cat([units[level][0] for units in found]).mean(dim=0)
            # Pixels may be another grey level, as torchvision's filter is a little wider.
            np.testing.assert_allclose(split.features[1][level][row, 0], expected, atol=0.02)
    windows, rows = split.singles.views, split.singles.rows_W
    crops = 3 if eval_crop == "three" else 1
    assert rows.tolist() == [row for row in range(12) for _ in range(2 * crops)]
    assert {len(vectors) for vectors in windows.values()} == {12 * 2 * crops}
    assert split.singles.units["time"].shape == (12 * 2 * crops * 3, 20)
    if crops == 3:
        by_crop = windows["clip"].reshape(12, 2, 3, -1)
        assert np.abs(by_crop[:, :, 0] - by_crop[:, :, 1]).max() > 1e-3
        assert np.abs(by_crop[:, :, 1] - by_crop[:, :, 2]).max() > 1e-3


def test_halves_differ_where_the_video_does(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path
) -> None:
    config = tiny_config()
    split = encode_split(make_encoder(config), tiny_catalogs["val"], config, CPU, bad_list(tmp_path))
    for by_half in split.features[2].values():
        assert np.abs(by_half[:, 0] - by_half[:, 1]).max() > 1e-4


def test_units_are_single_vectors_and_not_more_than_needed(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config()
    encoder = make_encoder(config)
    units = encode_split(encoder, tiny_catalogs["test"], config, CPU, bad_list(tmp_path)).singles.units
    assert {level: vectors.shape for level, vectors in units.items()} == {
        "space": (12 * 2 * 6, 16),
        "time": (12 * 2 * 3, 20),
        "clip": (12 * 2, 24),
    }
    first = encode_directly(encoder, tiny_catalogs["test"], config, 0)
    np.testing.assert_allclose(units["time"][:6], torch.cat(first["time"]), atol=2e-5)
    monkeypatch.setattr(monitors, "MAX_UNITS", 10)
    few = encode_split(encoder, tiny_catalogs["test"], config, CPU, bad_list(tmp_path)).singles.units
    assert {len(vectors) for vectors in few.values()} == {10}


@pytest.mark.parametrize("training", [True, False])
def test_encoding_is_in_evaluation_mode_and_leaves_the_mode_as_it_was(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, training: bool
) -> None:
    config = tiny_config("architecture_space.dropout=0.5")
    encoder = make_encoder(config).train(training)
    first, second = (encode_split(encoder, tiny_catalogs["val"], config, CPU, bad_list(tmp_path)) for _ in range(2))
    assert encoder.training == training
    np.testing.assert_array_equal(first.features[1]["clip"], second.features[1]["clip"])
    assert all(parameter.grad is None for parameter in encoder.parameters())


def test_an_unreadable_video_is_left_out_and_listed(
    tiny_dataset: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_dataset, root)
    config = tiny_config("max_bad_videos=0.5", root=root)
    catalog = open_catalogs(config, config.groups, tmp_path / "bad_videos.csv")["test"]
    encoder = make_encoder(config)
    whole = encode_split(encoder, catalog, config, CPU, bad_list(tmp_path))
    gone, cut = (root / catalog.table["path"].iloc[row] for row in (3, 8))
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:200])
    bad = bad_list(tmp_path)
    split = encode_split(encoder, catalog, config, CPU, bad)
    left = [row for row in range(12) if row not in (3, 8)]
    assert split.rows.tolist() == left
    for name, labels in split.labels.items():
        np.testing.assert_array_equal(labels.values, catalog.labels[name].values[left])
    for count, by_level in split.features.items():
        for level, features in by_level.items():
            assert np.isfinite(features).all()
            np.testing.assert_allclose(features, whole.features[count][level][left], atol=2e-5)
    assert len(bad) == 2
    lines = (tmp_path / "bad_videos.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [["test", "test/00003.mp4"], ["test", "test/00008.mp4"]]


def test_a_split_of_which_nothing_can_be_read_is_told(
    tiny_dataset: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_dataset, root)
    config = tiny_config(root=root)
    catalog = open_catalogs(config, config.groups, tmp_path / "bad_videos.csv")["test"]
    shutil.rmtree(root / "test")
    with pytest.raises(InputError, match=r"^no video of the split test can be read any more; bad_videos.csv"):
        encode_split(make_encoder(config), catalog, config, CPU, bad_list(tmp_path, max_share=1.0))


def test_videos_are_left_out_where_no_window_shows_a_labelled_part(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # The single window, frames 5 to 10 of 16, ends before the last third.
    one = "window={length: 6, frequency: 1, step: null, max_seq_per_video: 1, eval_windows: 1}"
    config = tiny_config(one, root=tiny_catalogs["test"].root)
    thirds = {"motion": LabelSet("motion", ["a"], np.zeros((12, 3), np.int64))}
    catalog, encoder = replace(tiny_catalogs["test"], labels=thirds), make_encoder(config)
    with pytest.raises(InputError, match=r"split test can be scored: .* raise window.eval_windows"):
        encode_split(encoder, catalog, config, CPU, bad_list(tmp_path))
    assert caplog.messages == []

    catalog = replace(catalog, table=catalog.table.assign(frames=[8] + [16] * 11))
    split = encode_split(encoder, catalog, config, CPU, bad_list(tmp_path))
    assert split.rows.tolist() == [0]
    assert {len(features) for by_level in split.features.values() for features in by_level.values()} == {1}
    (message,) = caplog.messages
    assert message.startswith("test: 11 videos are left out")
