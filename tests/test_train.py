from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from config.errors import InputError
from config.schema import Config
from data_utils.catalog import Catalog
from data_utils.loader import Batch, Loader
from data_utils.normalise import normalise
from runs.checkpoint import load_checkpoint, save_checkpoint
from runs.seeds import seed_everything
from tasks import build_task
from tasks.task import Losses, Task
from train import StepReport, Trainer

MakeConfig = Callable[..., Config]
CPU = torch.device("cpu")
DROPOUT = tuple(f"architecture_{level}.dropout=0.2" for level in ("space", "time", "clip"))
VICREG = "regularizer={name: vicreg, variance: 1, covariance: 1, proj_dim: 18, min_vectors: 64}"
SIGREG = "regularizer={name: sigreg, weight: 1, num_slices: 256, proj_dim: 18, min_vectors: 64}"
LEVELS = ["space", "time", "clip"]


def ignore(failed: list[tuple[int, str]]) -> None:
    assert failed == []


class FakeLoader:
    """The same noise for batches, so that a test needs no files."""

    def __init__(self, batches: int = 3, failing: int | None = None) -> None:
        self.batches, self.failing = batches, failing

    def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        for number in range(first_batch, self.batches):
            size = 0 if number == self.failing else 4
            generator = torch.Generator().manual_seed(100 * epoch + number)
            video = torch.randint(0, 256, (size, 6, 3, 16, 24), dtype=torch.uint8, generator=generator)
            failed = [] if size else [(7, "damaged")]
            yield Batch(video, torch.arange(size), torch.arange(6).expand(size, 6), failed)


def make_trainer(config: Config, catalogs: dict[str, Catalog] | None = None, total_steps: int = 12) -> Trainer:
    seed_everything(config.seed)
    train: Any = catalogs["train"] if catalogs else None  # the hierarchical task needs none
    return Trainer(build_task(config, train), config, total_steps, CPU)


def run(trainer: Trainer, loader: Any, epoch: int = 0, first_batch: int = 0, steps: int = 10**9) -> list[StepReport]:
    reports: list[StepReport] = []
    for report in trainer.epoch(loader, epoch, first_batch, ignore):
        reports.append(report)
        if len(reports) == steps:
            break
    return reports


def weights(task: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in task.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def patch_losses(monkeypatch: pytest.MonkeyPatch, task: Task, change: Callable[[Losses], Losses]) -> None:
    """Puts `change` between a task and its trainer."""
    original = task.losses
    monkeypatch.setattr(task, "losses", lambda *arguments: change(original(*arguments)))


# ------------------------------------------------------------------------------------------------- the optimizers


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


def test_an_optimizer_per_group_owns_that_groups_parameters(tiny_config: MakeConfig) -> None:
    trainer = make_trainer(tiny_config())
    assert list(trainer.optimizers) == LEVELS
    for name, optimizer in trainer.optimizers.items():
        owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
        assert owned == {id(p) for p in trainer.groups[name]}
    before = weights(trainer.task)
    run(trainer, FakeLoader(), steps=1)
    after = weights(trainer.task)
    trainer.task.load_state_dict(before)
    for level in LEVELS:  # the gradients of the step are still there
        for other in LEVELS:
            assert any(p.grad is not None for p in trainer.groups[other])
        trainer.optimizers[level].step()
        changed = {name for name, value in weights(trainer.task).items() if not torch.equal(value, before[name])}
        mine = {id(p) for p in trainer.groups[level]}
        assert changed <= {name for name, p in trainer.task.named_parameters() if id(p) in mine}
        assert changed
        trainer.task.load_state_dict(before)
    assert not same(before, after)


def test_only_the_matrices_of_linear_layers_decay(tiny_config: MakeConfig) -> None:
    config = tiny_config("optimizer.weight_decay=0.5", "optimizer.lr=0.1", "position_embedding=learned")
    trainer = make_trainer(config)
    task = trainer.task
    matrices = {f"{name}.weight" for name, module in task.named_modules() if isinstance(module, nn.Linear)}
    before = weights(task)
    for optimizer in trainer.optimizers.values():
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter)
        optimizer.step()  # with gradient 0 nothing but decay is left
    for name, parameter in task.named_parameters():
        expected = before[name] * (1 - 0.1 * 0.5) if name in matrices else before[name]
        torch.testing.assert_close(parameter.detach(), expected)
    spared = set(dict(task.named_parameters())) - matrices
    for kind in ("bias", "positions", "token", "norm", "embedding"):
        assert any(kind in name for name in spared), kind


# --------------------------------------------------------------------------------------------------- the schedule


def test_warm_up_is_linear_and_the_cosine_ends_at_final_lr(tiny_config: MakeConfig) -> None:
    config = tiny_config("optimizer.lr=0.8", "scheduler={name: cosine, warmup: 0.2, final_lr: 0.25}")
    trainer = make_trainer(config, total_steps=100)
    rates = [trainer.learning_rate(step) for step in range(101)]
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
    config = tiny_config("optimizer.lr=0.8", f"scheduler={{name: cosine, warmup: {warmup}, final_lr: 0.0}}")
    trainer = make_trainer(config, total_steps=total)
    rates = [trainer.learning_rate(step) for step in range(total)]
    assert all(0 < rate <= 0.8 + 1e-12 for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) > 0.4


