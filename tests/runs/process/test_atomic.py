import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from config.errors import InputError
from runs.process.atomic import atomic_write, plain, write_json, write_text
from tests.full_disk import files_limited_to


def test_a_written_file_replaces_the_old_one_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    write_text(path, "new\u00e9")
    assert path.read_bytes() == "new\u00e9".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_failing_block_leaves_the_old_file_and_raises_its_own_error(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def interrupted_write() -> None:
        with atomic_write(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with files_limited_to(1000), pytest.raises(InputError) as error, atomic_write(path) as file:
        file.write(b"x" * 100_000)
    assert str(error.value) == f"cannot write {path}: File too large; free the disk or choose another save_path"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_absent_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory"):
        write_text(tmp_path / "absent" / "file.txt", "text")


@pytest.mark.parametrize("kind", ["link to a file", "link to nothing", "hard link", "pipe"])
def test_nothing_is_written_through_what_lies_in_the_temporary_files_place(tmp_path: Path, kind: str) -> None:
    """Left by a killed process, or put there by somebody else."""
    path, temporary, other = tmp_path / "last.pt", tmp_path / ".last.pt.tmp", tmp_path / "other"
    if kind != "link to nothing":
        other.write_text("precious")
    if kind == "pipe":
        os.mkfifo(temporary)
    elif kind == "hard link":
        temporary.hardlink_to(other)
    else:
        temporary.symlink_to(other)
    write_text(path, "new")
    assert path.read_text() == "new"
    assert not path.is_symlink()
    assert not temporary.exists()
    if kind == "link to nothing":
        assert not other.exists()
    else:
        assert other.read_text() == "precious"


def test_a_folder_in_the_temporary_files_place_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / ".last.pt.tmp").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*last\.pt: Is a directory"):
        write_text(tmp_path / "last.pt", "new")


def test_names_of_files_that_are_not_utf8_can_be_written(tmp_path: Path) -> None:
    write_text(tmp_path / "report.html", os.fsdecode(b"caf\xe9.mp4"))
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == "caf\\udce9.mp4"


def test_plain_makes_valid_json_of_numpy_torch_and_non_finite_numbers(tmp_path: Path) -> None:
    value = {
        "pi": 3.14159265,
        "nan": float("nan"),
        "inf": np.float32("inf"),
        "count": np.int64(3),
        "loss": torch.tensor(0.25),
        "flag": True,
        "list": (1, None, "text", {2: -sys.float_info.max}),
    }
    wanted = {
        "pi": 3.14159,
        "nan": None,
        "inf": None,
        "count": 3,
        "loss": 0.25,
        "flag": True,
        "list": [1, None, "text", {"2": -1.79769e308}],
    }
    assert plain(value) == wanted
    assert plain(value)["flag"] is True
    write_json(tmp_path / "value.json", value)
    assert json.loads((tmp_path / "value.json").read_text()) == wanted
