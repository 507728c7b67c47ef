from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.errors import InputError
from data_utils.prepare.disk import files_below, missing

Any_ = Callable[..., Any]


def test_files_of_all_folders_in_order(tmp_path: Path, touch: Any_) -> None:
    touch(
        tmp_path,
        ["b.mp4", "a/x/2.MP4", "a/1.mkv", "a/notes.txt", "a/.h.mp4", ".h/1.mp4", "out/1.mp4", "mp4", "é/1.mp4"],
    )
    found = files_below(tmp_path, (".mp4", ".mkv"), tmp_path / "out")
    assert found == ["a/1.mkv", "a/x/2.MP4", "b.mp4", "é/1.mp4"]
    assert files_below(tmp_path, (".mp4",), tmp_path / "not there yet") == [
        "a/x/2.MP4",
        "b.mp4",
        "out/1.mp4",
        "é/1.mp4",
    ]


def test_links_count_and_end(tmp_path: Path, touch: Any_) -> None:
    touch(tmp_path, ["raw/a/1.mp4", "far/2.mp4"])
    (tmp_path / "raw/b").symlink_to(tmp_path / "far")
    (tmp_path / "raw/a/up").symlink_to(tmp_path / "raw")
    (tmp_path / "raw/c.mp4").symlink_to(tmp_path / "far/2.mp4")
    (tmp_path / "raw/broken.mp4").symlink_to(tmp_path / "nowhere")
    assert files_below(tmp_path / "raw", (".mp4",)) == ["a/1.mp4", "b/2.mp4", "broken.mp4", "c.mp4"]


def test_missing_files_are_found_with_one_look_per_folder(
    tmp_path: Path, touch: Any_, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    touch(tmp_path, ["a/1.mp4", "2.mp4"])
    looks: list[str] = []
    listdir = os.listdir

    def look(folder: Any) -> list[str]:
        looks.append(str(folder))
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", look)
    paths = ["a/1.mp4", "2.mp4", "a/2.mp4", "b/1.mp4", "2.mp4/x.mp4", *(f"a/{n}x.mp4" for n in range(50))]
    assert list(missing(tmp_path, paths)) == [False, False, True, True, True, *[True] * 50]
    assert len(looks) == 4


def test_folders_without_rights_are_told(tmp_path: Path, touch: Any_, bound_by_rights: None) -> None:
    touch(tmp_path, ["a/1.mp4"])
    (tmp_path / "a").chmod(0)
    try:
        with pytest.raises(InputError, match="a cannot be read: Permission denied; fix its permissions"):
            files_below(tmp_path, (".mp4",))
        with pytest.raises(InputError, match="a cannot be read: Permission denied; fix its permissions"):
            missing(tmp_path, ["a/1.mp4"])
    finally:
        (tmp_path / "a").chmod(0o755)
