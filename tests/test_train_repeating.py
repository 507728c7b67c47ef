from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from data_utils.batches.loader import Loader
from data_utils.catalog.catalog import Catalog
from runs.checkpoint import load_checkpoint, save_checkpoint
from tests.fake_training import (
    DROPOUT,
    LAYOUTS,
    LEVELS,
    SIGREG,
    VICREG,
    FakeLoader,
    MakeConfig,
    fake_trainer,
    figures,
    identical,
    level_state,
    make_trainer,
    run,
    same,
    weights,
)
from train import StepReport, Trainer


def counters(trainer: Trainer) -> tuple[int, int, int, float]:
    return trainer.step, trainer.bad_steps, trainer.bad_in_a_row, trainer.scaler.get_scale()


@pytest.mark.parametrize("precision", ["auto", "float16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_continues_exactly_from_any_step(
    tiny_config: MakeConfig, tmp_path: Path, layout: tuple[str, str], precision: str
) -> None:
    config = tiny_config(
        *layout,
        f"mixed_precision={precision}",
        "alternating_interval=60.0",  # of 3 steps: 2, so that turns cross epochs
        "num_iters_grad_accum=2",
        "num_epochs=2",
        "max_bad_steps=3",
    )
    loader: Any = FakeLoader([4, 4, 4, 0, 2])
    spoil = {2: {"time": math.inf}, 3: {"time": 1e16}}
    stops = [(0, 2), (0, 4), (0, 5), (1, 2), (1, 4), (1, 5)]  # (epoch, batch) after each step

    whole, whole_task = fake_trainer(config, 5, noise=1.0, dropout=0.3)
    whole_task.spoil = spoil
    expected: list[StepReport] = []
    counted: list[tuple[int, int, int, float]] = []
    for step, (epoch, _) in enumerate(stops):
        first = stops[step - 1][1] if step % 3 else 0
        expected += run(whole, loader, epoch, first, steps=1)
        counted.append(counters(whole))
        state = {"task": whole_task.state_dict(), "trainer": whole.state_dict()}
        save_checkpoint(state, tmp_path / f"{step + 1}.pt")
    assert [report.skipped for report in expected] == [False, False, True, precision == "float16", False, False]

    for done in range(1, 6):
        state = load_checkpoint(tmp_path / f"{done}.pt")
        trainer, task = fake_trainer(config, 5, noise=1.0, dropout=0.3)
        task.load_state_dict(state["task"])
        trainer.load_state_dict(state["trainer"])
        assert counters(trainer) == counted[done - 1]
        task.spoil = spoil
        torch.manual_seed(999)
        epoch, batch = stops[done - 1]
        reports = run(trainer, loader, epoch, batch)
        reports += run(trainer, loader, 1) if epoch == 0 else []
        assert repr(figures(reports)) == repr(figures(expected[done:]))  # nan equals nan in text
        assert same(weights(task), weights(whole_task))
        assert all(identical(level_state(trainer, name), level_state(whole, name)) for name in LEVELS)
        assert counters(trainer) == counted[-1]


def test_every_batch_of_a_step_draws_anew(tiny_config: MakeConfig) -> None:
    trainer, task = fake_trainer(tiny_config("num_iters_grad_accum=3"), 3)
    for epoch in range(2):
        run(trainer, FakeLoader(), epoch)
    again, twin = fake_trainer(tiny_config("num_iters_grad_accum=3"), 3)
    run(again, FakeLoader())
    assert len({number for pair in task.drawn for number in pair}) == 12
    assert twin.drawn == task.drawn[:3]


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


@pytest.mark.parametrize(
    "setting",
    [
        (VICREG,),
        (SIGREG, "alternating_interval=34.0", "mixed_precision=bfloat16"),
        ("task=supervised",),
        (VICREG, "isolation=end2end", "num_iters_grad_accum=2", "targets=ema"),
    ],
)
@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_resumed_run_equals_one_that_was_never_stopped(
    tiny_config: MakeConfig,
    tiny_catalogs: dict[str, Catalog],
    tmp_path: Path,
    setting: tuple[str, ...],
    stop_after: int,
) -> None:
    config = tiny_config(*setting, *DROPOUT, root=tiny_catalogs["train"].root)
    with closing(Loader(tiny_catalogs["train"], config, config.batch_size, config.seed, training=True)) as loader:
        assert len(loader) == 3
        whole = make_trainer(config, tiny_catalogs, total_steps=6)
        expected = run(whole, loader, 0) + run(whole, loader, 1)

        part = make_trainer(config, tiny_catalogs, total_steps=6)
        reports: list[StepReport] = []
        epoch = batch = 0
        while len(reports) < stop_after:
            reports += run(part, loader, epoch, batch, steps=1)
            epoch, batch = (epoch + 1, 0) if reports[-1].batch == 3 else (epoch, reports[-1].batch)
        save_checkpoint({"task": part.task.state_dict(), "trainer": part.state_dict()}, tmp_path / "last.pt")
        run(part, loader, epoch, batch)  # what came after the checkpoint is lost

    with closing(Loader(tiny_catalogs["train"], config, config.batch_size, config.seed, training=True)) as loader:
        resumed = make_trainer(config.model_copy(update={"seed": 77}), tiny_catalogs, total_steps=6)
        resumed.config = config  # its initial weights must not matter
        state = load_checkpoint(tmp_path / "last.pt")
        resumed.task.load_state_dict(state["task"])
        resumed.load_state_dict(state["trainer"])
        torch.manual_seed(999)
        reports += run(resumed, loader, epoch, batch)
        for later in range(epoch + 1, 2):
            reports += run(resumed, loader, later)

    assert figures(reports) == figures(expected)
    assert same(weights(whole.task), weights(resumed.task))


def test_training_lowers_the_losses(tiny_config: MakeConfig) -> None:
    config = tiny_config("regularizer={name: none}", "optimizer.lr=0.01", "batch_size=4")
    trainer = make_trainer(config, total_steps=60)
    loader: Any = FakeLoader([4])
    reports = [run(trainer, loader)[0] for _ in range(60)]
    for level, terms in reports[0].loss.items():
        assert reports[-1].loss[level]["down"] < 0.9 * terms["down"], level
