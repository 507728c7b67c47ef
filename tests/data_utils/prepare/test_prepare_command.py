from __future__ import annotations

from pathlib import Path

import pytest

import prepare
from data_utils.prepare import moving_digits


def test_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / "raw" / name).mkdir(parents=True)
        for index in range(10):
            (tmp_path / "raw" / name / f"{index}.mp4").touch()
    arguments = ["folder", "--raw", str(tmp_path / "raw"), "--out", str(tmp_path / "out")]
    assert prepare.main([*arguments, "--val", "0.2", "--test", "0.3"]) == 0
    out = tmp_path / "out"
    assert capsys.readouterr().out.splitlines() == [
        f"train: 10 videos, 2 classes -> {out / 'train.csv'}",
        f"val: 4 videos, 2 classes -> {out / 'val.csv'}",
        f"test: 6 videos, 2 classes -> {out / 'test.csv'}",
    ]
    assert prepare.main([*arguments, "--group-column", "subject"]) == 2
    assert capsys.readouterr().err == "error: --group-column needs --csv, whose column it is\n"


def test_moving_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(moving_digits, "prepare", lambda *arguments: calls.append(arguments))
    assert prepare.main(["moving_digits", "--out", str(tmp_path), "--train", "5", "--seed", "3"]) == 0
    assert calls == [(tmp_path, {"train": 5, "val": 480, "test": 720}, 3)]
    assert "train: 5 videos" in capsys.readouterr().out
    assert prepare.main(["moving_digits", "--out", str(tmp_path), "--val", "0"]) == 2
    assert "at least one video each" in capsys.readouterr().err
    assert len(calls) == 1


def test_usage_errors_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["unknown"], ["folder"]):
        with pytest.raises(SystemExit) as error:
            prepare.main(arguments)
        assert error.value.code == 2
    assert "usage" in capsys.readouterr().err
