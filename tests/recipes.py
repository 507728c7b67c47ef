"""The recipes of docs/architecture.md, followed in a copy of the program."""

from __future__ import annotations

import filecmp
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (
    *("architecture", "config", "data_utils", "evaluation", "figures", "language", "parallel", "protocols", "runs"),
    *("sweeps", "tasks"),
)


def files_of(recipe: str, name: str) -> set[str]:
    """The program's files that a recipe lists, its tests left out.

    Args:
        recipe: what is added, as in the heading `### Add RECIPE`.
        name: what stands for NAME in the names of files.
    """
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    (section,) = re.findall(rf"^### Add {recipe}\n(.*?)(?=^#|\Z)", page, flags=re.DOTALL | re.MULTILINE)
    listed = re.findall(r"^\* `([^`]+)`", section, flags=re.MULTILINE)
    return {file.replace("NAME", name) for file in listed}


def copy_program(folder: Path) -> None:
    """Copies everything that a run imports."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ROOT.glob("*.py"):
        shutil.copy(file, folder)


def changed_files(folder: Path) -> set[str]:
    """The Python files of a copy that are new or differ from the program's."""
    found = set()
    for file in folder.rglob("*.py"):
        original = ROOT / file.relative_to(folder)
        if not original.exists() or not filecmp.cmp(file, original, shallow=False):
            found.add(file.relative_to(folder).as_posix())
    return found


def insert(file: Path, before: str, text: str) -> None:
    """Inserts `text` before the only place where `before` stands."""
    source = file.read_text(encoding="utf-8")
    assert source.count(before) == 1
    file.write_text(source.replace(before, text + before), encoding="utf-8")
