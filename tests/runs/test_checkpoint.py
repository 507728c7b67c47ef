import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from config.errors import InputError
from runs.checkpoint import load_checkpoint, save_checkpoint, save_encoder, weights_digest
from tests.full_disk import files_limited_to

REPOSITORY = Path(__file__).parents[2]


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {"step": 7, "best": None, "model": model.state_dict(), "optimizers": [optimizer.state_dict()], "name": "x"}
    save_checkpoint(state, tmp_path / "last.pt")
    loaded = load_checkpoint(tmp_path / "last.pt")
    assert (loaded["step"], loaded["best"], loaded["name"]) == (7, None, "x")
    assert torch.equal(loaded["model"]["weight"], model.weight)
    moments = loaded["optimizers"][0]["state"][0]
    assert torch.equal(moments["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])


def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint({"step": 1}, path)
    with files_limited_to(100_000), pytest.raises(InputError) as error:
        save_checkpoint({"step": 2, "weights": torch.zeros(1_000_000)}, path)
    assert str(error.value).startswith(f"cannot write {path}: File too large")
    assert "\n" not in str(error.value)
    assert load_checkpoint(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_killed_while_it_saves_leaves_a_usable_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    program = (
        "import torch, itertools, pathlib; from runs.checkpoint import save_checkpoint\n"
        "for step in itertools.count():\n"
        f"    save_checkpoint({{'step': step, 'weights': torch.full((500_000,), step)}}, pathlib.Path({str(path)!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY)
    try:
        temporary = tmp_path / ".last.pt.tmp"
        while not (path.exists() and temporary.exists()):
            assert process.poll() is None
            time.sleep(0.0001)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    state = load_checkpoint(path)
    assert torch.equal(state["weights"], torch.full((500_000,), state["step"]))


@pytest.mark.parametrize("damage", ["empty", "garbage", "truncated", "code", "no dict"])
def test_a_damaged_checkpoint_is_one_clear_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint({"weights": torch.zeros(1000)}, path)
    if damage == "code":
        torch.save({"step": Path("pickled object")}, path)
    elif damage == "no dict":
        torch.save([1], path)
    else:
        path.write_bytes({"empty": b"", "garbage": b"not a checkpoint", "truncated": path.read_bytes()[:3000]}[damage])
    with pytest.raises(InputError) as error:
        load_checkpoint(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint({"weights": torch.arange(3000.0), "step": 7}, path)
    whole = path.read_bytes()
    end = len(whole) - 64 - 22  # behind it the checksum itself
    for position in np.random.default_rng(0).choice(end, 200, replace=False).tolist():
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="is damaged"):
            load_checkpoint(path)
    path.write_bytes(whole)
    assert load_checkpoint(path)["step"] == 7


def test_other_programs_read_a_checkpoint(tmp_path: Path) -> None:
    save_checkpoint({"step": 7}, tmp_path / "last.pt")
    assert torch.load(tmp_path / "last.pt", weights_only=True) == {"step": 7}


def test_a_checkpoint_of_an_older_version_has_no_checksum_and_is_read(tmp_path: Path) -> None:
    torch.save({"step": 7}, tmp_path / "last.pt")
    assert load_checkpoint(tmp_path / "last.pt") == {"step": 7}


def test_what_is_not_a_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "folder.pt").mkdir()
    for name in ("pipe.pt", "folder.pt"):
        with pytest.raises(InputError, match=f"cannot read checkpoint .*{name}: it is not a regular file"):
            load_checkpoint(tmp_path / name)


def test_an_absent_checkpoint_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read checkpoint .*No such file or directory"):
        load_checkpoint(tmp_path / "last.pt")


def test_an_encoder_is_saved_with_tied_and_strided_weights_and_its_description(tmp_path: Path) -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    path = save_encoder({"a": weight, "tied": weight, "strided": weight.T}, {"levels": ["space"]}, tmp_path)
    weights = load_file(path)
    assert path == tmp_path / "encoder.safetensors"
    assert torch.equal(weights["tied"], weight)
    assert torch.equal(weights["strided"], weight.T)
    assert json.loads((tmp_path / "encoder.json").read_text()) == {"levels": ["space"]}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_the_digest_of_weights_tells_every_difference(dtype: torch.dtype) -> None:
    weights = {"a": torch.ones(2, 3, dtype=dtype), "empty": torch.empty(0, 4, dtype=dtype)}
    same = {name: weights[name].clone() for name in reversed(weights)}
    number, shape = weights["a"].clone(), weights["a"].reshape(3, 2)
    number[1, 2] = 0
    digest = weights_digest(weights)
    assert weights_digest(same) == digest
    others = [weights | {"a": number}, weights | {"a": shape}, weights | {"b": number}, {"a": weights["a"]}]
    assert digest not in [weights_digest(other) for other in others]
