from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.errors import InputError
from config.schema import Config
from runs.checkpoint import load_checkpoint, save_checkpoint
from runs.history import FREE_KEYS, History, check_same_experiment

MakeConfig = Callable[..., Config]
AT_INIT: dict[str, Any] = {"knn": {"space": {"digit": {"top1": 31.25}}}, "rank": {"space": 7.5}, "alarms": []}


def make_history() -> History:
    history = History(at_init=AT_INIT)
    for step in range(1, 6):
        history.count_step(step, step if step <= 3 else step - 3, windows=20, seconds=0.5, data_wait=0.125)
        if step == 3:
            history.end_epoch()
    return history


def test_it_counts_epochs_batches_steps_windows_and_time() -> None:
    history = make_history()
    assert (history.epoch, history.batch, history.step) == (1, 2, 5)
    assert history.speed(8) == {"windows_per_second": 40.0, "frames_per_second": 320.0, "data_wait": 0.25}


def test_a_run_without_steps_has_a_speed() -> None:
    speed = {"windows_per_second": 0.0, "frames_per_second": 0.0, "data_wait": 0.0}
    assert History(at_init={}).speed(8) == speed


def test_of_equal_scores_the_later_one_is_the_best() -> None:
    history = History(at_init={})
    found = []
    for step, score in enumerate([0.0, 40.0, 40.0, 39.0, 40.5], start=1):
        history.step = step
        found.append((history.is_best(score), history.best_score, history.best_step))
    assert found == [(True, 0.0, 1), (True, 40.0, 2), (True, 40.0, 3), (False, 40.0, 3), (True, 40.5, 5)]
    assert history.choice(None) == ("step 5, which validation scores highest (40.5 %)", True)


def test_where_scores_say_nothing_the_last_checkpoint_is_taken_and_that_is_told() -> None:
    history = History(at_init={})
    for history.step, score in ((3, 100.0), (6, 50.0), (9, 75.0)):
        assert history.is_best(score, can_choose=False)
    words = "step 9, the last one: validation cannot choose, since there are only 4 validation videos"
    assert history.choice("there are only 4 validation videos") == (words, False)


def test_a_score_that_can_rise_no_further_chooses_the_last_one_that_has_it_and_that_is_told() -> None:
    history = History(at_init={})
    found = []
    for history.step, score in ((3, 90.0), (6, 100.0), (9, 100.0), (12, 99.0)):
        found.append(history.is_best(score))
    assert found == [True, True, True, False]
    words = "step 9, the last one that validation scores 100 %, as it does 2 checkpoints: it cannot choose between them"
    assert history.choice(None) == (words, False)


def test_a_best_checkpoint_that_was_lost_after_training_is_told() -> None:
    history = History(at_init={}, step=9, best_step=9)
    words = "step 9, the last one: validation cannot choose, since the checkpoint that it chose was lost"
    assert history.choice(None) == (words, False)


def test_it_goes_through_a_checkpoint_unchanged(tmp_path: Path) -> None:
    history = make_history()
    history.is_best(41.7)
    save_checkpoint({"history": history.state_dict()}, tmp_path / "last.pt")
    restored = History.restored(load_checkpoint(tmp_path / "last.pt")["history"], clips=2)
    assert restored == history
    restored.count_step(6, 3, windows=1, seconds=0.5, data_wait=0)
    assert (history.step, restored.step) == (5, 6)


def test_a_history_of_an_older_version_is_restored() -> None:
    """It counted clips, and knew less."""
    old = {"at_init": AT_INIT, "epoch": 1, "batch": 2, "step": 5, "clips": 200, "step_seconds": 2.5, "vanished": 7}
    restored = History.restored(old, clips=2)
    assert (restored.at_init, restored.epoch, restored.batch, restored.step) == (AT_INIT, 1, 2, 5)
    assert restored.speed(8)["windows_per_second"] == 40


def test_a_state_is_a_copy() -> None:
    history = make_history()
    state = history.state_dict()
    state["at_init"]["rank"]["space"] = 0.0
    assert history.at_init == AT_INIT


def test_the_same_experiment_continues(tiny_config: MakeConfig) -> None:
    then = tiny_config().model_dump()
    now = tiny_config("resume=true", "save_path=elsewhere", "num_workers=1", "log_interval=3").model_dump()
    assert then != now
    check_same_experiment(then, now, Path("last.pt"))


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("seed=9", "seed"),
        ("task=vicreg", "task"),
        ("hierarchy.time.dim=24", "hierarchy.time.dim"),
        ("window.frequency=2", "window.frequency"),
        ("hierarchical.regularizer.variance=2", "hierarchical.regularizer.variance"),
        ("hierarchical.regularizer={name: none}", "hierarchical.regularizer.name"),
        ("hierarchical.loss_weights.clip.down=0.5", "hierarchical.loss_weights.clip.down"),
        ("batch_size=4", "batch_size"),
        ("dataset.seed=9", "dataset.seed"),
    ],
)
def test_another_experiment_is_refused(tiny_config: MakeConfig, override: str, key: str) -> None:
    then, now = tiny_config().model_dump(), tiny_config(override).model_dump()
    with pytest.raises(
        InputError, match=f"^resume=true, but {key} is .* and was .* in run/last.pt; set it back"
    ) as info:
        check_same_experiment(then, now, Path("run/last.pt"))
    assert "\n" not in str(info.value)


def test_a_key_that_one_of_both_lacks_is_not_a_difference(
    tiny_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_config().model_dump()
    lacking = copy.deepcopy(config)
    del lacking["max_bad_steps"], lacking["window"]["frequency_fps"], lacking["hierarchical"]["isolation"]
    for weights in lacking["hierarchical"]["loss_weights"].values():
        del weights["invariance"]
    check_same_experiment(lacking, config, Path("last.pt"))
    assert caplog.records == []
    with_more = copy.deepcopy(config) | {"learning": "fast"}
    with_more["window"]["colour"] = "blue"
    check_same_experiment(with_more, config, Path("last.pt"))
    assert "last.pt has window.colour, learning, which this version does not know" in caplog.text


def test_a_level_that_one_of_both_lacks_is_a_difference(tiny_config: MakeConfig) -> None:
    then = tiny_config().model_dump()
    now = copy.deepcopy(then)
    now["lr_scale"]["backbone"] = 0.5
    with pytest.raises(InputError, match=r"lr_scale is .* and was"):
        check_same_experiment(then, now, Path("last.pt"))


def test_free_keys_are_keys_of_the_config(tiny_config: MakeConfig) -> None:
    assert tiny_config().model_dump().keys() >= FREE_KEYS


def test_labels_of_levels_are_compared_in_both_of_their_forms(tiny_config: MakeConfig) -> None:
    names = "{space: digit, time: motion, clip: program}"
    for labels in (names, "{space: digit, time: motion, clip: {column: program, kind: single}}"):
        then = tiny_config(f"dataset.labels={labels}").model_dump()
        check_same_experiment(then, then, Path("last.pt"))
        other = tiny_config("dataset.labels={space: digit, time: motion, clip: motion}").model_dump()
        with pytest.raises(InputError, match=r"resume=true, but dataset\.labels is "):
            check_same_experiment(then, other, Path("last.pt"))
