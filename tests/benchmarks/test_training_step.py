"""The table of training steps, at a size that takes no time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.step.measuring import ceiling
from benchmarks.step.published import SHARED_GRAPH, as_published
from benchmarks.step.rows import NO_GUARD, ROWS, cost_of
from benchmarks.step.sizes import config_of
from benchmarks.training_step import main
from runs.process.seeds import seed_everything
from tasks.hierarchical import HierarchicalTask

CPU = torch.device("cpu")
SLOW = {"r2plus1d_18", "mvit_v2_s", "timm_frames"}  # to import or to make


@pytest.mark.parametrize("row", [row for row in ROWS if row not in SLOW])
def test_every_row_takes_its_steps_and_is_measured(row: str) -> None:
    cost = cost_of(row, "tiny", 8, 2, 1, CPU)
    assert cost.cpu_seconds > 0
    assert cost.seconds > 0
    assert cost.flops > 1e6
    if row.startswith(("strict", "published", "end2end")):
        assert list(cost.level_seconds) == ["space", "time", "clip"]


def test_floating_point_operations_say_what_each_structure_costs() -> None:
    flops = {
        row: cost_of(row, "tiny", 4, 2, 1, CPU).flops
        for row in ("strict", "strict, checkpointing", "published", "published, one backward")
    }
    assert flops["strict"] < flops["strict, checkpointing"] < 1.5 * flops["strict"]
    assert flops["published, one backward"] < flops["published"]


@pytest.mark.parametrize("stem", [(), ("hierarchy.stem=cnn", "hierarchy.patch_size=4")])
def test_the_published_structure_computes_what_ours_does(stem: tuple[str, ...]) -> None:
    config = config_of("tiny", 4, 2, *SHARED_GRAPH, NO_GUARD, *stem, "hierarchy.time.causal_mask=true")
    seed_everything(0)
    task = HierarchicalTask(config).eval()
    video = torch.randn(2, 4, 3, 16, 24)
    with torch.no_grad():
        ours = task.hierarchy(video)
        as_published(task)
        found = task.eval().hierarchy(video)
    for level, units in ours.items():
        torch.testing.assert_close(found[level], units, atol=1e-4, rtol=1e-3)


def test_the_ceiling_is_a_rate() -> None:
    assert 1e7 < ceiling(CPU, torch.float32, 256) < 1e14


def test_the_table_comes_from_processes_and_says_why_a_row_is_missing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.jsonl"
    options = ["--size", "tiny", "--row", "s3d", "joint", "--steps", "1", "--out", str(out)]
    assert main(options) == 1  # s3d takes no fewer than 8 frames
    printed = capfd.readouterr().out
    assert "| s3d | ValueError: s3d needs 8 frames |" in printed
    s3d, joint = map(json.loads, out.read_text().splitlines())
    assert "error" in s3d
    assert (joint["frames"], joint["batch"]) == (4, 2)
    assert joint["peak_mb"] > 1
    assert main(["--row", "nothere"]) == 2
    assert capfd.readouterr().err.startswith("error: --row: no nothere; there are strict,")
