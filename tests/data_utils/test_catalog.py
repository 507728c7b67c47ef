from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from config.errors import InputError
from config.load import load_config
from config.schema import Config
from data_utils import facts_cache
from data_utils.catalog import open_catalogs

MakeConfig = Callable[..., Config]


def test_tables_hold_facts_and_the_csvs_other_columns(
    small_dataset: Path, make_config: MakeConfig, write_csv: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [("val/0.mp4", "odd", "9999", "anna"), ("val/1.mp4", "even", "", "berta")]
    write_csv(small_dataset / "val.csv", rows, ("path", "label", "frames", "group"))
    catalogs = open_catalogs(make_config(small_dataset), tmp_path / "bad.csv")
    assert list(catalogs) == ["train", "val", "test"]
    val = catalogs["val"]
    assert (val.split, val.root, val.listed) == ("val", small_dataset, 2)
    assert val.table.to_dict("list") == {
        "path": ["val/0.mp4", "val/1.mp4"],
        "frames": [12, 14],
        "height": [32, 32],
        "width": [48, 48],
        "fps": [25.0, 25.0],
        "label": ["odd", "even"],
        "group": ["anna", "berta"],
    }
    assert list(val.labels) == ["label"]
    assert val.labels["label"].classes == ["even", "odd"]
    assert val.labels["label"].values.tolist() == [[1], [0]]
    assert (tmp_path / "bad.csv").read_text() == "split,path,reason\n"


def test_a_second_start_decodes_nothing(
    small_dataset: Path, make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_catalogs(make_config(small_dataset), tmp_path / "bad.csv")
    monkeypatch.setattr(facts_cache, "verify_videos", None)
    second = open_catalogs(make_config(small_dataset), tmp_path / "bad.csv")
    for split in first:
        pd.testing.assert_frame_equal(first[split].table, second[split].table)


def test_catalogs_may_lie_elsewhere_and_name_their_columns(
    small_dataset: Path, make_config: MakeConfig, write_csv: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "lists"
    for split, number in (("train", 5), ("val", 1), ("test", 1)):
        write_csv(folder / f"{split}.csv", [(f"{split}/{number}.mp4", "a|b", "c")], ("path", "motion", "digit"))
        (small_dataset / f"{split}.csv").unlink()
    dataset = f'{{name: catalog, root: "{small_dataset}", catalog: "{folder}", '
    labels = "labels: {space: digit, time: motion, clip: motion}}"
    catalogs = open_catalogs(make_config(small_dataset, f"dataset={dataset}{labels}"), tmp_path / "bad.csv")
    assert list(catalogs["train"].labels) == ["motion", "digit"]
    assert catalogs["train"].labels["motion"].values.tolist() == [[0, 1]]
    assert (folder / facts_cache.FILE_NAME).exists()


def test_bad_videos_are_listed_and_left_out(
    small_dataset: Path, make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (small_dataset / "train/1.mp4").write_bytes(b"")
    (small_dataset / "val/0.mp4").unlink()
    catalogs = open_catalogs(make_config(small_dataset), tmp_path / "bad.csv")
    assert catalogs["train"].table["path"].tolist() == [f"train/{index}.mp4" for index in (0, 2, 3, 4, 5)]
    assert catalogs["train"].labels["label"].values[:, 0].tolist() == [0, 0, 1, 0, 1]
    assert catalogs["train"].listed == 6
    listed = "split,path,reason\ntrain,train/1.mp4,empty file\nval,val/0.mp4,no such file or directory\n"
    assert (tmp_path / "bad.csv").read_text() == listed
    assert "2 videos cannot be read and are left out" in caplog.text

    shutil.copy(small_dataset / "test/0.mp4", small_dataset / "train/1.mp4")
    assert len(open_catalogs(make_config(small_dataset), tmp_path / "bad.csv")["train"].table) == 6
    assert (tmp_path / "bad.csv").read_text().count("\n") == 2


def test_too_many_bad_videos_end_the_run(small_dataset: Path, make_config: MakeConfig, tmp_path: Path) -> None:
    (small_dataset / "train/1.mp4").write_bytes(b"")
    config = make_config(small_dataset, max_bad_videos=0.09)
    with pytest.raises(InputError, match=r"1 of 10 videos cannot be read.*empty file.*bad\.csv lists them"):
        open_catalogs(config, tmp_path / "bad.csv")
    assert "train/1.mp4,empty file" in (tmp_path / "bad.csv").read_text()
    config = make_config(small_dataset, max_bad_videos=0.1)
    assert len(open_catalogs(config, tmp_path / "bad.csv")["train"].table) == 5


def test_a_split_without_a_readable_video(small_dataset: Path, make_config: MakeConfig, tmp_path: Path) -> None:
    for index in range(2):
        (small_dataset / f"val/{index}.mp4").unlink()
    with pytest.raises(InputError, match="no video of the split val can be read; the first reason: no such file"):
        open_catalogs(make_config(small_dataset), tmp_path / "bad.csv")


def test_short_videos_are_counted_and_skipped_or_kept(
    small_dataset: Path, make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    window = "window={length: 4, frequency: 4, step: null, max_seq_per_video: 1, eval_windows: 1}"  # span 13
    config = make_config(small_dataset, window)
    with caplog.at_level(logging.INFO):
        catalogs = open_catalogs(config, tmp_path / "bad.csv")
    assert catalogs["train"].table["frames"].tolist() == [14, 16, 18, 20, 22]
    assert catalogs["train"].labels["label"].values[:, 0].tolist() == [1, 0, 1, 0, 1]
    assert "train: 1 of 6 videos are shorter than the window's 13 frames (short_videos: skip)" in caplog.text
    for kept in ("loop", "pad"):
        catalogs = open_catalogs(make_config(small_dataset, window, f"short_videos={kept}"), tmp_path / "bad.csv")
        assert len(catalogs["train"].table) == 6
        assert f"(short_videos: {kept})" in caplog.text


def test_a_window_longer_than_every_video(small_dataset: Path, make_config: MakeConfig, tmp_path: Path) -> None:
    window = "window={length: 4, frequency: 5, step: null, max_seq_per_video: 1, eval_windows: 1}"
    message = "needs 16 frames, the longest video of the split val has 14"
    with pytest.raises(InputError, match=message):
        open_catalogs(make_config(small_dataset, window), tmp_path / "bad.csv")


def test_long_videos_bring_their_seek_points(
    small_dataset: Path, make_config: MakeConfig, tmp_path: Path, write_video: Callable[..., Path]
) -> None:
    options = {"preset": "veryfast", "x264-params": "keyint=260:scenecut=0"}
    write_video(small_dataset / "train/3.mp4", 300, options=options)
    catalogs = open_catalogs(make_config(small_dataset), tmp_path / "bad.csv")
    assert {path: [point.number for point in points] for path, points in catalogs["train"].seek_points.items()} == {
        "train/3.mp4": [260]
    }


def test_failures_of_a_loader_as_rows_of_the_list(small_dataset: Path, make_config: MakeConfig, tmp_path: Path) -> None:
    catalog = open_catalogs(make_config(small_dataset), tmp_path / "bad.csv")["train"]
    assert catalog.failures([(3, "gone")]) == [("train", "train/3.mp4", "gone")]


def test_the_embedded_data(tmp_path: Path) -> None:
    dataset = f'{{name: moving_digits, root: "{tmp_path / "digits"}", videos: {{train: 4, val: 2, test: 2}}, seed: 0}}'
    config = load_config("quickstart.yaml", [f"dataset={dataset}", "num_workers=1"]).config
    catalogs = open_catalogs(config, tmp_path / "bad.csv")
    assert [len(catalog.table) for catalog in catalogs.values()] == [4, 2, 2]
    assert list(catalogs["val"].labels) == ["program", "motion", "digit"]
    assert [labels.values.shape for labels in catalogs["val"].labels.values()] == [(2, 1), (2, 2), (2, 1)]


def test_real_lips(real_files: Path, make_config: MakeConfig, tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    table = pd.read_csv(real_files / "lips_phrases/labels.csv").iloc[::50]
    for index, split in enumerate(("train", "val", "test")):
        rows = table.iloc[index::3][["path", "label"]].to_numpy().tolist()
        write_csv(tmp_path / f"{split}.csv", rows)
    dataset = f'dataset={{name: catalog, root: "{real_files / "lips_phrases"}", catalog: "{tmp_path}"}}'
    catalogs = open_catalogs(make_config(tmp_path, dataset, "short_videos=pad"), tmp_path / "bad.csv")
    frames = {path: count for c in catalogs.values() for path, count in zip(c.table.path, c.table.frames, strict=True)}
    assert frames == dict(zip(table.path, table.frames, strict=True))
