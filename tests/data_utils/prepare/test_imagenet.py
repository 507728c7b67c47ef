from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_utils.prepare import imagenet

Any_ = Callable[..., Any]
WNIDS = ["n01440764", "n01443537", "n02012849"]


def train_files(home: str = "") -> list[str]:
    return [f"{home}train/{wnid}/{wnid}_{number}.JPEG" for wnid in WNIDS for number in range(25)]


def val_names() -> list[str]:
    return [f"ILSVRC2012_val_{number:08d}" for number in range(1, 7)]


def solution(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{name},{WNIDS[n % 3]} 85 1 413 275 {WNIDS[n % 3]} 1 2 3 4 " for n, name in enumerate(val_names())]
    file.write_text("\n".join(["ImageId,PredictionString", *lines]) + "\n")
    return file


@pytest.mark.parametrize("home", ["", "ILSVRC/Data/CLS-LOC/"])
@pytest.mark.parametrize("flat", [False, True])
def test_layouts(tmp_path: Path, touch: Any_, listed: Any_, by_split: Any_, home: str, flat: bool) -> None:
    folders = ["" if flat else f"{WNIDS[n % 3]}/" for n in range(6)]
    tests = [f"{home}val/{folder}{name}.JPEG" for folder, name in zip(folders, val_names(), strict=True)]
    raw = touch(tmp_path, [*train_files(home), *tests])
    if flat:
        solution(raw / "LOC_val_solution.csv")
    listing = listed(imagenet, raw, "--val", "0.2")
    assert (listing.name, listing.flip, listing.absent) == ("imagenet", 0.5, [])
    table = listing.table
    assert list(table.columns) == ["split", "path", "label"]
    assert dict(zip(by_split(listing, "path")["test"], by_split(listing, "label")["test"], strict=True)) == {
        path: WNIDS[n % 3] for n, path in enumerate(tests)
    }
    assert sorted(by_split(listing, "label")["val"]) == [wnid for wnid in WNIDS for _ in range(5)]
    assert sorted(table["path"]) == sorted([*train_files(home), *tests])
    assert len(listing.notes) == 1
    again, other = listed(imagenet, raw, "--val", "0.2"), listed(imagenet, raw, "--val", "0.2", "--seed", "1")
    assert again.table.equals(table)
    assert by_split(other, "path")["val"] != by_split(listing, "path")["val"]


def test_by_default_val_is_a_twenty_fifth(tmp_path: Path, touch: Any_, listed: Any_, by_split: Any_) -> None:
    raw = touch(tmp_path, [*train_files(), *(f"val/{wnid}/a.png" for wnid in WNIDS)])
    assert len(by_split(listed(imagenet, raw), "path")["val"]) == 3


def test_other_extensions_nested_folders_and_given_places(tmp_path: Path, touch: Any_, listed: Any_) -> None:
    images = [f"tiny/{wnid}/images/{number}{suffix}" for wnid in WNIDS for number, suffix in
              enumerate((".jpg", ".jpeg", ".PNG", ".webp", ".bmp"))]  # fmt: skip
    tests = [f"tested/{wnid}/x 'y'.jpg" for wnid in WNIDS]
    raw = touch(tmp_path / "raw", [*images, *tests, "tiny/n01440764/n01440764_boxes.txt", "tiny/n01440764/.x.jpg"])
    listing = listed(imagenet, raw, "--train-images", "tiny", "--val-images", raw / "tested")
    assert sorted(listing.table["path"]) == sorted([*images, *tests])
    assert set(listing.table["label"]) == set(WNIDS)


def test_names_of_the_classes(tmp_path: Path, touch: Any_, listed: Any_, refused: Any_) -> None:
    raw = touch(tmp_path, [*train_files(), *(f"val/{wnid}/a.JPEG" for wnid in WNIDS)])
    mapping = raw / "LOC_synset_mapping.txt"
    mapping.write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish\nn02012849 crane\n")
    names = listed(imagenet, raw).table.set_index("path")["class_name"]
    assert names["val/n01440764/a.JPEG"] == "tench, Tinca tinca"
    assert set(names) == {"tench, Tinca tinca", "goldfish", "crane"}
    own = tmp_path / "own.txt"
    own.write_text("n01440764 fish\nn01443537 gold\nn02012849 bird\n")
    assert set(listed(imagenet, raw, "--classes", own).table["class_name"]) == {"fish", "gold", "bird"}
    mapping.write_text("n01440764 tench\n")
    assert "LOC_synset_mapping.txt has no line for n01443537" in refused(imagenet, raw)
    mapping.write_text("n01440764\n")
    assert "LOC_synset_mapping.txt, line 1: 'n01440764' is not of the form `wnid names`" in refused(imagenet, raw)
    assert "no.txt is missing" in refused(imagenet, raw, "--classes", "no.txt")


def test_missing_and_extra_images_of_a_flat_val(tmp_path: Path, touch: Any_, listed: Any_, unused: Any_) -> None:
    raw = touch(tmp_path / "raw", [*train_files(), *(f"val/{name}.JPEG" for name in val_names()[1:]), "val/extra.JPEG"])
    listing = listed(imagenet, raw, "--val-solution", solution(tmp_path / "elsewhere.csv"))
    assert listing.absent == [("test", "val/ILSVRC2012_val_00000001", "missing")]
    assert unused(raw, listing) == {"val/extra.JPEG": "a picture that no list names"}


def test_wrong_solution(tmp_path: Path, touch: Any_, refused: Any_) -> None:
    raw = touch(tmp_path, [*train_files(), *(f"val/{name}.JPEG" for name in val_names())])
    assert "LOC_val_solution.csv is missing; set --val-solution" in refused(imagenet, raw)
    file = solution(raw / "LOC_val_solution.csv")
    good = file.read_text()
    for text, message in {
        good.replace("PredictionString", "Guess"): "has no column 'PredictionString', only ImageId, Guess",
        good + "x, 1 2\n": "line 8: no image, or '' is not a class",
        good + ",n01440764 1\n": "line 8: no image",
        good + f"{val_names()[0]},n01440764 1 2 3 4\n": "line 8: ILSVRC2012_val_00000001 is listed before",
        good.replace("n01443537", "n99999999"): "n99999999 is not a class of",
        "ImageId,PredictionString\n": "lists nothing",
    }.items():
        file.write_text(text)
        assert message in refused(imagenet, raw)


def test_wrong_folders(tmp_path: Path, touch: Any_, refused: Any_) -> None:
    assert "is not a folder; set --raw" in refused(imagenet, tmp_path / "no")
    raw = touch(tmp_path, ["train/a.JPEG"])
    assert "is not a folder; set --val-images" in refused(imagenet, raw)
    (raw / "val").mkdir()
    assert "train/a.JPEG is in no folder of a class" in refused(imagenet, raw)
    (raw / "train/a.JPEG").unlink()
    assert "train holds no <wnid>/image.JPEG; set --train-images" in refused(imagenet, raw)
    touch(raw, train_files())
    assert "val holds no images; set --val-images" in refused(imagenet, raw)
    touch(raw, ["val/n00000001/a.JPEG"])
    assert "n00000001 is not a class of" in refused(imagenet, raw)
    (raw / "val/n00000001/a.JPEG").unlink()
    touch(raw, ["val/n01440764/a.JPEG"])
    Path(os.fsdecode(os.fsencode(raw / "train" / "n01440764") + b"/\xff.JPEG")).touch()
    assert "a file name must be UTF-8" in refused(imagenet, raw)
