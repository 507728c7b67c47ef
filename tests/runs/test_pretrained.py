"""Weights that a network starts from: read whole, checked, or refused in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from config.errors import InputError
from runs.checkpoint import save_encoder
from runs.pretrained import find_encoder, load_weights, read_description, read_weights


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """An exported encoder."""
    weights = {"weight": torch.arange(2000.0).reshape(20, 100), "count": torch.tensor(3), "half": torch.ones(5).half()}
    return save_encoder(weights, {}, tmp_path)


def test_an_exported_encoder_comes_back_as_it_was(encoder: Path) -> None:
    weights = read_weights(encoder)
    assert weights["weight"].tolist() == torch.arange(2000.0).reshape(20, 100).tolist()
    assert weights["count"] == 3
    assert weights["half"].dtype == torch.float16


def test_every_flipped_bit_of_the_numbers_is_found(encoder: Path) -> None:
    whole = encoder.read_bytes()
    for number, position in enumerate(range(len(whole) - 8000, len(whole), 97)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << number % 8
        encoder.write_bytes(damaged)
        with pytest.raises(InputError, match="is damaged or holds no weights"):
            read_weights(encoder)


def test_a_file_without_a_checksum_is_read(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(3)}, tmp_path / "other.safetensors")
    assert read_weights(tmp_path / "other.safetensors")["weight"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["encoder.safetensors", "encoder.pth"])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, value: float, name: str) -> None:
    weights = {"fine": torch.ones(3), "norm.bias": torch.tensor([0.0, value]).bfloat16()}
    if name.endswith(".pth"):
        torch.save(weights, tmp_path / name)
    else:
        save_encoder(weights, {}, tmp_path)
    with pytest.raises(InputError, match=rf"norm\.bias in .*{name} has numbers that are not finite") as error:
        read_weights(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["pipe.safetensors", "pipe.pth"])
def test_a_pipe_is_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="it is not a regular file"):
        read_weights(tmp_path / name)


def test_a_run_its_checkpoints_and_the_file_stand_for_the_same_weights(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    path = save_encoder({"weight": torch.ones(3)}, {"config": {}, "step": 7}, tmp_path / "checkpoints")
    for given in (tmp_path, tmp_path / "checkpoints", path):
        assert find_encoder(given, "here") == path
    assert read_description(path, "here") == {"config": {}, "step": 7}


def test_messages_begin_with_what_asked_for_the_file(tmp_path: Path) -> None:
    path = save_encoder({"weight": torch.ones(3)}, {"levels": []}, tmp_path)
    for ask in (
        lambda: find_encoder(tmp_path / "checkpoints", "here"),
        lambda: read_description(path, "here"),
        lambda: read_weights(tmp_path / "none.safetensors", "here"),
        lambda: load_weights(torch.nn.Linear(2, 2), read_weights(path), path, "here"),
    ):
        with pytest.raises(InputError, match=r"^here: "):
            ask()
