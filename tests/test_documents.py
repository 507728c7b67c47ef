"""README and docs/architecture.md speak of files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.recipes import files_of

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/architecture.md")
OF_RUNS = ("outputs", "datasets", "my_videos", "figures", "checkpoints")
"""Folders that a run or a user makes."""


def named_paths(page: str) -> set[str]:
    """The files and folders of the repository that a page names, in links and between backticks."""
    text = (ROOT / page).read_text(encoding="utf-8")
    words = set(re.findall(r"`([^`\s]+)`", text)) | set(re.findall(r"[\w./]+\.(?:py|sh|md|txt)\b", text))
    own = {word for word in words if "/" in word or word.endswith((".py", ".sh", ".md"))}
    own = {word for word in own if not word.startswith(OF_RUNS) and "NAME" not in word and "=" not in word}
    links = re.findall(r"\]\(([^)]+)\)", text)
    return own | {str((ROOT / page).parent.joinpath(link).relative_to(ROOT)) for link in links}


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_exists(page: str) -> None:
    paths = named_paths(page)
    assert len(paths) > 10
    missing = {path for path in paths if not (ROOT / path).exists()}
    assert not missing


def test_the_list_of_folders_is_that_of_the_repository() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    section = page.partition("## Folders\n")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^ +(\w+/)(?: |$)", section, flags=re.MULTILINE))
    top = {path.parent.name for path in ROOT.glob("*/*.py")} | {"dockerfile", "tests"}
    folders = [path for name in ("data_utils", "protocols", "runs") for path in (ROOT / name).iterdir()]
    inside = {path.name for path in folders if path.is_dir()}
    assert listed == {f"{name}/" for name in (top | inside) - {"__pycache__"}}


@pytest.mark.parametrize(
    ("recipe", "old"),
    [
        ("a loss", "mse"),
        ("a dataset", "ucf101"),
        ("a task", "svt"),
        ("an evaluation", "knn"),
        ("a tracker", "tensorboard"),
    ],
)
def test_what_exists_was_added_by_the_same_recipe(recipe: str, old: str) -> None:
    assert files_of(recipe, old)
    assert not [file for file in files_of(recipe, old) if not (ROOT / file).is_file()]
