"""ImageNet (ILSVRC2012; Russakovsky et al., 2015, arXiv 1409.0575) or any images in such folders, as one-frame videos.

Its test labels are held back, so the official val is test, and val is drawn from train.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pandas as pd

from config.errors import InputError
from data_utils.catalog.drawing import within_classes
from data_utils.prepare.annotation_files import chosen_file, chosen_folder, raw_folder, read_lines, read_table
from data_utils.prepare.frames_on_disk import MISSING
from data_utils.prepare.listing import Listing, make_listing
from data_utils.prepare.splits import add_draw_options
from data_utils.prepare.video_index import VideoIndex, stem
from data_utils.video_files.frame_folders import IMAGE_EXTENSIONS

_SOLUTION = "LOC_val_solution.csv"
_NAMES = "LOC_synset_mapping.txt"
_HOMES = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `prepare.py imagenet`."""
    text = "folder <wnid>/image.JPEG (default: train below --raw, or below ILSVRC/Data/CLS-LOC)"
    parser.add_argument("--train-images", type=Path, metavar="FOLDER", help=text)
    text = "folder of the official val, <wnid>/image.JPEG or flat (default: val beside train)"
    parser.add_argument("--val-images", type=Path, metavar="FOLDER", help=text)
    text = f"labels of a flat val, as {_SOLUTION} (default: that file below --raw)"
    parser.add_argument("--val-solution", type=Path, metavar="CSV", help=text)
    text = f"lines `wnid names`, for the column class_name (default: {_NAMES} below --raw, if it is there)"
    parser.add_argument("--classes", type=Path, metavar="FILE", help=text)
    add_draw_options(parser, val=0.04, note=" from train")


def list_videos(options: argparse.Namespace) -> Listing:
    """Lists the images.

    Raises:
        InputError: folders or lists are missing or wrong.
    """
    raw = raw_folder(options.raw)
    home = next((raw / name for name in _HOMES if (raw / name / "train").is_dir()), raw)
    train = chosen_folder(raw, options.train_images or home / "train", (), "--train-images")
    val = chosen_folder(raw, options.val_images or home / "val", (), "--val-images")
    out = getattr(options, "out", None)
    images, tests = (VideoIndex(raw, folder, IMAGE_EXTENSIONS, out) for folder in (train, val))
    rows = [("train", path, _class_folder(images, path)) for path in images.paths]
    if not rows:
        raise InputError(f"{train} holds no <wnid>/image.JPEG; set --train-images")
    drawn = within_classes([label for *_, label in rows], None, {"val": options.val_share}, options.seed)
    table = pd.DataFrame(rows, columns=["split", "path", "label"]).assign(split=drawn)
    test, reasons, notes = _official_val(raw, tests, options.val_solution)
    unknown = test[~test["label"].isin(table["label"].unique())]
    if len(unknown):
        raise InputError(f"{unknown['path'].iloc[0]}: {unknown['label'].iloc[0]} is not a class of {train}; correct it")
    table = pd.concat([table, test], ignore_index=True)
    names = chosen_file(raw, options.classes) if options.classes else raw / _NAMES
    if options.classes or names.is_file():
        table["class_name"] = _class_names(names, table["label"])
    notes.insert(
        0,
        f"the official val is test; val is {options.val_share:g} of the official train, drawn with seed {options.seed}",
    )
    return make_listing("imagenet", raw, table, [None] * len(rows) + reasons, 0.5, notes)


def _class_folder(images: VideoIndex, path: str) -> str:
    """The first folder of an image below the folder of its split."""
    folder, _, name = path.removeprefix(images.prefix).partition("/")
    if not name:
        raise InputError(f"{images.raw / path} is in no folder of a class; move it into one")
    return folder


def _official_val(
    raw: Path, images: VideoIndex, solution: Path | None
) -> tuple[pd.DataFrame, list[str | None], list[str]]:
    """Rows, why each is absent, and what to report about them."""
    columns = ["split", "path", "label"]
    if not images.paths:
        raise InputError(f"{images.folder} holds no images; set --val-images")
    flat = any("/" not in path.removeprefix(images.prefix) for path in images.paths)
    if not flat and solution is None:
        rows = [("test", path, _class_folder(images, path)) for path in images.paths]
        return pd.DataFrame(rows, columns=columns), [None] * len(rows), []
    file = chosen_file(raw, solution) if solution else raw / _SOLUTION
    if solution is None and not file.is_file():
        raise InputError(
            f"{images.folder} holds images without folders of classes and {file} is missing; set --val-solution"
        )
    labels = _solution(file)
    found = {name: images.find(stem(name) if name.lower().endswith(IMAGE_EXTENSIONS) else name) for name in labels}
    rows = [("test", found[name] or f"{images.prefix}{name}", label) for name, label in labels.items()]
    reasons = [MISSING if path is None else None for path in found.values()]
    return pd.DataFrame(rows, columns=columns), reasons, []


def _solution(file: Path) -> dict[str, str]:
    """The class of each image, of a CSV with the columns ImageId and PredictionString (`wnid x y x y ...`)."""
    table = read_table(file, ("ImageId", "PredictionString"))
    labels: dict[str, str] = {}
    for line, name, text in zip(table.index, table["ImageId"], table["PredictionString"], strict=True):
        wnid = text.split(" ")[0]
        if not name or not re.fullmatch(r"[\w-]+", wnid):
            raise InputError(f"{file}, line {line}: no image, or '{wnid}' is not a class; correct it")
        if name in labels:
            raise InputError(f"{file}, line {line}: {name} is listed before; keep one")
        labels[name] = wnid
    return labels


def _class_names(file: Path, labels: pd.Series[str]) -> pd.Series[str]:
    """The names of the classes, of lines `n01440764 tench, Tinca tinca`."""
    names = {}
    for number, line in read_lines(file):
        wnid, _, name = line.partition(" ")
        if not name.strip():
            raise InputError(f"{file}, line {number}: '{line}' is not of the form `wnid names`; correct it")
        names[wnid] = name.strip()
    lacking = sorted(set(labels.unique()) - set(names))
    if lacking:
        raise InputError(f"{file} has no line for {lacking[0]}; add it, or set --classes to another file")
    return labels.map(names)
