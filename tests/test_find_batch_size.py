"""The batch that fits: found by real steps, put into the run's config, and taken up again by a resumed run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch

import find_batch_size
from config.load import load_config
from config.schema import Config
from find_batch_size import Trials, largest
from parallel.group import Group
from tasks.hierarchical import HierarchicalTask
from tests.short_runs import ShortRuns, same

CPU = torch.device("cpu")


@pytest.fixture
def runs(
    tmp_path: Path, tiny_dataset: Path, tiny_config: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> ShortRuns:
    return ShortRuns.of(tmp_path, tiny_config, tiny_dataset, capsys)


def test_the_largest_size_that_fits_is_found() -> None:
    for limit in [0, 1, 2, 3, 7, 8, 9, 31, 100, 1000, 1023, 1024, 5000]:
        for start in (1, 8, 33, 4096):
            for most in (1, 24, 1000, 4096):
                tried: list[int] = []

                def fits(size: int, limit: int = limit, tried: list[int] = tried) -> bool:
                    tried.append(size)
                    return size <= limit

                found, best = largest(fits, start, most), min(limit, most)
                assert found <= best
                assert best - found <= max(0, best // 16)
                assert len(set(tried)) == len(tried) <= 20
                assert max(tried) <= most


def limited(monkeypatch: pytest.MonkeyPatch, most: int, refuse: Callable[[], Any]) -> list[int]:
    """Lets a step with more than `most` windows fail as a device does; the sizes that are tried."""
    losses, sizes = HierarchicalTask.losses_by_level, []

    def with_limit(self: HierarchicalTask, batch: Any, *others: Any) -> Any:
        sizes.append(len(batch.rows_B))
        if len(batch.rows_B) > most:
            refuse()
        return losses(self, batch, *others)

    monkeypatch.setattr(HierarchicalTask, "losses_by_level", with_limit)
    return sizes


def no_memory_on_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory.")


def no_memory() -> None:
    torch.empty(1 << 60, dtype=torch.uint8)


def test_a_run_trains_with_what_fits(runs: ShortRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = limited(monkeypatch, 11, no_memory)
    assert runs("found", "find_batch_size=true", "num_epochs=2", "architecture_time.dropout=0.1") == 0
    assert "find_batch_size: 16 windows do not fit" in runs.out
    assert "find_batch_size: batch_size=11 (" in runs.out
    assert sizes[-5:] == [11] * 5  # the last trial, and two steps of each epoch
    kept = load_config(str(runs.run("found").config))
    assert kept.config.batch_size == 11
    assert re.search(r"^batch_size: 11 +# find_batch_size$", runs.run("found").config.read_text(), re.MULTILINE)
    # The trials change nothing: a run that is given this size ends with the same weights.
    assert runs("given", "batch_size=11", "num_epochs=2", "architecture_time.dropout=0.1") == 0
    assert same(runs.weights("found"), runs.weights("given"))

    tried = len(sizes)
    assert runs("found", "find_batch_size=true", "num_epochs=3", "resume=true", "architecture_time.dropout=0.1") == 0
    assert sizes[tried:] == [11, 11]
    assert load_config(str(runs.run("found").config)).config.batch_size == 11


def test_where_not_even_one_window_fits(runs: ShortRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = limited(monkeypatch, 0, no_memory_on_a_gpu)
    assert runs("none", "find_batch_size=true") == 2
    assert sizes == [8, 4, 2, 1]
    assert "does not take a step with a single window; a smaller frame_size or window.length" in runs.err
    assert not runs.run("none").root.exists()


def test_other_errors_are_not_taken_for_a_lack_of_memory(runs: ShortRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a fault of the program")

    limited(monkeypatch, 0, fail)
    with pytest.raises(ZeroDivisionError):
        runs("fault", "find_batch_size=true")


class Measured(Trials):
    """Trials whose steps take a known number of bytes."""

    def _step(self, size: int) -> int:
        self.stepped.append(size)
        return 100 + 10 * size

    stepped: list[int]


def test_on_a_cpu_nothing_is_tried_that_cannot_fit(
    tiny_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    # 80 % of it are 1,000 bytes: 90 windows.
    monkeypatch.setattr(find_batch_size, "free_memory", lambda _: 1250)
    trials = Measured(cast("Any", None), tiny_config(), cast("Any", None), 1000, CPU)
    trials.stepped = []
    assert 85 <= largest(trials.fits, 8, trials.most) <= 90
    assert all(size <= 90 for size in trials.stepped)


def test_of_several_processes_each_has_a_share(
    runs: ShortRuns, monkeypatch: pytest.MonkeyPatch, tiny_config: Callable[..., Config]
) -> None:
    several = Group()
    several.size = 2
    monkeypatch.setattr(find_batch_size, "joined", lambda: several)
    sizes = limited(monkeypatch, 5, no_memory)
    assert runs("shares", "find_batch_size=true") == 1  # there is only this process, for which 10 windows are too many
    assert sizes == [4, 4, 8, 6, 5, 5, 10]  # from half of the batch on
    assert "batch_size=10 (" in runs.out
    assert load_config(str(runs.run("shares").config)).config.batch_size == 10
    monkeypatch.setattr(find_batch_size, "free_memory", lambda _: 1000)
    assert Trials(cast("Any", None), tiny_config(), cast("Any", None), 1000, CPU, processes=2).limit == 400
