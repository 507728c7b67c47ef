"""How a folder of videos is laid out: which of its folders are splits, which are classes, which are groups.

Taken are `class/video`, `class/group/video`, `train/class/video` (also `class/train/video`) and videos in no folder at
all, which have no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_utils.catalog.catalog_file import SPLITS
from data_utils.catalog.label_text import normal_label
from data_utils.prepare.sources import Source, Unused

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_NO_CLASS = "in no folder of a class, as others are; move it into one, or take all without labels by --unlabelled"
_NO_SPLIT = "in no folder of a split, as others are (train, val, test)"


class Row(NamedTuple):
    """A video and what its folders say of it."""

    path: str
    split: str | None
    """None: to be drawn."""
    label: str
    """Empty: it has none."""
    group: str
    """The folder below the class; its own path where there is none."""


class Layout(NamedTuple):
    """The labels, splits and groups that folders give to all videos."""

    rows: list[Row]
    unused: list[Unused]
    notes: list[str]


def layout_of(sources: Sequence[Source], raw: Path, labelled: bool = True) -> Layout:
    """Reads labels, splits and groups from the folders that the videos lie in.

    Args:
        sources: the videos.
        raw: the download, for notes.
        labelled: False: folders are not classes, whatever they are called.
    """
    unused: list[Unused] = []
    folders = {source.path: source.path.split("/")[:-1] for source in sources}
    splits: dict[str, str] = {}
    depth = _depth_of_splits(list(folders.values()))
    if depth is not None:
        for path, inside in list(folders.items()):
            split = SPLIT_NAMES.get(inside[depth].lower()) if len(inside) > depth else None
            if split is None:
                unused.append(Unused(path, _NO_SPLIT))
                del folders[path]
            else:
                splits[path] = split
                folders[path] = inside[:depth] + inside[depth + 1 :]
    in_classes = labelled and any(folders.values())
    if in_classes:
        unused += [Unused(path, _NO_CLASS) for path, inside in folders.items() if not inside]
        folders = {path: inside for path, inside in folders.items() if inside}
    rows = []
    for path, inside in folders.items():
        label = normal_label(inside[0]) if in_classes else ""
        group = inside[1] if len(inside) > 1 and in_classes else path
        rows.append(Row(path, splits.get(path), label, normal_label(group)))
    return Layout(rows, unused, _notes(sources, folders, splits, in_classes, raw))


def _depth_of_splits(folders: Sequence[list[str]]) -> int | None:
    """Which folder of a path is its split, counted from the first; None: none is.

    The first is, where `train` and `val` or `test` are among them; the second, where it is nothing else anywhere.
    """
    for depth in (0, 1):
        names = [inside[depth].lower() if len(inside) > depth else "" for inside in folders]
        found = {SPLIT_NAMES.get(name) for name in names}
        if "train" in found and found & {"val", "test"} and (depth == 0 or None not in found):
            return depth
    return None


def _notes(
    sources: Sequence[Source],
    folders: dict[str, list[str]],
    splits: dict[str, str],
    in_classes: bool,
    raw: Path,
) -> list[str]:
    notes = []
    if splits:
        counts = {split: sum(found == split for found in splits.values()) for split in SPLITS}
        told = ", ".join(f"{count} {split}" for split, count in counts.items() if count)
        notes.append(f"the folders say which split a video is in: {told}")
    if not in_classes and folders:
        notes.append("the videos have no labels: training works, and scores need those of some videos of every split")
    deeper = [inside for inside in folders.values() if len(inside) > 1]
    if in_classes and deeper:
        notes.append(
            f"{len(deeper)} videos lie in folders inside their class's folder; --group-by-folder keeps those of one "
            "such folder (a person, a place) in one split"
        )
    classes = {inside[0] for inside in folders.values() if inside}
    if in_classes and len(classes) == 1 and deeper:
        notes.append(
            f"there is one class, {next(iter(classes))}; where the folders in it are the classes, "
            f"set --raw {raw / next(iter(classes))}"
        )
    pictures = sum(source.is_folder and source.path in folders for source in sources)
    if pictures:
        count = "1 folder" if pictures == 1 else f"{pictures} folders"
        notes.append(
            f"{count} of numbered pictures count as one video each; pictures that are not frames of a video are for "
            "`prepare.py imagenet`"
        )
    return notes
