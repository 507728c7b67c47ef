"""The recipe for a dataset in docs/architecture.md, followed in a copy of the program."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.recipes import changed_files, copy_program, files_of, insert

DATASET = '''
"""Videos whose first letter is their class and whose last one is their split."""

from pathlib import Path

import pandas as pd

from data_utils.prepare.listing import make_listing

SPLITS = {"0": "train", "1": "val", "2": "test"}


def add_arguments(parser):
    pass


def list_videos(options):
    names = sorted(file.name for file in Path(options.raw).glob("*.mp4"))
    rows = [(SPLITS[name[1]], name, name[0]) for name in names]
    table = pd.DataFrame(rows, columns=["split", "path", "label"])
    return make_listing("letters", Path(options.raw), table, [None] * len(table), 0.0, [])
'''


def test_the_recipe_for_a_dataset_touches_the_files_that_it_lists(
    tmp_path: Path, write_video: Callable[..., Path]
) -> None:
    copy_program(tmp_path / "program")
    insert(tmp_path / "program/prepare.py", '    "folder": ', '    "letters": "videos named by class and split",\n')
    (tmp_path / "program/data_utils/prepare/letters.py").write_text(DATASET)
    assert changed_files(tmp_path / "program") == files_of("a dataset", "letters")
    for name in ("a0", "b0", "a1", "b1", "a2", "b2"):
        write_video(tmp_path / f"raw/{name}.mp4", 4)
    command = [sys.executable, "prepare.py", "letters", "--raw", str(tmp_path / "raw"), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=tmp_path / "program", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = (tmp_path / "out/test.csv").read_text().splitlines()[1:]
    assert [row.split(",")[:2] for row in rows] == [["a2.mp4", "a"], ["b2.mp4", "b"]]
