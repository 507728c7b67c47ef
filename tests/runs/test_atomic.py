import json
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from config.errors import InputError
from runs.atomic import atomic_write, plain, write_json, write_text


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """A real write error in the middle of a file, as a full disk gives it: Python ignores the signal of this limit."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


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
