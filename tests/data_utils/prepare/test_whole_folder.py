from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from data_utils.prepare.whole_folder import is_empty, remove_unfinished, whole_folder

PARTS = ("videos", "list.csv", "card.json")
# Dies with everything made but the last part: as a killed preparation does.
KILLED = """
import os, signal, sys
from pathlib import Path
from data_utils.prepare.whole_folder import whole_folder
with whole_folder(Path(sys.argv[1]), ("videos", "list.csv", "card.json")) as folder:
    (folder / "videos").mkdir()
    (folder / "videos" / "a.mp4").touch()
    if len(sys.argv) > 2:
        (folder / "videos").rename(Path(sys.argv[1]) / "videos")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def fill(folder: Path) -> None:
    (folder / "videos").mkdir()
    (folder / "videos" / "b.mp4").touch()
    (folder / "list.csv").touch()
    (folder / "card.json").write_text("{}")


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


WHOLE = ["card.json", "list.csv", "videos", "videos/b.mp4"]


def kill_one(root: Path, *more: str) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED, str(root), *more], timeout=600).returncode == -9


@pytest.mark.parametrize("kind", ["missing", "empty", "with parents", "a link"])
def test_a_folder_is_filled_whole(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "a" / "b" if kind == "with parents" else tmp_path / "root"
    if kind == "empty":
        root.mkdir()
        (root / "lost+found").mkdir()
    if kind == "a link":
        root.symlink_to(tmp_path / "target")
    with whole_folder(root, PARTS) as folder:
        fill(folder)
    assert [name for name in names(root) if name != "lost+found"] == WHOLE
    assert not list(root.parent.glob("*unfinished*"))


def test_an_empty_folder_is_never_replaced(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    before = root.stat().st_ino
    with whole_folder(root, PARTS) as folder:
        assert folder.parent == root
        fill(folder)
    assert root.stat().st_ino == before


@pytest.mark.parametrize("exists", [True, False])
def test_nothing_is_left_of_an_error(tmp_path: Path, exists: bool) -> None:
    root = tmp_path / "root"
    if exists:
        root.mkdir()
    with pytest.raises(FileNotFoundError), whole_folder(root, PARTS) as folder:
        fill(folder / "a part that is not there")
    assert names(tmp_path) == (["root"] if exists else [])


@pytest.mark.parametrize("exists", [True, False])
def test_what_a_killed_process_left_is_removed(tmp_path: Path, exists: bool) -> None:
    root, other = tmp_path / "[root]*", tmp_path / "[root]* of another"
    other.mkdir()
    if exists:
        root.mkdir()
    kill_one(root, *(["move"] if exists else []))
    assert any("a.mp4" in name for name in names(tmp_path))
    remove_unfinished(root, PARTS)
    assert names(tmp_path) == sorted([other.name, *([root.name] if exists else [])])
    if exists:
        assert is_empty(root)


def test_folders_of_older_versions_go_by_their_process(tmp_path: Path) -> None:
    import os

    dead, mine, alien = (tmp_path / f"root.unfinished-{name}" for name in ("99999999", str(os.getpid()), "notes"))
    for folder in (dead, mine, alien):
        (folder / "videos").mkdir(parents=True)
    remove_unfinished(tmp_path / "root", PARTS)
    assert [folder.exists() for folder in (dead, mine, alien)] == [False, True, True]


def test_who_is_at_work_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with whole_folder(root, PARTS) as folder:
        fill(folder)
        remove_unfinished(root, PARTS)
        assert (folder / "card.json").exists()
    assert names(root) == WHOLE


def test_a_whole_folder_loses_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    fill(root)
    (root / ".unfinished-99999999").mkdir()
    remove_unfinished(root, PARTS)
    assert names(root) == WHOLE
    with pytest.raises(FileExistsError), whole_folder(root, PARTS):
        pass
