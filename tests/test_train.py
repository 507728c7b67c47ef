from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from config.errors import InputError
from data_utils.views.normalise import normalise
from data_utils.views.views import make_views
from runs.precision import autocast_dtype
from runs.process.seeds import seed_everything, torch_generator
from tasks.hierarchical import HierarchicalTask
from tasks.task import Losses, StepContext
from tests.fake_training import (
    LAYOUTS,
    LEVELS,
    SGD,
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
from train import StepReport, Trainer

# --------------------------------------------------------------------------------------------------------- accumulation


@pytest.mark.parametrize("sizes", [[2, 2, 2, 2], [3, 0, 1, 4], [1, 1, 1, 5]])
@pytest.mark.parametrize("limit", ["null", "0.1"])
def test_accumulation_equals_the_large_batch(tiny_config: MakeConfig, sizes: list[int], limit: str) -> None:
    keys = (f"clip_grad_norm={limit}", SGD, "num_epochs=2")
    whole, whole_task = fake_trainer(tiny_config(*keys), 1)
    parts, parts_task = fake_trainer(tiny_config(*keys, "num_iters_grad_accum=4"), 4)
    assert whole.total_steps == parts.total_steps == 2
    for epoch in range(2):
        (expected,), (report,) = run(whole, FakeLoader([8]), epoch), run(parts, FakeLoader(sizes), epoch)
        assert (report.step, report.batch, report.windows) == (epoch + 1, 4, 8)
        for level in LEVELS:
            assert report.loss[level] == pytest.approx(expected.loss[level], rel=1e-5)
        assert report.grad_norm == pytest.approx(expected.grad_norm, rel=1e-5)
        for name, parameter in parts_task.named_parameters():
            torch.testing.assert_close(
                parameter.grad, whole_task.get_parameter(name).grad, rtol=1e-4, atol=1e-6, msg=name
            )
    final = weights(parts_task)
    for name, value in weights(whole_task).items():
        torch.testing.assert_close(final[name], value, rtol=1e-5, atol=1e-6)


def test_an_incomplete_group_ends_an_epoch(tiny_config: MakeConfig) -> None:
    trainer, task = fake_trainer(tiny_config("num_iters_grad_accum=2", "num_epochs=3"), 5)
    assert (trainer.steps_per_epoch, trainer.total_steps) == (3, 9)
    reports = run(trainer, FakeLoader([4] * 5)) + run(trainer, FakeLoader([4] * 5), epoch=1, first_batch=4)
    assert [(r.step, r.batch, r.windows) for r in reports] == [(1, 2, 8), (2, 4, 8), (3, 5, 4), (4, 5, 4)]
    assert len(task.contexts) == 6


def test_batches_of_which_nothing_could_be_read_are_passed_over(tiny_config: MakeConfig) -> None:
    trainer, _ = fake_trainer(tiny_config(), 3)
    told: list[tuple[int, str]] = []
    loader: Any = FakeLoader([4, 0, 4])
    reports = list(trainer.epoch(loader, 0, 0, told.extend))
    # A continued run begins with the batch after the one that was counted last.
    assert [(report.step, report.batch) for report in reports] == [(1, 1), (2, 3)]
    assert told == [(7, "damaged")]
    assert [report.batch for report in run(trainer, FakeLoader(), first_batch=1)] == [2, 3]

    trainer, _ = fake_trainer(tiny_config("num_iters_grad_accum=2"), 8)
    reports = run(trainer, FakeLoader([4, 0, 0, 0, 0, 3, 4, 4]))
    assert [(report.step, report.batch, report.windows) for report in reports] == [(1, 2, 4), (2, 6, 3), (3, 8, 8)]


# ------------------------------------------------------------------------------------------------------------- the step


def test_a_report_tells_what_the_step_did(tiny_config: MakeConfig) -> None:
    trainer = make_trainer(tiny_config("clip_grad_norm=null"))
    twin = make_trainer(tiny_config("clip_grad_norm=null"))
    (report,) = run(trainer, FakeLoader(), steps=1)
    assert (report.step, trainer.step, report.windows, report.skipped) == (1, 1, 4, False)
    assert report.seconds >= report.data_wait >= 0
    views = make_views(next(FakeLoader().epoch(0)), twin.task.views, twin.config, twin.config.seed, 0)
    losses = twin.task.losses(views, StepContext(torch_generator(twin.config.seed, 0, 0, 1)))
    assert report.loss == {
        level: {term: loss.item() for term, loss in terms.items()} for level, terms in losses.items()
    }
    torch.stack([loss for terms in losses.values() for loss in terms.values()]).sum().backward()
    for name, group in twin.groups.items():
        norm = torch.stack([p.grad.norm() for p in group if p.grad is not None]).norm().item()
        assert report.grad_norm[name] == pytest.approx(norm, rel=1e-5)


def test_the_task_gets_normalised_windows(tiny_config: MakeConfig) -> None:
    trainer, task = fake_trainer(tiny_config(), 3)
    run(trainer, FakeLoader(), steps=1)
    batch = next(FakeLoader().epoch(0))
    expected = normalise(batch.video_BTCHW, *trainer.config.pixels)
    assert torch.equal(task.batches[0].videos[0], expected)


@pytest.mark.parametrize("aside", [0, 2])
def test_gradients_are_clipped_level_by_level_with_their_predictors(tiny_config: MakeConfig, aside: int) -> None:
    layout = f"predictor={{pred_multiplier: 1.0, pred_aside: {aside}}}"
    free, clipped = (fake_trainer(tiny_config(layout, f"clip_grad_norm={limit}"), 3)[0] for limit in ("null", "0.3"))
    norms = run(free, FakeLoader(), steps=1)[0].grad_norm
    assert run(clipped, FakeLoader(), steps=1)[0].grad_norm == norms  # of before clipping
    assert all(norm > 0.3 for norm in norms.values())
    for name, norm in norms.items():
        for whole, cut in zip(free.groups[name], clipped.groups[name], strict=True):
            assert whole.grad is not None
            assert cut.grad is not None
            torch.testing.assert_close(cut.grad, whole.grad * 0.3 / norm, rtol=1e-4, atol=1e-9)


def test_small_gradients_are_not_clipped(tiny_config: MakeConfig) -> None:
    (free, free_task), (limited, limited_task) = (
        fake_trainer(tiny_config(f"clip_grad_norm={limit}"), 3) for limit in ("null", "1.0e+6")
    )
    run(free, FakeLoader())
    run(limited, FakeLoader())
    assert same(weights(free_task), weights(limited_task))


def test_the_task_is_told_how_far_the_training_is(tiny_config: MakeConfig) -> None:
    trainer, task = fake_trainer(tiny_config("num_epochs=2", "num_iters_grad_accum=2"), 4)
    for epoch in range(2):
        run(trainer, FakeLoader([4] * 4), epoch)
    assert [step.progress for step in task.contexts] == [0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
    assert task.followed == [0.25, 0.5, 0.75, 1]


def test_training_puts_the_task_into_training_mode(tiny_config: MakeConfig) -> None:
    trainer, task = fake_trainer(tiny_config(), 3)
    task.eval()
    run(trainer, FakeLoader(), steps=1)
    assert task.training


def test_a_level_without_any_loss_is_an_input_error(tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, task = fake_trainer(tiny_config("alternating_interval=1.0"), 3)
    patch_losses(monkeypatch, task, lambda losses: {level: losses[level] for level in losses if level != "time"})
    with pytest.raises(InputError, match=r"^step 2: there is no loss to train time with; .* loss_weights$"):
        run(trainer, FakeLoader())


# ------------------------------------------------------------------------------------------------------------ bad steps


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("layout", [LAYOUTS[0], LAYOUTS[5]])
def test_a_bad_step_moves_nothing_but_the_counter(
    tiny_config: MakeConfig, layout: tuple[str, str], level: str, value: float
) -> None:
    trainer, task = fake_trainer(tiny_config(*layout, "num_epochs=1", "num_iters_grad_accum=2"), 8)
    task.spoil = {1: {level: value}}
    steps = trainer.epoch(FakeLoader([4] * 8), 0, 0, ignore)  # type: ignore[arg-type]
    next(steps)
    before, states = weights(task), [level_state(trainer, name) for name in LEVELS]
    report = next(steps)
    assert (report.skipped, report.step, report.batch, trainer.bad_steps) == (True, 2, 4, 1)
    assert not math.isfinite(report.loss[level]["down"])
    assert same(before, weights(task))  # buffers, too
    assert all(identical(state, level_state(trainer, name)) for name, state in zip(LEVELS, states, strict=True))
    report = next(steps)
    assert (report.skipped, report.step, report.lr) == (False, 3, trainer.pace.learning_rate(2))
    assert not same(before, weights(task))
    assert task.followed == [0.25, 0.75]


def test_a_gradient_that_is_not_finite_makes_a_bad_step(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, task = fake_trainer(tiny_config("clip_grad_norm=null", "max_bad_steps=1"), 3)
    weight = trainer.groups["time"][0]

    def add_root(losses: Losses) -> Losses:
        return losses | {"time": losses["time"] | {"root": (weight.sum() * 0).sqrt()}}  # 0, of slope inf * 0

    patch_losses(monkeypatch, task, add_root)
    before = weights(task)
    with pytest.raises(InputError, match="step 1: gradient norm of time is not finite") as info:
        run(trainer, FakeLoader())
    assert "\n" not in str(info.value)
    assert same(before, weights(task))


def test_bad_steps_in_a_row_end_the_run(tiny_config: MakeConfig) -> None:
    trainer, task = fake_trainer(tiny_config("max_bad_steps=3", "num_epochs=1"), 10)
    task.spoil = {step: {"clip": math.inf} for step in (1, 2, 4, 6, 7, 8)}
    reports: list[StepReport] = []
    with pytest.raises(InputError, match=r"^step 9: loss clip\.down is not finite, in bad step 3 in a row ") as info:
        reports.extend(trainer.epoch(FakeLoader([4] * 10), 0, 0, ignore))  # type: ignore[arg-type]
    assert "(max_bad_steps=3); last.pt has the weights from before them. Start a new run with a lower" in str(
        info.value
    )
    assert "clip_grad_norm" not in str(info.value)  # it is set already, and there is no autocast on the CPU
    assert "precision" not in str(info.value)
    assert "\n" not in str(info.value)
    assert trainer.bad_steps == 6
    assert trainer.step == reports[-1].step == 9  # the last one is reported before: a checkpoint fits the reports


# ------------------------------------------------------------------------------------------------------------ precision


@pytest.mark.parametrize(
    ("use", "precision", "device", "expected"),
    [
        ("false", "float16", "cuda", None),
        ("true", "auto", "cpu", None),
        ("true", "auto", "cuda", torch.bfloat16),
        ("true", "bfloat16", "cpu", torch.bfloat16),
        ("true", "float16", "cpu", torch.float16),
    ],
)
def test_what_autocast_computes_in(
    tiny_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    use: str,
    precision: str,
    device: str,
    expected: torch.dtype | None,
) -> None:
    config = tiny_config(f"use_mixed_precision={use}", f"mixed_precision={precision}")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert autocast_dtype(config, torch.device(device)) == expected
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert autocast_dtype(config, torch.device(device)) == (None if precision == "auto" else expected)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("auto", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)]
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_precision_trains_alike(
    tiny_config: MakeConfig, precision: str, dtype: torch.dtype, layout: tuple[str, str]
) -> None:
    keys = (*layout, "alternating_interval=30.0", "num_iters_grad_accum=2", "clip_grad_norm=1.0", SGD)
    exact, exact_task = fake_trainer(tiny_config(*keys, "use_mixed_precision=false"), 8)
    trainer, task = fake_trainer(tiny_config(*keys, f"mixed_precision={precision}"), 8)
    expected, reports = run(exact, FakeLoader([4] * 8)), run(trainer, FakeLoader([4] * 8))
    assert task.dtypes == {dtype}
    for report, other in zip(reports, expected, strict=True):
        assert not report.skipped
        assert report.grad_norm == pytest.approx(other.grad_norm, rel=0.05)
    for name, value in weights(exact_task).items():
        torch.testing.assert_close(task.state_dict()[name], value, rtol=0.02, atol=0.02)


def test_float16_skips_an_overflow_and_halves_the_one_scale(tiny_config: MakeConfig) -> None:
    trainer, task = fake_trainer(tiny_config("mixed_precision=float16", *LAYOUTS[2], "num_epochs=1"), 4)
    task.spoil = {1: {"time": 1e16}}  # finite, but not after scaling
    steps = trainer.epoch(FakeLoader([4] * 4), 0, 0, ignore)  # type: ignore[arg-type]
    assert not next(steps).skipped
    scale, before = trainer.scaler.get_scale(), weights(task)
    report = next(steps)
    assert math.isfinite(report.loss["time"]["down"])
    assert report.skipped
    assert trainer.bad_steps == 1
    assert trainer.scaler.get_scale() == scale / 2
    assert same(before, weights(task))
    assert not next(steps).skipped
    assert trainer.scaler.get_scale() == scale / 2
    assert trainer.state_dict()["scaler"]["scale"] == scale / 2
    assert not same(before, weights(task))


def test_weight_decay_moves_by_half_a_cosine_where_there_is_any(tiny_config: MakeConfig) -> None:
    optimizer = "optimizer={name: adamw, lr: 0.001, weight_decay: 0.04, final_weight_decay: 0.4, betas: [0.9, 0.95]}"
    trainer, _ = fake_trainer(tiny_config(optimizer, "num_epochs=1"), 4)
    steps = trainer.epoch(FakeLoader([4] * 4), 0, 0, ignore)  # type: ignore[arg-type]
    for step in range(4):
        next(steps)
        expected = 0.4 - 0.36 * (1 + math.cos(math.pi * step / 4)) / 2
        for group in (group for each in trainer.optimizers.values() for group in each.param_groups):
            assert group["weight_decay"] == pytest.approx(expected if group["decays"] else 0.0, rel=1e-12)
    assert trainer.pace.weight_decay(4) == pytest.approx(0.4)


def test_accumulation_equals_the_large_batch_where_the_objective_knows_no_batch(tiny_config: MakeConfig) -> None:
    batches = {1: [8], 2: [4, 4]}
    states = []
    for parts, sizes in batches.items():
        config = tiny_config(
            f"num_iters_grad_accum={parts}",
            "regularizer={name: none}",
            "predictor.standardize=false",
            "target_norm=layer",
            "loss_weights={space: {side: 0}, time: {side: 0}}",  # its targets are drawn anew for every part
            "optimizer={name: sgd, lr: 0.5, weight_decay: 0.0, momentum: 0.0}",
            "clip_grad_norm=null",
        )
        seed_everything(config.seed)
        task = HierarchicalTask(config)
        trainer = Trainer(task, config, len(sizes), torch.device("cpu"))
        before = [parameter.detach().clone() for parameter in task.parameters()]
        next(trainer.epoch(FakeLoader(sizes), 0, 0, ignore))  # type: ignore[arg-type]
        states.append([now.detach() - was for now, was in zip(task.parameters(), before, strict=True)])
    assert max(step.abs().max() for step in states[0]) > 1e-3
    for large, accumulated in zip(*states, strict=True):
        torch.testing.assert_close(accumulated, large, atol=1e-6, rtol=1e-4)
