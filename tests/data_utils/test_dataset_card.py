from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from config.errors import InputError
from config.load import LoadedConfig, load_config
from data_utils.dataset_card import FILE_NAME, MOVING_DIGITS, DatasetCard, catalog_folder, complete, read_card

CARD: dict[str, Any] = {
    "name": "ssv2",
    "format": "packed",
    "size": 256,
    "mean": [0.4, 0.41, 0.42],
    "std": [0.2, 0.21, 0.22],
    "flip": 0.25,
}


def write(folder: Path, **values: Any) -> Path:
    (folder / FILE_NAME).write_text(json.dumps(CARD | values))
    return folder


def loaded(root: Path, *overrides: str) -> LoadedConfig:
    nothing = ["mean=null", "std=null", "augmentation.flip=null", "weak_augmentation.flip=null"]
    return load_config("quickstart.yaml", [f'dataset={{name: catalog, root: "{root}"}}', *nothing, *overrides])


def test_a_card_is_read_with_what_newer_preparations_add(tmp_path: Path) -> None:
    assert read_card(write(tmp_path, videos=12)) == DatasetCard.model_validate(CARD | {"videos": 12})
    assert read_card(tmp_path / "nowhere") is None


def test_the_generators_own_file_is_known(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text('{"name": "moving_digits", "version": 3}')
    assert read_card(tmp_path) == MOVING_DIGITS


@pytest.mark.parametrize(
    "change",
    [
        {"format": "zip"},
        {"mean": [0.1, 0.2]},
        {"mean": [0.1, 0.2, float("nan")]},
        {"std": [0.1, 0.2, 0.0]},
        {"std": [0.1, 0.2, -0.1]},
        {"flip": 1.5},
        {"flip": "yes"},
        {"size": 0},
        {"name": None},
    ],
    ids=str,
)
def test_a_card_with_other_values_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dataset\.json does not describe a dataset; run prepare\.py"):
        read_card(write(tmp_path, **change))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"{}", b"\xff", b'{"name": "moving_digits"'])
def test_what_is_no_card_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(InputError, match=r"dataset\.json does not describe a dataset"):
        complete(loaded(tmp_path))


def test_a_card_that_cannot_be_read_is_told(tmp_path: Path, bound_by_rights: None) -> None:
    (write(tmp_path) / FILE_NAME).chmod(0)
    with pytest.raises(InputError, match=r"dataset\.json cannot be read: Permission denied"):
        read_card(tmp_path)


def test_the_config_gets_what_it_leaves_to_the_dataset(tmp_path: Path) -> None:
    completed = complete(loaded(write(tmp_path)))
    assert completed.config.pixels == (CARD["mean"], CARD["std"])
    assert completed.config.augmentation.flip == completed.config.weak_augmentation.flip == 0.25
    assert (completed.merged["mean"], completed.merged["augmentation"]["flip"]) == (CARD["mean"], 0.25)
    assert completed.merged["weak_augmentation"]["flip"] == 0.25
    given = ("mean", "std", "augmentation.flip", "weak_augmentation.flip")
    assert [completed.source[key] for key in given] == [FILE_NAME] * 4


@pytest.mark.parametrize("own", ["augmentation", "weak_augmentation"])
def test_each_augmentation_is_completed_by_itself(tmp_path: Path, own: str) -> None:
    completed = complete(loaded(write(tmp_path), f"{own}.flip=0.75")).config
    flips = {"augmentation": completed.augmentation.flip, "weak_augmentation": completed.weak_augmentation.flip}
    assert flips == dict.fromkeys(flips, 0.25) | {own: 0.75}


def test_what_the_config_says_itself_counts(tmp_path: Path) -> None:
    own = ["mean=[0.1,0.1,0.1]", "std=[0.3,0.3,0.3]", "augmentation.flip=0.75", "weak_augmentation.flip=0.5"]
    before = loaded(write(tmp_path), *own)
    completed = complete(before)
    assert completed.config == before.config
    assert completed.source == before.source


def test_without_a_card_imagenets_pixels_are_taken_and_nothing_is_mirrored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        completed = complete(loaded(tmp_path))
    assert completed.config.pixels == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert completed.config.augmentation.flip == completed.config.weak_augmentation.flip == 0.0
    assert completed.source["mean"] == "ImageNet's"
    assert "mean and std are not known" in caplog.text


def test_the_card_lies_beside_the_catalogs(tmp_path: Path) -> None:
    dataset = f'dataset={{name: catalog, root: "{tmp_path}/videos", catalog: "{tmp_path}"}}'
    completed = complete(loaded(write(tmp_path), dataset))
    assert catalog_folder(completed.config) == tmp_path
    assert completed.config.augmentation.flip == 0.25


def test_the_embedded_data_needs_no_file(tmp_path: Path) -> None:
    dataset = f'dataset={{name: moving_digits, root: "{tmp_path}", videos: {{train: 1, val: 1, test: 1}}, seed: 0}}'
    completed = complete(loaded(tmp_path, dataset))
    assert completed.config.pixels == ([0.3] * 3, [0.15] * 3)
    assert completed.config.augmentation.flip == completed.config.weak_augmentation.flip == 0.0
