"""`voltron.yaml` describes the published models: sizes, masks and learning rate, with the changes that it names."""

from __future__ import annotations

import pytest
import torch

from architecture.conditioned_transformer import ConditionedTransformer
from config.load import load_config
from config.schema import Config
from optimizers import schedule_factors
from tasks.encoder import build_network
from tasks.language_masked import frames_decoder

COND, DUAL, GEN = "language_masked", "dual", "generative"
PAIRS = {COND: (), DUAL: ("task=dual", "window.length=2"), GEN: ("task=generative", "window.length=2")}
R_MVP = ("task=masked", *("joint.norm=layer", "joint.mlp=gelu", "joint.layer_scale=null", "joint.cls_token=true"))


def base(task: str) -> tuple[str, ...]:
    encoder = ("joint.dim=768", "joint.heads=12", "joint.mlp_dim=3072")
    decoder = {"dim": 512, "layers": 8, "heads": 16, "mlp_dim": 2048}
    return *encoder, *(f"{task}.decoder.{key}={value}" for key, value in decoder.items())


def config(*overrides: str) -> Config:
    return load_config("voltron.yaml", list(overrides)).config


def millions(made: Config) -> tuple[float, float]:
    """Trained parameters, and those of the encoder's blocks."""
    with torch.device("meta"):
        network = build_network(made)
        assert isinstance(network, ConditionedTransformer)
        modules = [network] if made.task == GEN else [network, frames_decoder(made, network.joint)]
    total = sum(p.numel() for module in modules for p in module.parameters())
    return round(total / 1e6, 1), round(sum(p.numel() for p in network.joint.blocks.parameters()) / 1e6, 1)


@pytest.mark.parametrize(
    ("task", "small", "large"), [(COND, 32.8, 149.0), (DUAL, 32.8, 149.0), (GEN, 38.8, 165.1)], ids=[COND, DUAL, GEN]
)
def test_parameters_are_as_many_as_published(task: str, small: float, large: float) -> None:
    assert millions(config(*PAIRS[task])) == (small, 28.4)
    assert millions(config(*PAIRS[task], *base(task))) == (large, 113.4)


def test_a_step_has_1024_windows_a_warm_up_of_20_epochs_and_no_jump() -> None:
    for task in (COND, DUAL):
        made = config(*PAIRS[task])
        assert made.batch_size * made.num_iters_grad_accum == 1024
        assert made.learning_rate == pytest.approx(6e-4)
    halved = config(*PAIRS[GEN], "batch_size=64", "num_iters_grad_accum=16")
    assert halved.learning_rate == pytest.approx(6e-4)
    factors = schedule_factors(made.scheduler, 40_000)
    assert factors[1999] == pytest.approx(1, abs=1e-3)  # 20 of 400 epochs
    assert factors[2000] == 1
    assert abs(factors[1:] - factors[:-1]).max() < 1e-3
    assert factors[-1] == 0


def test_the_changes_that_it_names_for_its_baselines_fit() -> None:
    assert config(*R_MVP, "joint.features=cls").task == "masked"
    adam = "optimizer={name: adam, lr: 1.0e-4, weight_decay: 0.0}"
    r3m = config("task=r3m", "window.length=5", "joint.norm=layer", "joint.mlp=gelu", "joint.layer_scale=null", adam)
    assert r3m.learning_rate == 1e-4
    assert config("task=r3m", "window.length=5", "encoder=resnet50", adam, "scheduler={name: constant}").task == "r3m"
