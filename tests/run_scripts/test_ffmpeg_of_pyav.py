"""ffmpeg_of_pyav.py: PyAV's libraries under their plain names, and no hindrance where links cannot be made."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from run_scripts.ffmpeg_of_pyav import main


def test_the_libraries_get_their_plain_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    for _ in range(2):
        main()
        folder = Path(capsys.readouterr().out.rstrip("\n"))
        assert folder.is_relative_to(tmp_path)
    names = {link.name.partition(".so.")[0] for link in folder.iterdir()}
    assert {"libavcodec", "libavformat", "libavutil", "libswscale", "libswresample"} <= names
    assert all(link.resolve().is_file() for link in folder.iterdir())


def test_an_environment_of_somebody_else_stays_as_it_is_and_the_tests_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bound_by_rights: None
) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    main()
    printed = capsys.readouterr()
    assert printed.out.startswith(str(tmp_path))
    assert printed.err.startswith("torchcodec gets no FFmpeg: ")
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
