from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import InputError
from config.places import place


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert place("~/runs", "save_path") == tmp_path / "runs"
    assert place("a/~b", "save_path") == Path("a/~b")
    assert place(".", "dataset.root") == Path()
    with pytest.raises(InputError, match="save_path: the home folder of ~nobody_of_that_name/x is not known here"):
        place("~nobody_of_that_name/x", "save_path")
