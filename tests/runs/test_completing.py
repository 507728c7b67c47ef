from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from config.load import LoadedConfig, load_config
from data_utils.catalog.dataset_card import FILE_NAME, catalog_folder, completed
from runs.completing import complete

CARD: dict[str, Any] = {
    "name": "ssv2",
    "format": "packed",
    "size": 256,
    "mean": [0.4, 0.41, 0.42],
    "std": [0.2, 0.21, 0.22],
    "flip": 0.25,
}


def write(folder: Path) -> Path:
    (folder / FILE_NAME).write_text(json.dumps(CARD))
    return folder


def loaded(root: Path, *overrides: str) -> LoadedConfig:
    nothing = ["mean=null", "std=null", "augmentation.flip=null", "weak_augmentation.flip=null"]
    return load_config("quickstart.yaml", [f'dataset={{name: catalog, root: "{root}"}}', *nothing, *overrides])


def test_the_config_gets_what_it_leaves_to_the_dataset(tmp_path: Path) -> None:
    filled = complete(loaded(write(tmp_path)))
    assert filled.config.pixels == (CARD["mean"], CARD["std"])
    assert filled.config.augmentation.flip == filled.config.weak_augmentation.flip == 0.25
    assert (filled.merged["mean"], filled.merged["augmentation"]["flip"]) == (CARD["mean"], 0.25)
    assert filled.merged["weak_augmentation"]["flip"] == 0.25
    given = ("mean", "std", "augmentation.flip", "weak_augmentation.flip")
    assert [filled.source[key] for key in given] == [FILE_NAME] * 4


@pytest.mark.parametrize("own", ["augmentation", "weak_augmentation"])
def test_each_augmentation_is_completed_by_itself(tmp_path: Path, own: str) -> None:
    filled = complete(loaded(write(tmp_path), f"{own}.flip=0.75")).config
    flips = {"augmentation": filled.augmentation.flip, "weak_augmentation": filled.weak_augmentation.flip}
    assert flips == dict.fromkeys(flips, 0.25) | {own: 0.75}


def test_what_the_config_says_itself_counts(tmp_path: Path) -> None:
    own = ["mean=[0.1,0.1,0.1]", "std=[0.3,0.3,0.3]", "augmentation.flip=0.75", "weak_augmentation.flip=0.5"]
    before = loaded(write(tmp_path), *own)
    filled = complete(before)
    assert filled.config == before.config
    assert filled.source == before.source


def test_without_a_card_imagenets_pixels_are_taken_and_nothing_is_mirrored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        filled = complete(loaded(tmp_path))
    assert filled.config.pixels == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert filled.config.augmentation.flip == filled.config.weak_augmentation.flip == 0.0
    assert filled.source["mean"] == "ImageNet's"
    assert "mean and std are not known" in caplog.text


def test_the_card_lies_beside_the_catalogs(tmp_path: Path) -> None:
    dataset = f'dataset={{name: catalog, root: "{tmp_path}/videos", catalog: "{tmp_path}"}}'
    filled = complete(loaded(write(tmp_path), dataset))
    assert catalog_folder(filled.config) == tmp_path
    assert filled.config.augmentation.flip == 0.25


def test_the_same_for_any_other_dataset(tmp_path: Path) -> None:
    before = loaded(write(tmp_path)).config
    assert completed(before) == complete(loaded(tmp_path)).config
    assert before.mean is None


def test_the_embedded_data_is_made_where_it_is_missing(tmp_path: Path) -> None:
    root = tmp_path / "digits"
    dataset = f'dataset={{name: moving_digits, root: "{root}", videos: {{train: 1, val: 1, test: 1}}, seed: 0}}'
    filled = complete(loaded(tmp_path, dataset))
    assert sorted(path.name for path in root.glob("*/*.mp4")) == ["00000.mp4"] * 3
    assert filled.config.pixels == ([0.3] * 3, [0.15] * 3)
    assert filled.config.augmentation.flip == filled.config.weak_augmentation.flip == 0.0
    made = (root / "train/00000.mp4").stat()
    complete(loaded(tmp_path, dataset))
    assert (root / "train/00000.mp4").stat() == made
