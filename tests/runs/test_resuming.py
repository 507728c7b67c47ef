"""What a resumed run needs is looked at before it starts, and what the messages advise works."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from config.errors import InputError
from runs.checkpoint import save_checkpoint
from runs.folder import RunFolder
from runs.history import History
from runs.kept_checkpoints import numbered
from runs.resuming import load_weights_of, read_best, read_checkpoints
from runs.written_by import FORMAT

CONFIG = {"seed": 1, "batch_size": 8}


def make_state(step: int, **changes: Any) -> dict[str, Any]:
    history = History(at_init={}, run="mine", step=step, epoch=1, best_score=40.0, best_step=4)
    state = {
        "task": {"weight": torch.full((500,), step)},
        "trainer": {"step": step},
        "history": history.state_dict(),
        "config": CONFIG,
        "run": "mine",
    }
    return state | changes


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run whose last checkpoint is of step 6, and whose best one is of step 4."""
    folder = RunFolder.open(tmp_path, "run", resume=False)
    save_checkpoint(make_state(6), folder.last)
    save_checkpoint(make_state(4), folder.best)
    folder.metrics.write_text('{"kind": "step", "step": 1}\n{"kind": "step", "step": 2}\n')
    return folder


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def nothing_in_it(path: Path) -> None:
    torch.save({}, path)


def weights_alone(path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, path)


def a_list(path: Path) -> None:
    torch.save([1, 2], path)


