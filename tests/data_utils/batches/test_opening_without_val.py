"""A catalog that has no val.csv: its validation videos come from train.csv."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from config.errors import InputError
from config.schema import Config
from data_utils.batches.opening import open_catalogs
from data_utils.catalog.catalog import Catalog

LEVELS = ("space", "time", "clip")
MakeConfig = Callable[..., Config]


def paths_of(catalogs: dict[str, Catalog]) -> dict[str, list[str]]:
    return {split: catalog.table["path"].tolist() for split, catalog in catalogs.items()}


def test_without_val_csv_videos_of_train_are_drawn_whatever_the_levels_and_windows(
    small_dataset: Path, make_config: MakeConfig, tmp_path: Path
) -> None:
    (small_dataset / "val.csv").unlink()
    config = make_config(small_dataset, "dataset.val_share=0.34")
    catalogs = open_catalogs(config, LEVELS, tmp_path / "bad.csv")
    assert list(catalogs) == ["train", "val", "test"]
    found = paths_of(catalogs)
    assert sorted(found["train"] + found["val"]) == [f"train/{index}.mp4" for index in range(6)]
    val = catalogs["val"]
    assert (val.split, val.listed, catalogs["train"].listed) == ("val", 2, 4)
    assert sorted(val.labels["label"].values[:, 0].tolist()) == [0, 1]  # one of each class
    assert val.drawn.startswith("2 of 6 videos of train.csv")
    assert (catalogs["train"].drawn, catalogs["test"].drawn) == ("", "")
    assert dict(zip(val.table["path"], val.table["frames"], strict=True)) == {
        path: 12 + 2 * int(path[6]) for path in found["val"]
    }
    # With windows for which some are too short, and other levels, the others are drawn as before.
    window = "window={length: 4, frequency: 4, step: null, max_seq_per_video: 1, eval_windows: 1}"
    longer = make_config(small_dataset, "dataset.val_share=0.34", window)
    others = paths_of(open_catalogs(longer, LEVELS[:1], tmp_path / "bad.csv"))
    assert {split: [path for path in found[split] if path != "train/0.mp4"] for split in found} == others | {
        "test": found["test"]
    }


def test_a_bad_video_changes_nothing_of_what_is_drawn(
    small_dataset: Path, make_config: MakeConfig, tmp_path: Path
) -> None:
    (small_dataset / "val.csv").unlink()
    config = make_config(small_dataset, "dataset.val_share=0.34")
    whole = paths_of(open_catalogs(config, LEVELS, tmp_path / "bad.csv"))
    assert (len(whole["train"]), len(whole["val"])) == (4, 2)
    for split in ("train", "val"):
        (small_dataset / whole[split][1]).write_bytes(b"")
    found = paths_of(open_catalogs(config, LEVELS, tmp_path / "bad.csv"))
    for split in ("train", "val"):
        assert found[split] == [whole[split][0], *whole[split][2:]]
        assert f"{split},{whole[split][1]},empty file," in (tmp_path / "bad.csv").read_text()


def test_other_files_are_not_made_up(small_dataset: Path, make_config: MakeConfig, tmp_path: Path) -> None:
    (small_dataset / "val.csv").write_text("path,label\n")
    with pytest.raises(InputError, match=r"val\.csv lists no videos; add rows"):
        open_catalogs(make_config(small_dataset), LEVELS, tmp_path / "bad.csv")
    (small_dataset / "val.csv").unlink()
    (small_dataset / "val.csv").symlink_to(small_dataset / "nowhere.csv")  # of a disk that is not there
    with pytest.raises(InputError, match=r"val\.csv is missing"):
        open_catalogs(make_config(small_dataset), LEVELS, tmp_path / "bad.csv")
    (small_dataset / "test.csv").unlink()
    with pytest.raises(InputError, match=r"is missing; `prepare\.py folder` makes"):
        open_catalogs(make_config(small_dataset), LEVELS, tmp_path / "bad.csv")
