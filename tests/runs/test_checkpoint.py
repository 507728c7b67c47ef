import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from config.errors import InputError
from runs.checkpoint import load_checkpoint, save_checkpoint, save_encoder

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
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        with pytest.raises(InputError) as error:
            save_checkpoint({"step": 2, "weights": torch.zeros(1_000_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
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
