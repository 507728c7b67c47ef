"""What the tests of the engine share: small downloads, their listing, and a look at everything in a folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from data_utils.prepare.listing import Listing

SPLITS = ("train", "train", "val", "test")

# Converts as data_utils.prepare.conversion.converter does, but for files whose name says what goes wrong.
MISBEHAVING = """
import errno, os, time
from data_utils.formats import packed
from data_utils.video_files.helper_process import answer_requests
from data_utils.prepare.conversion import converter

def fail(part, frames, fps):
    part.write_bytes(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

def answer(request, voice):
    name = os.path.basename(request.get("source", ""))
    if name.startswith("hang"):
        time.sleep(3600)
    if name.startswith("crash"):
        os.kill(os.getpid(), 11)
    if name.startswith("killed"):
        os.kill(os.getpid(), 9)
    if name.startswith("full"):
        packed.write_part = fail
    if name.startswith("bug"):
        packed.write_part = None
    return converter.answer(request, voice)

answer_requests(answer)
"""
MISBEHAVING_COMMAND = (sys.executable, "-c", MISBEHAVING)


def make_listing(paths: Sequence[str], name: str = "test", absent: Sequence[tuple[str, str, str]] = ()) -> Listing:
    """Lists videos in the given order; every fourth is in val, and in test."""
    splits = [SPLITS[index % len(SPLITS)] for index in range(len(paths))]
    labels = [f"class {index % 2}" for index in range(len(paths))]
    table = pd.DataFrame({"split": splits, "path": paths, "label": labels})
    return Listing(name, table, 0.5, list(absent))


def make_raw(raw: Path, write_video: Callable[..., Path], count: int = 8) -> list[str]:
    """Videos of different lengths, 32 x 48 pixels, 25 frames per second, in the folder `raw`."""
    paths = [f"c{index % 2}/v {index:02d}.mp4" for index in range(count)]
    for index, path in enumerate(paths):
        write_video(raw / path, 5 + index, first_number=100 * index)
    return paths


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and time of change of every file below a folder."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of every file below a folder."""
    return {name: content for name, (content, _) in tree(folder).items()}
