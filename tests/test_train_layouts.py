from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from optimizers import OPTIMIZERS
from runs.process.seeds import seed_everything
from tasks.hierarchical import HierarchicalTask
from tasks.task import Losses
from tests.fake_training import (
    LAYOUTS,
    LEVELS,
    FakeLoader,
    MakeConfig,
    fake_trainer,
    identical,
    ignore,
    level_state,
    make_trainer,
    patch_losses,
    run,
    same,
    weights,
)
from train import Trainer

# ------------------------------------------------------------------------------------------------ levels and optimizers


@pytest.mark.parametrize("level", LEVELS)
def test_the_loss_of_a_level_changes_that_level_alone(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    trainer = make_trainer(tiny_config())
    patch_losses(monkeypatch, trainer.task, lambda losses: {level: losses[level]})
    before = {name: [p.detach().clone() for p in group] for name, group in trainer.groups.items()}
    run(trainer, FakeLoader())
    for name, group in trainer.groups.items():
        unchanged = [torch.equal(old, new) for old, new in zip(before[name], group, strict=True)]
        assert not any(unchanged) if name == level else all(unchanged), name


@pytest.mark.parametrize("name", [*OPTIMIZERS, "lars"])
def test_all_layouts_of_an_optimizer_train_alike_and_rest_alike(tiny_config: MakeConfig, name: str) -> None:
    final = []
    for layout in LAYOUTS:
        beside = ", betas: [0.9, 0.95]" if name == "adamw" else ""
        optimizer = f"optimizer={{name: {name}, lr: 0.01, weight_decay: 0.1{beside}}}"
        trainer, task = fake_trainer(tiny_config(optimizer, *layout, "alternating_interval=30.0"), 6)
        earlier: dict[str, list[Tensor]] = {}
        for report in trainer.epoch(FakeLoader([4] * 6), 0, 0, ignore):  # type: ignore[arg-type]
            resting = [level for level in LEVELS if level not in report.grad_norm]
            assert resting == (["time"] if (report.step - 1) // 2 % 2 == 0 else ["space", "clip"])
            states = {level: level_state(trainer, level) for level in LEVELS}
            for level in earlier:
                assert identical(states[level], earlier[level]) == (level in resting)
            earlier = states
        final.append(weights(task))
    assert all(same(final[0], other) for other in final[1:])


def test_predictors_learn_at_their_own_rate(tiny_config: MakeConfig) -> None:
    def moved(multiplier: float, aside: int) -> list[float]:
        layout = f"predictor={{pred_multiplier: {multiplier}, pred_aside: {aside}}}"
        sgd = "optimizer={name: sgd, lr: 0.01, weight_decay: 0.0, momentum: 0.0}"
        trainer, task = fake_trainer(tiny_config(sgd, layout, "clip_grad_norm=null"), 4)
        before = weights(task)
        run(trainer, FakeLoader(), steps=1)
        after = weights(task)
        return [float((after[n] - before[n]).norm()) for n in ("bodies.time.0.weight", "predictors.time.weight")]

    body, predictor = moved(1.0, 1)
    assert moved(0.25, 0) == [body, predictor]
    for aside in (1, 2):
        assert moved(0.25, aside) == pytest.approx([body, 0.25 * predictor], rel=1e-4)


def test_a_level_learns_at_its_own_share_of_the_learning_rate(tiny_config: MakeConfig) -> None:
    trainer, _ = fake_trainer(tiny_config("lr_scale.time=0.25"), 1)
    (report,) = run(trainer, FakeLoader([4]))
    used = {name: {group["lr"] for group in optimizer.param_groups} for name, optimizer in trainer.optimizers.items()}
    assert used == {"space": {report.lr}, "time": {0.25 * report.lr}, "clip": {report.lr}}


# --------------------------------------------------------------------------------------------------------- the schedule


def test_warm_up_is_linear_and_the_cosine_ends_at_final_lr(tiny_config: MakeConfig) -> None:
    config = tiny_config("optimizer.lr=0.8", "scheduler={name: cosine, warmup: 0.2, final_lr: 0.25}", "num_epochs=2")
    trainer, _ = fake_trainer(config, 50)
    rates = [trainer.pace.learning_rate(step) for step in range(101)]
    assert rates[0] > 0
    for step in range(20):
        assert rates[step] == pytest.approx((step + 1) * rates[0])
    assert rates[19] < rates[20] == pytest.approx(0.8) == max(rates)
    for step in range(20, 101):
        cosine = 0.5 * (1 + math.cos(math.pi * (step - 20) / 80))
        assert rates[step] == pytest.approx(0.8 * (0.25 + 0.75 * cosine))
    assert rates[100] == pytest.approx(0.2)


@pytest.mark.parametrize("warmup", [0.0, 0.001, 0.1, 0.35, 0.99])
@pytest.mark.parametrize("total", [1, 2, 7, 100])
def test_no_schedule_has_a_useless_or_a_wild_step(tiny_config: MakeConfig, warmup: float, total: int) -> None:
    scheduler = f"scheduler={{name: cosine, warmup: {warmup}, final_lr: 0.0}}"
    trainer, _ = fake_trainer(tiny_config("optimizer.lr=0.8", scheduler, "num_epochs=1"), total)
    rates = [trainer.pace.learning_rate(step) for step in range(total)]
    assert all(0 < rate <= 0.8 + 1e-12 for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) > 0.4


# ------------------------------------------------------------------------------------------------------------ the turns


@pytest.mark.parametrize("always", ["false", "true"])
@pytest.mark.parametrize("freeze", ["false", "true"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_levels_take_turns(tiny_config: MakeConfig, layout: tuple[str, str], freeze: str, always: str) -> None:
    config = tiny_config(
        *layout,
        f"explicit_freeze={freeze}",
        f"always_compute_loss={always}",
        "alternating_interval=40.0",  # of 5 steps: 2
        "lr_scale={space: 1.0, time: 0.5, clip: 2.0}",
        "predictor.pred_multiplier=3.0",
        "num_epochs=2",
    )
    trainer, task = fake_trainer(config, 5)

    def rate(done: int, total: int) -> float:  # of a level that trains in `total` steps: a quarter of them warm up
        if done == 0:
            return 0.001 / 2
        return 0.001 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (done - 1) / (total - 1))))

    turns = [0, 0, 1, 1, 0, 0, 1, 1, 0, 0]
    done = [0, 0]
    for epoch in range(2):
        steps = trainer.epoch(FakeLoader([4] * 5), epoch, 0, ignore)  # type: ignore[arg-type]
        for _ in range(5):
            before = {level: level_state(trainer, level) for level in LEVELS}
            old_rates = [group["lr"] for o in trainer.optimizers.values() for group in o.param_groups]
            turn = turns[trainer.step]
            report = next(steps)
            active = [["space", "clip"], ["time"]][turn]
            lr = rate(done[turn], [6, 4][turn])
            done[turn] += 1
            assert report.lr == pytest.approx(lr, rel=1e-9)
            assert list(report.grad_norm) == active
            assert list(report.loss) == (LEVELS if always == "true" else active)
            passes = 2 if always == "true" else 1  # the second one is for the resting levels
            assert task.contexts[-passes].levels == frozenset(active)
            assert task.contexts[-1].levels == frozenset(active if passes == 1 else set(LEVELS) - set(active))
            assert task.thawed[-passes] == (active if freeze == "true" else LEVELS)
            assert all(parameter.requires_grad for parameter in task.parameters())
            for level in LEVELS:
                after = level_state(trainer, level)
                if level in active:
                    assert not any(torch.equal(a, b) for a, b in zip(before[level], after, strict=False))
                else:
                    assert identical(before[level], after)
            groups = [group for o in trainer.optimizers.values() for group in o.param_groups]
            for old, group in zip(old_rates, groups, strict=True):
                assert group["lr"] == (report.lr * group["lr_share"] if group["level"] in active else old)
        assert next(steps, None) is None
    assert done == [6, 4]


def test_a_loss_that_is_only_logged_moves_nothing_and_spoils_nothing(tiny_config: MakeConfig) -> None:
    config = tiny_config("always_compute_loss=true", "alternating_interval=50.0", "num_epochs=1")
    trainer, task = fake_trainer(config, 4)
    twin, twin_task = fake_trainer(config, 4)
    task.spoil = {0: {"time": math.nan}}
    (report,), (twin_report,) = run(trainer, FakeLoader(), steps=1), run(twin, FakeLoader(), steps=1)
    assert math.isnan(report.loss["time"]["down"])
    assert not report.skipped
    assert report.grad_norm == twin_report.grad_norm
    assert same(weights(task), weights(twin_task))


def test_a_level_that_never_gets_a_turn_is_announced(tiny_config: MakeConfig, caplog: pytest.LogCaptureFixture) -> None:
    fake_trainer(tiny_config("alternating_interval=100.0", "num_epochs=1"), 4)
    assert "alternating_interval: time never trains in 4 steps" in caplog.text


def test_an_error_in_a_frozen_step_leaves_nothing_frozen(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, task = fake_trainer(tiny_config("explicit_freeze=true", "alternating_interval=50.0"), 4)

    def fail(losses: Losses) -> Losses:
        raise KeyError

    patch_losses(monkeypatch, task, fail)
    with pytest.raises(KeyError):
        run(trainer, FakeLoader())
    assert task.thawed == [["space", "clip"]]
    assert all(parameter.requires_grad for parameter in task.parameters())


@pytest.mark.parametrize("options", [(), ("loss_fn=ce", "loss_params={centre_momentum: 0.9}")])
def test_logging_the_losses_of_resting_levels_changes_nothing(
    tiny_config: MakeConfig, options: tuple[str, ...]
) -> None:
    states = []
    for always in ("true", "false"):
        config = tiny_config(
            "alternating_interval=50.0", f"always_compute_loss={always}", "output_batchnorm=true", *options
        )
        seed_everything(config.seed)
        task = HierarchicalTask(config)
        reports = list(Trainer(task, config, 4, torch.device("cpu")).epoch(FakeLoader([4] * 4), 0, 0, ignore))  # type: ignore[arg-type]
        assert all(list(report.loss) == LEVELS for report in reports) == (always == "true")
        states.append(task.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
