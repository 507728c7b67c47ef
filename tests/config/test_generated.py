"""Where generated configs go, also where the program's own folder cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import generated
from config.errors import InputError


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
    with pytest.raises(InputError, match=r"cannot write to .*/outputs/generated: Permission denied; choose another"):
        generated.generated_folder(tmp_path / "outputs")
    tmp_path.chmod(0o700)


def test_a_config_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound_by_rights: None
) -> None:
    monkeypatch.setattr(generated, "GENERATED", tmp_path)
    path = generated.write_generated("rates/lr-0.1_s0", "seed: 0\n", tmp_path / "outputs")
    assert path == tmp_path / "rates/lr-0.1_s0.yaml"
    assert generated.write_generated("rates/lr-0.1_s0", "seed: 1\n", "outputs") == path
    assert path.read_text() == "seed: 1\n"
    path.parent.chmod(0o500)
    with pytest.raises(InputError, match=r"cannot write .*lr-0\.1_s0\.yaml: Permission denied"):
        generated.write_generated("rates/lr-0.1_s0", "seed: 2\n", "outputs")
    path.parent.chmod(0o700)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_text() == "seed: 1\n"
