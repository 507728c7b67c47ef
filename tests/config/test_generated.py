"""Where generated configs go, also where the program's own folder cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import generated


def test_they_go_beside_the_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Path(__file__).parents[2] / "config/generated" == generated.GENERATED
    monkeypatch.setattr(generated, "GENERATED", tmp_path / "config/generated")
    assert generated.generated_folder(tmp_path / "outputs") == tmp_path / "config/generated"
    assert (tmp_path / "config/generated").is_dir()
    assert not list((tmp_path / "config/generated").iterdir())
    assert not (tmp_path / "outputs").exists()


def test_code_that_cannot_be_written_leaves_them_to_the_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound_by_rights: None, caplog: pytest.LogCaptureFixture
) -> None:
    code = tmp_path / "config"
    code.mkdir(mode=0o500)
    monkeypatch.setattr(generated, "GENERATED", code / "generated")
    with caplog.at_level("INFO"):
        assert generated.generated_folder(tmp_path / "outputs") == tmp_path / "outputs/generated"
    assert f"generated configs go to {tmp_path}/outputs/generated" in caplog.text


def test_where_neither_can_be_written_it_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound_by_rights: None
) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setattr(generated, "GENERATED", tmp_path / "config/generated")
    with pytest.raises(PermissionError):
        generated.generated_folder(tmp_path / "outputs")
    tmp_path.chmod(0o700)
