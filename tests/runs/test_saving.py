"""What is saved when, what stays, and what a full disk costs: nothing, once it has room again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import runs.checkpoint
from config.checkpoints import CheckpointSettings
from runs.checkpoint import load_checkpoint
from runs.folder import RunFolder
from runs.history import History
from runs.process.atomic import UnwritableError
from runs.saving import Saver
from tests.full_disk import files_limited_to


class Course:
    """A run that takes steps and saves, without a model: its weights are the number of its step."""

    def __init__(self, folder: Path, continued: Path | None = None, **settings: Any) -> None:
        self.run = RunFolder(folder / "run")
        self.run.checkpoints.mkdir(parents=True, exist_ok=True)
        self.history = History(at_init={}, run="mine")
        self.weight = torch.zeros(50_000)
        config = SimpleNamespace(checkpoint=CheckpointSettings(**settings), model_dump=lambda: {})
        task: Any = SimpleNamespace(state_dict=lambda: {"weight": self.weight})
        self.trainer: Any = SimpleNamespace(step=0, bad_steps=0, state_dict=lambda: {}, roll_back=lambda: True)
        lock: Any = SimpleNamespace(check=lambda: None)
        facts: dict[str, Any] = {"written_by": {}, "data": {}}
        self.saver = Saver(self.run, lock, config, task, self.trainer, self.history, facts, continued)  # type: ignore[arg-type]

    def step(self, number: int) -> None:
        self.history.step = self.trainer.step = number
        self.weight.fill_(number)

    def steps(self) -> dict[str, int]:
        """By file, the step that its weights are of; its history says the same."""
        found = {}
        for path in sorted(self.run.checkpoints.iterdir()):
            content = load_checkpoint(path)
            assert content["history"]["step"] == content["task"]["weight"][0]
            found[path.name] = content["history"]["step"]
        return found


def test_the_checkpoint_before_the_last_one_stays(tmp_path: Path) -> None:
    course = Course(tmp_path)
    for number in (0, 3, 3, 6):  # the same step again takes the place of itself
        course.step(number)
        course.saver.save_last()
    assert course.steps() == {"last.pt": 6, "last_3.pt": 3}


@pytest.mark.parametrize(("keep", "left"), [(1, {}), (4, {"last_6.pt": 6, "last_3.pt": 3, "last_0.pt": 0})])
def test_as_many_stay_as_are_asked_for(tmp_path: Path, keep: int, left: dict[str, int]) -> None:
    course = Course(tmp_path, keep_last=keep)
    for number in (0, 3, 6, 9):
        course.step(number)
        course.saver.save_last()
    assert course.steps() == {"last.pt": 9} | left


def test_a_file_system_without_links_keeps_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_paths: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    test_the_checkpoint_before_the_last_one_stays(tmp_path)


def test_a_damaged_last_checkpoint_is_not_kept_as_if_it_were_good(tmp_path: Path) -> None:
    course = Course(tmp_path, keep_last=3)
    for number in (0, 3, 6):
        course.step(number)
        course.saver.save_last()
    course.run.last.write_bytes(b"damaged")
    again = Course(tmp_path, course.run.checkpoints / "last_3.pt", keep_last=3)
    again.step(4)
    again.saver.save_last()
    assert again.steps() == {"last.pt": 4, "last_3.pt": 3, "last_0.pt": 0}


def test_every_so_many_steps(tmp_path: Path) -> None:
    course = Course(tmp_path, every_steps=3, every_minutes=None, keep_last=9)
    course.saver.save_last()
    for number in range(1, 9):
        course.step(number)
        course.saver.save_if_due()
    assert sorted(course.steps().values()) == [0, 3, 6]


def test_an_interruption_moves_no_later_save(tmp_path: Path) -> None:
    course = Course(tmp_path, every_steps=3, every_minutes=None, keep_last=2)
    for number in range(1, 10):
        course.step(number)
        course.saver.save_if_due()
        if number == 5:
            course.saver.save_last(must=True)
            course = Course(tmp_path, course.run.last, every_steps=3, every_minutes=None, keep_last=2)
            course.step(number)
    assert course.steps() == {"last.pt": 9, "last_6.pt": 6}


def test_every_so_many_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("runs.saving.monotonic", lambda: now)
    course = Course(tmp_path, every_minutes=2.0, keep_last=9)
    course.saver.save_last()
    for number in range(1, 9):
        now += 50
        course.step(number)
        course.saver.save_if_due()
    assert sorted(course.steps().values()) == [0, 3, 6]


SCORES = [30.0, 50.0, 40.0, 50.0, 20.0]


@pytest.mark.parametrize(
    ("keep", "left"),
    [(1, {"best.pt": 4}), (3, {"best.pt": 4, "best_2.pt": 2, "best_3.pt": 3}), (2, {"best.pt": 4, "best_2.pt": 2})],
)
def test_the_best_by_score_stay(tmp_path: Path, keep: int, left: dict[str, int]) -> None:
    course = Course(tmp_path, keep_best=keep)
    for number, score in enumerate(SCORES, start=1):
        course.step(number)
        course.saver.save_among_best(score, can_choose=True)
    assert course.steps() == left
    assert [step for _, step in course.history.runners_up] == [2, 3][: keep - 1]


def full_for_a_while(course: Course, work: Callable[[], None]) -> None:
    with files_limited_to(20_000):
        work()


def test_a_full_disk_costs_nothing_once_it_has_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    course = Course(tmp_path, keep_best=2)
    course.saver.save_last()
    course.step(1)
    course.saver.save_among_best(10, can_choose=True)
    course.saver.save_last()

    def two_validations() -> None:
        for number, score in ((2, 40), (3, 30)):
            course.step(number)
            course.saver.save_among_best(score, can_choose=True)
            course.saver.save_last()

    full_for_a_while(course, two_validations)
    assert course.steps()["last.pt"] == 1  # and so it fits best.pt, which is of step 1
    assert course.steps()["best.pt"] == 1
    assert "cannot write" in caplog.text
    assert "File too large; free the disk" in caplog.text
    assert "the run goes on, and tries again with the next checkpoint" in caplog.text
    course.step(4)
    course.saver.save_last()
    assert course.steps() == {"best.pt": 2, "best_3.pt": 3, "last.pt": 4, "last_1.pt": 1}


def test_a_full_disk_at_the_end_is_an_error_and_the_checkpoint_before_is_whole(tmp_path: Path) -> None:
    course = Course(tmp_path)
    course.saver.save_last()
    course.step(1)
    with files_limited_to(20_000), pytest.raises(UnwritableError, match=r"cannot write .*last\.pt: File too large"):
        course.saver.save_last(must=True)
    assert course.steps()["last.pt"] == 0
    assert not [path for path in course.run.checkpoints.iterdir() if path.name.endswith(".tmp")]


def test_what_the_disk_gives_back_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    course = Course(tmp_path)
    course.saver.save_last()
    read_back = runs.checkpoint._read_back

    def changed(written: Path, digest: str, path: Path) -> None:
        content = bytearray(written.read_bytes())
        content[1000] ^= 1
        written.write_bytes(content)
        read_back(written, digest, path)

    monkeypatch.setattr(runs.checkpoint, "_read_back", changed)
    course.step(1)
    with pytest.raises(UnwritableError, match="reading it back gives something else than was written"):
        course.saver.save_last(must=True)
    assert course.steps()["last.pt"] == 0
