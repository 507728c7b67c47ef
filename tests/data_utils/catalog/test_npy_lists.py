"""Catalogs of OmniMAE and PPMA, read as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from config.data import NpyDataset
from config.errors import InputError
from config.schema import Config
from data_utils.batches.frame_reader import reader_for
from data_utils.batches.opening import open_catalogs
from data_utils.catalog.npy_lists import read_npy_lists
from data_utils.catalog.source_groups import SOURCES, source_of
from tests.data_utils.conftest import number_of, numbered_frame

MakeConfig = Callable[..., Config]


def save(folder: Path, name: str, paths: Sequence[str], labels: Sequence[int]) -> None:
    np.save(folder / f"{name}_paths.npy", np.array(paths))
    np.save(folder / f"{name}_labels.npy", np.array(labels))


def write_catalog(folder: Path, **keys: Any) -> Path:
    file = folder / "catalog.yaml"
    file.write_text("".join(f"{key}: {value}\n" for key, value in keys.items()))
    return file


def dataset(folder: Path, **more: Any) -> NpyDataset:
    values = {"name": "npy", "root": str(folder), "catalog": str(folder / "catalog.yaml"), "lists": "ucf101"}
    return NpyDataset.model_validate(values | more)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    save(tmp_path, "train", ["a/v_Run_g01_c01.avi", "a/v_Run_g01_c02.avi", "a/v_Run_g02_c01.avi"], [0, 0, 10])
    save(tmp_path, "val", ["a/v_Run_g03_c01.avi"], [2])
    write_catalog(
        tmp_path,
        ucf101_train_vids_path="[/no/such/cluster/train_paths.npy, train_paths.npy]",
        ucf101_train_labels_path="[/no/such/cluster/train_labels.npy, train_labels.npy]",
        ucf101_val_vids_path="val_paths.npy",
        ucf101_val_labels_path="val_labels.npy",
        ucf101_prefix=f"{tmp_path}/videos/",
    )
    return tmp_path


def test_lists_become_tables(listed: Path) -> None:
    tables = read_npy_lists(dataset(listed), ("train", "val", "test"), optional=("val",))
    assert list(tables) == ["train", "test"]  # what is tested on is called val there
    assert tables["train"]["path"].tolist()[2] == "videos/a/v_Run_g02_c01.avi"
    assert tables["train"]["label"].tolist() == ["0", "0", "10"]
    assert tables["train"]["group"].tolist() == ["v_Run_g01", "v_Run_g01", "v_Run_g02"]


def test_both_parts_of_train_are_train_and_val(listed: Path) -> None:
    save(listed, "part", ["a/1.avi"], [0])
    save(listed, "rest", ["a/2.avi"], [1])
    text = (listed / "catalog.yaml").read_text()
    for name, file in (("train_train", "part"), ("train_val", "rest")):
        text += f"ucf101_{name}_vids_path: {file}_paths.npy\nucf101_{name}_labels_path: {file}_labels.npy\n"
    (listed / "catalog.yaml").write_text(text)
    tables = read_npy_lists(dataset(listed), ("train", "val", "test"), optional=("val",))
    assert {split: len(table) for split, table in tables.items()} == {"train": 1, "val": 1, "test": 1}


def test_paths_and_labels_come_from_the_same_place(listed: Path) -> None:
    """The first list of paths that exists counts, and its own labels: not the first labels that exist."""
    np.save(listed / "other_labels.npy", np.array([7, 7, 7]))
    text = (listed / "catalog.yaml").read_text().replace("[/no/such/cluster/train_labels.npy,", "[other_labels.npy,")
    (listed / "catalog.yaml").write_text(text)
    table = read_npy_lists(dataset(listed), ("train",), optional=())["train"]
    assert table["label"].tolist() == ["0", "0", "10"]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array(["a", "b", "c"], object), "holds Python objects, which are never loaded"),
        (np.array([1.0, 2.0, 3.0]), "is an array of 1 dimensions of float64; save a list of text"),
        (np.array([["a", "b"]]), "is an array of 2 dimensions"),
        (np.array([], "U3"), "is an empty list"),
        (np.array(["a", "b"]), "has 2 paths, .* 3 labels"),
        (np.array(["a", "../../x", "c"]), "entry 1: .*is not inside dataset.root"),
    ],
)
def test_lists_that_cannot_be_used(listed: Path, array: Any, words: str) -> None:
    np.save(listed / "train_paths.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=words):
        read_npy_lists(dataset(listed), ("train",), optional=())


def test_nothing_in_a_list_is_run(listed: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (listed / "sprung",)

    np.save(listed / "train_paths.npy", np.array([Trap()] * 3, object), allow_pickle=True)
    with pytest.raises(InputError, match="never loaded"):
        read_npy_lists(dataset(listed), ("train",), optional=())
    assert not (listed / "sprung").exists()


def test_catalogs_that_cannot_be_used(listed: Path) -> None:
    with pytest.raises(InputError, match="split train of hmdb51 needs hmdb51_train_vids_path"):
        read_npy_lists(dataset(listed, lists="hmdb51"), ("train",), optional=())
    (listed / "train_paths.npy").unlink()
    with pytest.raises(InputError, match=r"there is no /no/such/cluster/train_paths\.npy and no .*train_paths\.npy"):
        read_npy_lists(dataset(listed), ("train",), optional=())
    save(listed, "train", ["a/v_Run_g03_c01.avi"], [0])
    with pytest.raises(InputError, match="is in entry 0 of train already"):
        read_npy_lists(dataset(listed), ("train", "test"), optional=())
    (listed / "train_paths.npy").write_bytes(b"\x93NUMPY torn")
    with pytest.raises(InputError, match="not a complete"):
        read_npy_lists(dataset(listed), ("train",), optional=())
    text = (listed / "catalog.yaml").read_text().replace("[/no/such/cluster/train_labels.npy, ", "[")
    (listed / "catalog.yaml").write_text(text)
    with pytest.raises(InputError, match=r"names 2 files and .* 1; give one file of labels for each"):
        read_npy_lists(dataset(listed), ("train",), optional=())


def test_videos_and_folders_of_pictures_are_opened_and_read(
    tmp_path: Path, make_config: MakeConfig, write_video: Callable[..., Path]
) -> None:
    """What cannot be read is listed, and does not become a grey clip with a label."""
    for number in range(6):
        write_video(tmp_path / f"videos/v_Run_g0{number}_c01.mp4", first_number=number)
    frames = tmp_path / "videos" / "frames"
    frames.mkdir()
    for number in range(20):  # not in the order of their names as text
        Image.fromarray(numbered_frame(number, 32, 48)).save(frames / f"img_{number}.png")
    torn = tmp_path / "videos" / "torn"
    torn.mkdir()
    (torn / "img_1.png").write_bytes((frames / "img_1.png").read_bytes()[:200])
    files = [f"v_Run_g0{number}_c01.mp4" for number in range(4)]
    save(tmp_path, "train", [*files, "frames", "torn"], [0, 1, 0, 1, 0, 1])
    save(tmp_path, "val", ["v_Run_g04_c01.mp4", "v_Run_g05_c01.mp4"], [0, 1])
    keys = {
        f"mine_{s}_{what}_path": f"{s}_{file}.npy"
        for s in ("train", "val")
        for what, file in (("vids", "paths"), ("labels", "labels"))
    }
    write_catalog(tmp_path, **keys, mine_prefix="videos/")
    config = make_config(tmp_path)
    config = config.model_copy(
        update={"dataset": dataset(tmp_path, lists="mine", source="ucf101"), "max_bad_videos": 0.5}
    )
    bad = tmp_path / "bad_videos.csv"
    catalogs = open_catalogs(config, config.groups, bad)
    assert {split: len(catalog.table) for split, catalog in catalogs.items()} == {"train": 3, "val": 2, "test": 2}
    assert "torn,damaged: its frame img_1.png" in bad.read_text()
    assert not set(catalogs["train"].table["group"]) & set(catalogs["val"].table["group"])
    table = pd.concat([catalog.table for catalog in catalogs.values()]).set_index("path")
    assert list(table.loc["videos/frames", ["frames", "height", "width", "fps"]]) == [20, 32, 48, 25.0]
    reader = reader_for(catalogs["train"], config)
    read = reader.read(tmp_path / "videos/frames", np.array([11, 2, 2]), (32, 48))
    assert [number_of(picture) for picture in read] == [11, 2, 2]


@pytest.mark.parametrize(
    ("name", "alike", "other"),
    [
        ("ucf101", ("Run/v_Run_g01_c01.avi", "Run/v_Run_g01_c07.avi"), "Run/v_Run_g02_c01.avi"),
        (
            "hmdb51",
            (
                "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi",
                "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_1.avi",
            ),
            "brush_hair/Sarah_brush_hair_u_nm_np1_ba_goo_0.avi",
        ),
        ("diving48", ("_8Vy3dlHg2w_00000.mp4", "_8Vy3dlHg2w_00012.mp4"), "fYHomdVRMm8_00000.mp4"),
        (
            "ikea",
            ("T/0007_white_table_05_04_2019_08_28_14_40/a/1", "T/0007_white_table_05_04_2019_08_28_14_40/b/2"),
            "T/0008_white_table_05_04_2019_08_28_14_40/a/1",
        ),
        (
            "uav",
            ("P000S00G10B10H10UC022000LC021000R0_08241716.avi", "P000S00G10B10H10UC022000LC021000R1_08241720.avi"),
            "P001S00G10B10H10UC022000LC021000R0_08241716.avi",
        ),
    ],
)
def test_clips_of_one_source_are_told_by_their_names(name: str, alike: tuple[str, str], other: str) -> None:
    source = SOURCES[name]
    assert source(alike[0]) == source(alike[1]) != source(other)


def test_a_clip_of_any_other_dataset_is_a_source_of_its_own() -> None:
    assert source_of("mine")("a/1.mp4") != source_of("mine")("a/2.mp4")
    assert source_of("mini_ssv2")("1.webm") != source_of("mini_ssv2")("2.webm")
