"""The key of W&B is found where it may be, and nowhere else; no message repeats it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.errors import InputError
from config.load import load_config
from runs.tracking import wandb_key
from runs.tracking.settings import WandbSettings
from runs.tracking.tracking import check_trackers
from runs.tracking.wandb_key import find_key

KEY = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40


@pytest.fixture(autouse=True)
def no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr(wandb_key, "DEFAULT_FILE", tmp_path / "wandb.key")


def test_the_environment_comes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_key(WandbSettings()) is None
    (tmp_path / "wandb.key").write_text(f"{KEY}\n")
    assert find_key(WandbSettings()) == KEY
    (tmp_path / "other.key").write_text(OTHER)
    assert find_key(WandbSettings(key_file=str(tmp_path / "other.key"))) == OTHER
    monkeypatch.setenv("WANDB_API_KEY", "e" * 40)
    assert find_key(WandbSettings(key_file=str(tmp_path / "other.key"))) == "e" * 40


def test_an_offline_run_reads_no_key(tmp_path: Path) -> None:
    assert find_key(WandbSettings(mode="offline", key_file=str(tmp_path / "absent"))) is None


def test_a_run_that_must_be_online_does_not_start_without_a_key() -> None:
    with pytest.raises(InputError, match=r"wandb\.mode is online, but there is no W&B key: set WANDB_API_KEY, or "):
        find_key(WandbSettings(mode="online"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "must hold the W&B key and nothing else"),
        (f"key: {KEY}".encode(), "must hold the W&B key and nothing else"),
        (b"\xff\xfe\x00", "cannot read the W&B key from .*: it is not text"),
        (None, r"wandb\.key_file: .* does not exist"),
    ],
    ids=["empty", "words", "binary", "absent"],
)
def test_a_file_without_a_key_is_one_line_that_does_not_repeat_it(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "my.key").write_bytes(content)
    with pytest.raises(InputError, match=says) as error:
        find_key(WandbSettings(key_file=str(tmp_path / "my.key")))
    assert KEY not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_without_the_right_to_read_it_is_told(tmp_path: Path, bound_by_rights: None) -> None:
    (tmp_path / "wandb.key").write_text(KEY)
    (tmp_path / "wandb.key").chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        find_key(WandbSettings())


@pytest.mark.parametrize("key", ["wandb.key", "wandb.api_key", "wandb.key_file"])
def test_a_key_in_the_config_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(InputError, match=r"set WANDB_API_KEY, or write the key into the file wandb\.key") as error:
        load_config("quickstart", [f"{key}={KEY}"])
    assert KEY not in str(error.value)


def test_a_key_among_other_words_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    config = load_config("quickstart", ["tracking=[wandb]", f"wandb.notes=my key is {KEY}"]).config
    with pytest.raises(InputError, match="the W&B key stands in the config") as error:
        check_trackers(config)
    assert KEY not in str(error.value)
    check_trackers(load_config("quickstart", ["tracking=[wandb]"]).config)


def test_a_run_without_wandb_needs_no_key(tmp_path: Path) -> None:
    absent = f"wandb={{mode: online, key_file: {tmp_path / 'absent'}}}"
    check_trackers(load_config("quickstart", [absent]).config)
    check_trackers(load_config("quickstart", [absent, "tracking=[wandb]", "debug=true"]).config)
    with pytest.raises(InputError):
        check_trackers(load_config("quickstart", [absent, "tracking=[wandb]"]).config)


def test_it_is_in_no_file_of_the_repository() -> None:
    assert "wandb.key" in (Path(__file__).parents[3] / ".gitignore").read_text().splitlines()
    assert os.environ.get("WANDB_API_KEY") is None
