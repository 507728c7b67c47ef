from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.schema import Config
from data_utils.batches.plan import Plan
from data_utils.catalog.annotations.classes import UNKNOWN, LabelSet
from data_utils.catalog.catalog import Catalog
from runs.reporting.plan_of_steps import tell_plan


def catalogs(frames: int, **videos: int) -> dict[str, Catalog]:
    made = {}
    for split, count in videos.items():
        table = pd.DataFrame({"path": [f"{n}.mp4" for n in range(count)], "frames": frames, "fps": 25.0})
        table["group"] = [f"p{n % 3}" for n in range(count)]
        labels = LabelSet("label", ["a", "b"], np.arange(count)[:, None] % 2)
        made[split] = Catalog(split, Path("nowhere"), table, {"label": labels}, count)
    return made


def told(
    config: Config, splits: dict[str, Catalog], caplog: pytest.LogCaptureFixture, steps: int | None = None
) -> list[str]:
    plan = Plan(splits["train"], config, config.batch_size, config.seed, training=True)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        tell_plan(splits, config, plan.num_windows, len(plan) if steps is None else steps)
    return caplog.messages


def test_what_there_is_and_what_it_amounts_to(
    tiny_config: Callable[..., Config], caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_config("batch_size=64", "num_epochs=3")
    lines = told(config, catalogs(6, train=93, val=400, test=400), caplog)
    assert lines[0] == (
        "plan: 93 training videos, 93 windows and 1 step an epoch (29 windows of each are left over); 3 epochs: "
        "3 steps in all, 192 windows seen"
    )
    assert lines[1] == "few steps: 3 in all; num_epochs=100 gives 100"
    assert "val is small (400 videos of 3 groups)" in lines[2]
    assert "test is small (400 videos of 3 groups)" in lines[3]


def test_enough_is_no_warning(tiny_config: Callable[..., Config], caplog: pytest.LogCaptureFixture) -> None:
    splits = catalogs(6, train=640, val=400, test=400)
    for catalog in splits.values():
        del catalog.table["group"]
    lines = told(tiny_config("batch_size=64", "num_epochs=10"), splits, caplog)
    assert lines == [
        "plan: 640 training videos, 640 windows and 10 steps an epoch; 10 epochs: 100 steps in all, 6400 windows seen"
    ]


def test_what_is_advised_is_enough(tiny_config: Callable[..., Config], caplog: pytest.LogCaptureFixture) -> None:
    splits = catalogs(50, train=40, val=400, test=400)
    config = tiny_config("batch_size=8", "num_epochs=3")
    warning = told(config, splits, caplog)[1]
    match = re.fullmatch(
        r"few steps: 15 in all; num_epochs=(\d+) gives (\d+) or window\.max_seq_per_video=(\d+) takes (\d+) windows an "
        "epoch from the same videos",
        warning,
    )
    assert match
    epochs, steps, each, windows = map(int, match.groups())
    assert not any(
        "few steps" in line for line in told(tiny_config("batch_size=8", f"num_epochs={epochs}"), splits, caplog)
    )
    assert steps == epochs * 5
    more = tiny_config("batch_size=8", f"window.max_seq_per_video={each}")
    assert Plan(splits["train"], more, more.batch_size, more.seed, training=True).num_windows == windows > 40


def test_videos_without_labels_are_not_counted_as_scored(
    tiny_config: Callable[..., Config], caplog: pytest.LogCaptureFixture
) -> None:
    splits = catalogs(6, train=6400, val=400, test=400)
    splits["test"].labels["label"].values[20:] = UNKNOWN
    splits["test"].table["group"] = [f"p{n}" for n in range(400)]
    lines = told(tiny_config(), splits, caplog)
    assert any("test is small (20 videos of 20 groups)" in line for line in lines)


def test_steps_of_several_batches(tiny_config: Callable[..., Config], caplog: pytest.LogCaptureFixture) -> None:
    config = tiny_config("batch_size=8", "num_iters_grad_accum=3", "num_epochs=2")
    lines = told(config, catalogs(6, train=80, val=400, test=400), caplog, steps=4)
    assert lines[0].startswith("plan: 80 training videos, 80 windows and 4 steps an epoch; 2 epochs: 8 steps in all")


def test_copies_and_the_rule_of_the_learning_rate_are_told(
    tiny_config: Callable[..., Config], caplog: pytest.LogCaptureFixture
) -> None:
    splits = catalogs(6, train=640, val=400, test=400)
    masked = tiny_config("task=masked", "masked.repeats=4", "optimizer.base_lr=0.016", "num_epochs=50")
    lines = "\n".join(told(masked, splits, caplog))
    assert "each window is seen 4 times in its step" in lines
    assert "an epoch reads every window once, and a step has 32 clips" in lines
    assert "optimizer.base_lr 0.016 x 32 clips of a step / 256 = 0.002; optimizer.lr counts for nothing" in lines
    plain = "\n".join(told(tiny_config("num_epochs=50"), splits, caplog))
    assert "copies" not in plain
    assert "base_lr" not in plain


def test_further_datasets_are_named(tiny_config: Callable[..., Config], caplog: pytest.LogCaptureFixture) -> None:
    config = tiny_config("datasets={b: {data: {dataset: {name: catalog, root: nowhere}}, repeat: 0.5}}")
    splits = catalogs(40, train=40, val=20, test=20)
    splits["train"] = replace(splits["train"], further={"b": catalogs(40, train=7)["train"]})
    assert "datasets.b: 7 training videos more, taken 0.5 times an epoch" in told(config, splits, caplog)