def test_every_optimizer_takes_the_rate_of_its_step(tiny_config: MakeConfig) -> None:
    trainer = make_trainer(tiny_config(), total_steps=3)
    for step, report in enumerate(trainer.epoch(FakeLoader(), 0, 0, ignore)):  # type: ignore[arg-type]
        assert report.lr == trainer.learning_rate(step)
        used = {group["lr"] for optimizer in trainer.optimizers.values() for group in optimizer.param_groups}
        assert used == {report.lr}


# ------------------------------------------------------------------------------------------------------- the step


def test_a_report_tells_what_the_step_did(tiny_config: MakeConfig) -> None:
    trainer = make_trainer(tiny_config("clip_grad_norm=null"))
    twin = make_trainer(tiny_config("clip_grad_norm=null"))
    (report,) = run(trainer, FakeLoader(), steps=1)
    assert (report.step, trainer.step, report.windows) == (1, 1, 4)
    assert report.seconds >= report.data_wait >= 0
    batch = next(FakeLoader().epoch(0))
    video = normalise(batch.video_BTCHW, twin.config.mean, twin.config.std)
    losses = twin.task.losses(video, batch.row_B, batch.frames_BT, torch.Generator())
    assert report.loss == {
        level: {term: loss.item() for term, loss in terms.items()} for level, terms in losses.items()
    }
    torch.stack([loss for terms in losses.values() for loss in terms.values()]).sum().backward()
    for name, group in twin.groups.items():
        norm = torch.stack([p.grad.norm() for p in group if p.grad is not None]).norm().item()
        assert report.grad_norm[name] == pytest.approx(norm, rel=1e-5)


def test_gradients_are_clipped_group_by_group(tiny_config: MakeConfig) -> None:
    free, clipped = (make_trainer(tiny_config(f"clip_grad_norm={limit}")) for limit in ("null", "0.3"))
    norms = run(free, FakeLoader(), steps=1)[0].grad_norm
    assert run(clipped, FakeLoader(), steps=1)[0].grad_norm == norms  # of before clipping
    assert all(norm > 0.3 for norm in norms.values())
    for name, norm in norms.items():
        for whole, cut in zip(free.groups[name], clipped.groups[name], strict=True):
            assert whole.grad is not None
            assert cut.grad is not None
            torch.testing.assert_close(cut.grad, whole.grad * 0.3 / norm, rtol=1e-4, atol=1e-9)


def test_small_gradients_are_not_clipped(tiny_config: MakeConfig) -> None:
    free, limited = (make_trainer(tiny_config(f"clip_grad_norm={limit}")) for limit in ("null", "1.0e+6"))
    run(free, FakeLoader())
    run(limited, FakeLoader())
    assert same(weights(free.task), weights(limited.task))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("level", LEVELS)
def test_a_loss_that_is_not_finite_ends_the_run_before_the_step(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, level: str, value: float
) -> None:
    trainer = make_trainer(tiny_config())
    run(trainer, FakeLoader(), steps=2)
    before = {name: p.detach().clone() for name, p in trainer.task.named_parameters()}
    patch_losses(
        monkeypatch,
        trainer.task,
        lambda losses: losses | {level: losses[level] | {"down": losses[level]["down"] * value}},
    )
    with pytest.raises(InputError, match=rf"^step 3: loss {level}\.down is not finite; the weights are as they were"):
        run(trainer, FakeLoader())
    assert same(before, {name: p.detach() for name, p in trainer.task.named_parameters()})
    assert trainer.step == 2


