"""Probes of averaged encoders: what is mixed, what is trained, and that nothing else moves."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from config.errors import InputError
from config.schema import Config
from data_utils.views.views import View
from protocols.averaged_probe import AveragedProbe, AveragedProbeSettings
from protocols.finetuning.averaging import AveragedTask
from protocols.finetuning.targets import Targets
from protocols.finetuning.training import FineTuning
from protocols.protocol import Subject
from runs.checkpoint import save_encoder
from tasks.encoder import build_hierarchy

MakeSubject = Callable[..., Subject]


def settings_of(**changed: Any) -> AveragedProbeSettings:
    return AveragedProbeSettings(**{"epochs": 2, "augment": "none", "choose": "last", "others": ["other"], **changed})


def other_network(config: Config, seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    return build_hierarchy(config, "strict").eval()


def make_task(subject: Subject, others: list[nn.Module], **changed: Any) -> AveragedTask:
    train = subject.data.catalogs["train"]
    lengths_N = torch.from_numpy(train.table["frames"].to_numpy(np.int64, copy=True))
    settings = settings_of(**({"others": ["other"] * len(others)} | changed))
    targets = Targets(train.labels["program"])
    return AveragedTask(subject.data.encoder, "clip", 24, targets, lengths_N, settings, View(), 0, others)


def video(seed: int = 0) -> Tensor:
    return torch.randn(3, 6, 3, 16, 24, generator=torch.Generator().manual_seed(seed))


def test_equal_shares_are_the_network_of_the_mean_weights(make_subject: MakeSubject) -> None:
    subject = make_subject()
    other = other_network(subject.data.config)
    mean = copy.deepcopy(subject.data.encoder)
    states = [subject.data.encoder.state_dict(), other.state_dict()]
    mean.load_state_dict({name: (states[0][name] + states[1][name]) / 2 for name in states[0]})
    for mixture in ("equal", "model", "layer"):  # learning begins at the plain mean
        task = make_task(subject, [other], mixture=mixture).eval()
        torch.testing.assert_close(task._units(video()), mean(video())["clip"], rtol=1e-4, atol=1e-5)


def test_shares_by_layer_mix_each_layer_by_itself(make_subject: MakeSubject) -> None:
    subject = make_subject()
    other = other_network(subject.data.config)
    task = make_task(subject, [other], mixture="layer").eval()
    with torch.no_grad():
        task.mixture_LK[:] = torch.tensor([30.0, -30.0])  # all of the first
        torch.testing.assert_close(task._units(video()), subject.data.encoder(video())["clip"], rtol=1e-4, atol=1e-5)
        task.mixture_LK[0] = torch.tensor([-30.0, 30.0])  # the stem of the second
    mixed = copy.deepcopy(subject.data.encoder)
    names = [name for name in mixed.state_dict() if name.startswith("stem.")]
    assert names
    mixed.load_state_dict({name: other.state_dict()[name] for name in names}, strict=False)
    torch.testing.assert_close(task._units(video()), mixed(video())["clip"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("mixture", "learned"), [("equal", 0), ("model", 2), ("layer", 2 * 5)])
def test_only_the_shares_and_the_classifier_are_trained(make_subject: MakeSubject, mixture: str, learned: int) -> None:
    """PPMA's linear probe fine-tuned everything, and its frozen trunk stayed in training mode."""
    subject = make_subject("hierarchy.output_batchnorm=true", "hierarchy.space.dropout=0.2")
    other = other_network(subject.data.config)
    course = FineTuning(subject, "clip", "program", settings_of(mixture=mixture), partial(AveragedTask, others=[other]))
    task = course.task
    assert isinstance(task, AveragedTask)
    trained = {name for name, parameter in task.named_parameters() if parameter.requires_grad}
    assert trained == {"head.weight", "head.bias"} | ({"mixture_LK"} if learned else set())
    before = {name: tensor.clone() for name, tensor in task.network.state_dict().items()}
    shares, stacked = task.shares().detach().clone(), task.get_buffer("models_0").clone()
    course.run()
    assert not any(module.training for module in task.train().network.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.network.state_dict().items())
    assert torch.equal(stacked, task.get_buffer("models_0"))
    assert task.head.weight.abs().max() > 1e-3
    assert torch.equal(shares, task.shares()) == (learned == 0)
    torch.testing.assert_close(task.shares().sum(dim=1), torch.ones(len(shares)))
    assert task.mixture_LK.numel() == (learned or 2)
    groups = [group for optimizer in course.trainer.optimizers.values() for group in optimizer.param_groups]
    moved = {id(parameter) for group in groups for parameter in group["params"]}
    assert (id(task.mixture_LK) in moved) == bool(learned)


def test_a_network_of_another_form_is_refused(make_subject: MakeSubject) -> None:
    subject = make_subject()
    other = build_hierarchy(subject.data.config.model_copy(update={"groups": ["space", "time"]}), "strict")
    with pytest.raises(InputError, match=r"other lacks levels\.clip.*: it is another network"):
        make_task(subject, [other])


def test_the_protocol_scores_the_mixture_and_tells_the_shares(
    make_subject: MakeSubject, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    subject = make_subject()
    config = subject.data.config
    (tmp_path / "checkpoints").mkdir()
    save_encoder(
        other_network(config).state_dict(), {"config": config.model_dump(), "step": 1}, tmp_path / "checkpoints"
    )
    with caplog.at_level(logging.INFO):
        scores = AveragedProbe(settings_of(others=[str(tmp_path)])).score(subject)
    assert scores[0].metric == "top1"
    assert "shares of the encoder and of" in caplog.text
    assert not AveragedProbe.has_random_floor


def test_others_that_do_not_exist_are_told_with_the_config(tiny_config: Callable[..., Config]) -> None:
    with pytest.raises(InputError, match=r"settings\.others: /no/such/run does not exist"):
        tiny_config("evaluations.mix={protocol: averaged_probe, settings: {others: [/no/such/run]}}")
