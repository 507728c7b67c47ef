"""Levels that a stage freezes or slows down, and trainings that end at a plateau."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from config.schema import Config
from data_utils.catalog.catalog import Catalog
from runs.history import History
from tests.fake_training import CPU, FakeLoader, fake_trainer, level_state, make_trainer, run
from train import Trainer, training_loader

MakeConfig = Callable[..., Config]


def of_level(task: Any, level: str) -> dict[str, Tensor]:
    """All tensors of a level, statistics included; the stem's are those of `space`."""
    marks = [f"levels.{level}.", f"summary_norms.{level}.", f"objectives.{level}."]
    marks += ["stem."] if level == "space" else []
    return {
        name: value.clone()
        for name, value in task.state_dict().items()
        if any(mark in name for mark in marks) and not name.startswith("teacher")
    }


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    assert before
    return [name for name in before if not torch.equal(before[name], after[name])]


@pytest.mark.parametrize("isolation", ["strict", "end2end"])
def test_a_frozen_level_keeps_its_weights_and_statistics(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], isolation: str
) -> None:
    options = ("output_batchnorm=true", "stem=cnn", "batch_size=4", f"isolation={isolation}")
    dropout = "architecture_space.dropout=0.3"
    config = tiny_config(*options, dropout, "stage_lr={space: 0}", root=tiny_catalogs["train"].root)
    trainer = make_trainer(config)
    before = {level: of_level(trainer.task, level) for level in config.groups}
    loader = training_loader(trainer.task, tiny_catalogs["train"], config)
    reports = run(trainer, loader, steps=3)
    after = {level: of_level(trainer.task, level) for level in config.groups}
    assert changed(before["space"], after["space"]) == []
    assert any("running_mean" in name for name in before["space"])
    for level in ("time", "clip"):
        assert any(name.endswith("running_mean") for name in changed(before[level], after[level]))
    assert all(set(report.loss) == {"time", "clip"} == set(report.grad_norm) for report in reports)
    # It computes as in evaluation: the same whatever is drawn.
    video = torch.randn(2, 6, 3, 16, 24)
    with torch.no_grad():
        units = [trainer.task.encoder(video)["space"] for _ in range(2)]
    assert torch.equal(*units)


def test_a_frozen_level_is_not_frozen_for_evaluation_nor_for_ever(
    tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog]
) -> None:
    config = tiny_config("stage_lr={space: 0}", root=tiny_catalogs["train"].root)
    trainer = make_trainer(config)
    run(trainer, FakeLoader((4,)))
    assert all(parameter.requires_grad for parameter in trainer.task.parameters())
    trainer.task.train()
    assert all(module.training for module in trainer.task.modules())


@pytest.mark.parametrize("single", ["true", "false"])
def test_an_optimizer_leaves_a_frozen_level_alone_whatever_it_decays(tiny_config: MakeConfig, single: str) -> None:
    config = tiny_config("stage_lr={time: 0}", f"use_single_optimizer={single}", "num_epochs=1")
    trainer, _ = fake_trainer(config, batches=3)
    before = level_state(trainer, "time"), level_state(trainer, "space")
    run(trainer, FakeLoader((4, 4, 4)))
    assert all(map(torch.equal, before[0], level_state(trainer, "time")))
    assert not all(map(torch.equal, before[1], level_state(trainer, "space")))


def test_a_slowed_level_learns_at_its_share_of_the_rate(tiny_config: MakeConfig) -> None:
    config = tiny_config("stage_lr={space: 0.1, clip: 2}", "lr_scale={space: 0.5}", "num_epochs=1")
    trainer, _ = fake_trainer(config, batches=3)
    (report,) = run(trainer, FakeLoader((4, 4, 4)), steps=1)
    rates = {group["level"]: group["lr"] for o in trainer.optimizers.values() for group in o.param_groups}
    assert rates == pytest.approx({"space": 0.05 * report.lr, "time": report.lr, "clip": 2 * report.lr})


def test_a_frozen_level_takes_no_turns(tiny_config: MakeConfig) -> None:
    config = tiny_config("stage_lr={time: 0}", "alternating_interval=34", "num_epochs=1")
    trainer, _ = fake_trainer(config, batches=3)
    reports = run(trainer, FakeLoader((4, 4, 4)))
    assert [list(report.grad_norm) for report in reports] == [["space"], ["clip"], ["space"]]


def test_the_states_of_optimizers_go_from_one_training_to_another_by_name(tiny_config: MakeConfig) -> None:
    config = tiny_config("num_epochs=1")
    old, _ = fake_trainer(config, batches=3)
    run(old, FakeLoader((4, 4, 4)))
    saved = old.state_dict()
    states = {
        name: saved["optimizers"][key]["state"][number]
        for key, names in saved["parameters"].items()
        for number, name in enumerate(names)
    }
    new, task = fake_trainer(tiny_config("num_epochs=1", "predictor.pred_aside=2"), batches=3)
    task.load_state_dict(old.task.state_dict())
    lone = "bodies.time.0.weight"
    new.take_over({name: state for name, state in states.items() if name != lone})
    for name, parameter in task.named_parameters():
        groups = [(o, group) for o in new.optimizers.values() for group in o.param_groups]
        (owner,) = (o for o, group in groups if any(parameter is p for p in group["params"]))
        if name == lone:
            assert parameter not in owner.state
        else:
            assert torch.equal(owner.state[parameter]["exp_avg"], states[name]["exp_avg"])
    assert new.step == 0


def test_a_training_without_frozen_levels_has_none(tiny_config: MakeConfig) -> None:
    trainer = make_trainer(tiny_config())
    assert isinstance(trainer, Trainer)
    assert trainer.frozen == []
    assert trainer.device == CPU


@pytest.mark.parametrize(
    ("values", "ended"),
    [
        ([1.0, 2.0, 3.0, 4.0, 5.0], None),
        ([1.0, 1.0, 1.0, 0.5], 3),
        ([5.0, 1.0, 6.0, 2.0, 3.0], 5),
        ([float("nan"), None, float("nan")], 2),
    ],
)
def test_a_plateau_is_so_many_validations_without_a_better_value(
    tiny_config: MakeConfig, values: list[float | None], ended: int | None
) -> None:
    config = tiny_config("until=plateau", "patience=2", "num_epochs=50")
    history, over = History(at_init={}), None
    for number, value in enumerate(values, start=1):
        history.watch(value)
        history = History.restored(history.state_dict(), clips=3)  # a stopped run waits on
        if over is None and history.is_over(config):
            over = number
    assert over == ended
    assert not History(at_init={}, waited=9).is_over(tiny_config("num_epochs=50"))