def test_a_gradient_that_is_not_finite_ends_the_run_before_the_step(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(tiny_config("clip_grad_norm=null"))
    weight = next(iter(trainer.groups["time"]))

    def add_root(losses: Losses) -> Losses:
        return losses | {"time": losses["time"] | {"root": (weight.sum() * 0).sqrt()}}  # 0, of slope inf * 0

    patch_losses(monkeypatch, trainer.task, add_root)
    before = weights(trainer.task)
    with pytest.raises(InputError, match="step 1: gradient norm of time is not finite") as info:
        run(trainer, FakeLoader())
    assert "\n" not in str(info.value)
    after = weights(trainer.task)
    assert all(torch.equal(before[name], after[name]) for name, _ in trainer.task.named_parameters())


def test_a_batch_of_which_nothing_could_be_read_is_passed_over(tiny_config: MakeConfig) -> None:
    trainer = make_trainer(tiny_config())
    told: list[tuple[int, str]] = []
    loader: Any = FakeLoader(batches=3, failing=1)
    reports = list(trainer.epoch(loader, 0, 0, told.extend))
    # A continued run begins with the batch after the one that was counted last.
    assert [(report.step, report.batch) for report in reports] == [(1, 1), (2, 3)]
    assert told == [(7, "damaged")]
    assert [report.batch for report in run(trainer, FakeLoader(), first_batch=1)] == [2, 3]


def test_training_puts_the_task_into_training_mode(tiny_config: MakeConfig) -> None:
    trainer = make_trainer(tiny_config())
    trainer.task.eval()
    run(trainer, FakeLoader(), steps=1)
    assert trainer.task.training


# ------------------------------------------------------------------------------------------------------- repeating


@pytest.mark.parametrize("guard", [VICREG, SIGREG])
def test_equal_seeds_give_equal_bits_and_other_seeds_do_not(tiny_config: MakeConfig, guard: str) -> None:
    first, second = (make_trainer(tiny_config(guard, *DROPOUT)) for _ in range(2))
    reports = run(first, FakeLoader())
    torch.manual_seed(12345)  # what others draw meanwhile does not matter
    again = run(second, FakeLoader())
    assert [(r.loss, r.grad_norm) for r in reports] == [(r.loss, r.grad_norm) for r in again]
    assert same(weights(first.task), weights(second.task))

    third = make_trainer(tiny_config(guard, *DROPOUT))
    third.config = tiny_config(guard, *DROPOUT, "seed=4")  # the same weights, but other draws
    assert run(third, FakeLoader())[0].loss != reports[0].loss


def test_every_step_draws_anew(tiny_config: MakeConfig) -> None:
    trainer = make_trainer(tiny_config(SIGREG, *DROPOUT, "optimizer.lr=1.0e-30"))
    loader: Any = FakeLoader(batches=1)
    first, second = run(trainer, loader)[0], run(trainer, loader)[0]
    assert first.loss["space"]["down"] != second.loss["space"]["down"]  # dropout

    enough = SIGREG.replace("min_vectors: 64", "min_vectors: 8")  # so that no earlier vectors fill up
    trainer = make_trainer(tiny_config(enough, "optimizer.lr=1.0e-30"))
    first, second = run(trainer, loader)[0], run(trainer, loader)[0]
    assert first.loss["space"]["down"] == second.loss["space"]["down"]
    assert first.loss["space"]["sigreg"] != second.loss["space"]["sigreg"]  # its directions


@pytest.mark.parametrize("setting", [(VICREG,), (SIGREG,), ("task=supervised",), (VICREG, "isolation=end2end")])
@pytest.mark.parametrize("stop_after", [1, 3, 4])
def test_a_resumed_run_equals_one_that_was_never_stopped(
    tiny_config: MakeConfig,
    tiny_catalogs: dict[str, Catalog],
    tmp_path: Path,
    setting: tuple[str, ...],
    stop_after: int,
) -> None:
    config = tiny_config(*setting, *DROPOUT, root=tiny_catalogs["train"].root)
    with closing(Loader(tiny_catalogs["train"], config, training=True)) as loader:
        assert len(loader) == 3
        whole = make_trainer(config, tiny_catalogs, total_steps=6)
        expected = run(whole, loader, 0) + run(whole, loader, 1)

        part = make_trainer(config, tiny_catalogs, total_steps=6)
        epoch, batches = divmod(stop_after, 3)
        reports = [report for done in range(epoch) for report in run(part, loader, done)]
        if batches:
            reports += run(part, loader, epoch, steps=batches)
        save_checkpoint({"task": part.task.state_dict(), "trainer": part.state_dict()}, tmp_path / "last.pt")
        run(part, loader, epoch, batches)  # what came after the checkpoint is lost

    with closing(Loader(tiny_catalogs["train"], config, training=True)) as loader:
        resumed = make_trainer(config.model_copy(update={"seed": 77}), tiny_catalogs, total_steps=6)
        resumed.config = config  # its initial weights must not matter
        state = load_checkpoint(tmp_path / "last.pt")
        resumed.task.load_state_dict(state["task"])
        resumed.load_state_dict(state["trainer"])
        torch.manual_seed(999)
        reports += run(resumed, loader, epoch, batches)
        for later in range(epoch + 1, 2):
            reports += run(resumed, loader, later)

    assert [(r.step, r.loss, r.grad_norm, r.lr) for r in reports] == [
        (r.step, r.loss, r.grad_norm, r.lr) for r in expected
    ]
    assert same(weights(whole.task), weights(resumed.task))


def test_training_lowers_the_losses(tiny_config: MakeConfig) -> None:
    config = tiny_config("regularizer={name: none}", "optimizer.lr=0.01", "batch_size=4")
    trainer = make_trainer(config, total_steps=60)
    loader: Any = FakeLoader(batches=1)
    reports = [run(trainer, loader)[0] for _ in range(60)]
    for level, terms in reports[0].loss.items():
        assert reports[-1].loss[level]["down"] < 0.9 * terms["down"], level


def test_a_level_learns_at_its_own_share_of_the_learning_rate(tiny_config: MakeConfig) -> None:
    trainer = make_trainer(tiny_config("lr_scale.time=0.25"))
    (report,) = run(trainer, FakeLoader(1))
    used = {name: {group["lr"] for group in optimizer.param_groups} for name, optimizer in trainer.optimizers.items()}
    assert used == {"space": {report.lr}, "time": {0.25 * report.lr}, "clip": {report.lr}}
