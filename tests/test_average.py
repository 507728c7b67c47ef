"""average.py: the mean of encoders as a folder that every program reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from average import main
from config.schema import Config
from runs.checkpoint import save_encoder
from tasks.encoder import build_network
from tasks.pretrained import load_encoder

MakeConfig = Callable[..., Config]


def run_folder(folder: Path, config: Config, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    state = build_network(config).state_dict()
    (folder / "checkpoints").mkdir(parents=True)
    save_encoder(state, {"config": config.model_dump(), "step": seed}, folder / "checkpoints")
    return state


def test_the_mean_is_an_encoder(tiny_config: MakeConfig, tmp_path: Path) -> None:
    config = tiny_config("hierarchy.output_batchnorm=true")
    states = [run_folder(tmp_path / str(seed), config, seed) for seed in (1, 2)]
    assert main([str(tmp_path / "1"), str(tmp_path / "2"), "--out", str(tmp_path / "mean")]) == 0
    mean = load_encoder(tmp_path / "mean").network.state_dict()
    for name, tensor in mean.items():
        expected = (states[0][name].double() + states[1][name].double()) / 2
        torch.testing.assert_close(tensor.double(), expected)
    assert str(tmp_path / "2") in (tmp_path / "mean/checkpoints/encoder.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["1", "--out", "new"], "give two runs at least"),
        (["1", "3", "--out", "new"], "it is another network"),
        (["1", "2", "--out", "1"], "it holds something already"),
        (["1", "none", "--out", "new"], "none does not exist"),
    ],
)
def test_what_cannot_be_averaged_is_told_in_one_line(
    tiny_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    for seed in (1, 2):
        run_folder(tmp_path / str(seed), tiny_config(), seed)
    run_folder(tmp_path / "3", tiny_config("groups=[space, time]", "hierarchy.frames_per_clip=6"), 3)
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()