def a_picture(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE = [empty, flip, nothing_in_it, weights_alone, a_list, a_picture]


def test_a_whole_run_is_read(run: RunFolder) -> None:
    state = read_checkpoints(run, [CONFIG])
    assert state["history"]["step"] == 6
    assert state["history"]["best_score"] == 40


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_last_checkpoint_is_refused_and_the_advice_works(
    run: RunFolder, damage: Callable[[Path], None]
) -> None:
    damage(run.last)
    with pytest.raises(InputError, match=r"last\.pt") as error:
        read_checkpoints(run, [CONFIG])
    assert f"copy {run.best} over it: then resume=true continues from step 4" in str(error.value)
    shutil.copy(run.best, run.last)
    assert read_checkpoints(run, [CONFIG])["history"]["step"] == 4


def test_where_both_are_damaged_there_is_nothing_to_continue(run: RunFolder) -> None:
    flip(run.last)
    flip(run.best)
    with pytest.raises(
        InputError, match=r"is damaged, or is none; so is best\.pt: start anew under another model_name"
    ):
        read_checkpoints(run, [CONFIG])


@pytest.mark.parametrize("damage", [*DAMAGE, a_pipe])
def test_a_damaged_best_checkpoint_is_refused_and_the_advice_works(
    run: RunFolder, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    damage(run.best)
    advice = r"best\.pt.*; remove it: then resume=true continues"
    with pytest.raises(InputError, match=advice):
        read_checkpoints(run, [CONFIG])
    with pytest.raises(InputError, match=advice):
        read_best(run)
    run.best.unlink()
    state = read_checkpoints(run, [CONFIG])
    assert state["history"]["step"] == 6
    assert state["history"]["best_score"] is None
    assert f"{run.best} is missing: the best checkpoint so far (step 4) is lost" in caplog.text


@pytest.mark.parametrize("damage", [*DAMAGE, Path.unlink])
def test_a_damaged_last_checkpoint_falls_back_to_the_one_before(
    run: RunFolder, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2, 5):
        save_checkpoint(make_state(step), numbered(run.last, step))
    assert read_checkpoints(run, [CONFIG])["path"] == run.last
    damage(run.last)
    flip(numbered(run.last, 5))
    state = read_checkpoints(run, [CONFIG])
    assert (state["path"], state["history"]["step"]) == (run.checkpoints / "last_2.pt", 2)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{'checkpoint ' if 'checkpoint /' in caplog.text else ''}{run.last} ")
    assert caplog.messages[0].endswith(": going on from step 2, which last_2.pt holds")
    for step in (1, 2):
        flip(numbered(run.last, step))
    with pytest.raises(InputError, match="; so are the 3 before it; copy"):
        read_checkpoints(run, [CONFIG])


def test_a_checkpoint_of_a_newer_version_is_told_as_that(run: RunFolder) -> None:
    save_checkpoint(make_state(5), numbered(run.last, 5))
    save_checkpoint(make_state(6, written_by={"format": FORMAT + 1, "commit": "0123456789abcdef"}), run.last)
    words = rf"written by a newer version of this program \(commit 0123456789ab\): its format is {FORMAT + 1}, and this"
    with pytest.raises(InputError, match=words):
        read_checkpoints(run, [CONFIG])


def test_another_torch_is_told_and_goes_on(run: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    save_checkpoint(make_state(6, written_by={"format": FORMAT, "torch": str(torch.__version__)}), run.last)
    read_checkpoints(run, [CONFIG])
    assert not caplog.messages
    save_checkpoint(make_state(6, written_by={"format": FORMAT, "torch": "1.0"}), run.last)
    assert read_checkpoints(run, [CONFIG])["history"]["step"] == 6
    assert "was written with torch 1.0, and this is" in caplog.text


def test_the_best_one_of_before_is_back_where_it_was_kept(run: RunFolder) -> None:
    """A process was killed between best.pt and last.pt."""
    save_checkpoint(make_state(9), run.best)
    save_checkpoint(make_state(4), numbered(run.best, 4))
    assert read_checkpoints(run, [CONFIG])["history"]["best_score"] == 40
    assert read_best(run)["history"]["step"] == 4


def test_a_best_checkpoint_of_another_run_is_refused(run: RunFolder) -> None:
    save_checkpoint(make_state(4, run="another"), run.best)
    with pytest.raises(InputError, match=r"best\.pt is of another run than last\.pt; remove it"):
        read_checkpoints(run, [CONFIG])
    save_checkpoint(make_state(4, task={"weight": torch.zeros(3)}), run.best)
    with pytest.raises(InputError, match=r"best\.pt is of another run than last\.pt; remove it"):
        read_checkpoints(run, [CONFIG])


def test_a_best_checkpoint_of_steps_that_are_done_again_does_not_count(run: RunFolder) -> None:
    """A process was killed between the two saves."""
    save_checkpoint(make_state(9), run.best)
    assert read_checkpoints(run, [CONFIG])["history"]["best_score"] is None


def test_a_run_without_a_validation_yet_needs_no_best_checkpoint(run: RunFolder) -> None:
    run.best.unlink()
    history = History(at_init={}, run="mine", step=2).state_dict()
    save_checkpoint(make_state(2, history=history), run.last)
    assert read_checkpoints(run, [CONFIG])["history"]["step"] == 2


def test_a_run_of_an_older_version_is_read(run: RunFolder) -> None:
    for path, step in ((run.last, 6), (run.best, 4)):
        state = make_state(step)
        del state["run"], state["history"]["run"], state["history"]["full_scores"]
        torch.save(state, path)
    assert read_checkpoints(run, [CONFIG])["history"]["best_score"] == 40


def test_another_experiment_and_damaged_metrics_are_refused(run: RunFolder) -> None:
    with pytest.raises(InputError, match="batch_size is 16 and was 8"):
        read_checkpoints(run, [CONFIG | {"batch_size": 16}])
    run.metrics.write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(InputError, match=r"line 2 is damaged .*; remove that line"):
        read_checkpoints(run, [CONFIG])
    run.metrics.write_text('{"step": 1}\n{"step": 3}\n')
    read_checkpoints(run, [CONFIG])


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    load_weights_of({"task": model.state_dict()}, model, tmp_path / "last.pt")
    for other in (torch.nn.Linear(3, 4), torch.nn.Linear(3, 2, bias=False)):
        with pytest.raises(InputError, match=r"the weights in .*last\.pt are not those of this model"):
            load_weights_of({"task": other.state_dict()}, model, tmp_path / "last.pt")
