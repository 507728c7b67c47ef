"""The epochs after which a run validates."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest

from config.errors import InputError
from config.load import load_config
from config.schema import Config
from config.validation_schedule import schedule_in_words, validates_after

MakeConfig = Callable[..., Config]


def epochs(config: Config) -> list[int]:
    return [epoch for epoch in range(1, config.num_epochs + 1) if validates_after(epoch, config)]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["val_interval=1"], [1, 2, 3, 4, 5, 6, 7]),
        (["val_interval=3"], [3, 6, 7]),  # the last one always
        (["val_interval=99"], [7]),
        (["val_interval=0"], []),
        (["val_schedule=exponential"], [1, 2, 4, 7]),
        (["val_schedule=exponential", "val_interval=0"], [1, 2, 4, 7]),
        (["val_schedule=exponential", "val_factor=1"], [1, 2, 3, 4, 5, 6, 7]),
        (["val_schedule=exponential", "val_factor=100"], [1, 7]),
        (["val_schedule=exponential", "val_factor=1.5", "num_epochs=17"], [1, 2, 3, 5, 7, 11, 17]),
        (["val_schedule=exponential", "num_epochs=1"], [1]),
    ],
)
def test_the_epochs_of_a_schedule(tiny_config: MakeConfig, overrides: list[str], expected: list[int]) -> None:
    assert epochs(tiny_config("num_epochs=7", *overrides)) == expected


@pytest.mark.parametrize("factor", ["1.01", "1.1", "1.5", "2.0", "3.0", "10.0", "1000.0"])
def test_an_exponential_schedule_is_made_of_the_powers_of_its_factor(tiny_config: MakeConfig, factor: str) -> None:
    config = tiny_config("num_epochs=1100", "val_schedule=exponential", f"val_factor={factor}")
    power, exact = Fraction(1), {1100}
    while power < 1100:
        exact.add(int(power))
        power *= Fraction(factor)
    assert set(epochs(config)) == exact


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["val_interval=2"], None),
        (["val_interval=0"], "never: the last checkpoint will be taken"),
        (["val_schedule=exponential"], "after epochs 1, 2, 4, 8, 16, 20"),
        (["val_schedule=exponential", "val_factor=1.5"], "after epochs 1, 2, 3, 5, 7, 11, 17, 20"),
        (["val_schedule=exponential", "val_factor=1.1"], "after epochs 1, 2, 3, 4, 5, 6, 7, ..., 20"),
        (["val_schedule=exponential", "num_epochs=1"], "after epoch 1"),
    ],
)
def test_a_schedule_in_words(tiny_config: MakeConfig, overrides: list[str], words: str | None) -> None:
    assert schedule_in_words(tiny_config("num_epochs=20", *overrides)) == words


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("val_interval=-1", "val_interval .*at least 0, got -1"),
        ("val_factor=0.9", "val_factor .*at least 1, got 0.9"),
        ("val_schedule=never", "val_schedule .*expected 'linear' or 'exponential', got 'never'"),
        ("validate_before=1", "validate_before .*expected true or false, got 1"),
    ],
)
def test_wrong_values_are_refused(tiny_config: MakeConfig, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tiny_config(override)


def test_a_plateau_needs_validations(tiny_config: MakeConfig) -> None:
    ways = "val_interval=1 would fit, or val_schedule=exponential or until=epochs"
    with pytest.raises(InputError, match=f"until and val_interval disagree.*{ways}"):
        tiny_config("until=plateau", "val_interval=0")
    for way in ("val_interval=1", "val_schedule=exponential", "until=epochs"):
        tiny_config(*(["until=plateau", "val_interval=0"] if way != "val_interval=1" else ["until=plateau"]), way)
    with pytest.raises(InputError, match=r"curriculum\.step_1: until and val_interval disagree"):
        load_config("curriculum.yaml", ["curriculum.step_1.until=plateau", "curriculum.step_1.val_interval=0"])


def test_what_only_validations_can_do_is_told_where_there_are_none() -> None:
    alone = "evaluations.near={protocol: knn, when: [validation]}"
    given = ["strict_monitors=true", alone, "val_interval=0"]
    notes = load_config("quickstart.yaml", [*given, "validate_before=false"]).notes()
    assert [note.partition(":")[0] for note in notes] == [
        "strict_monitors ends nothing",
        "evaluations.near is never done",
    ]
    assert len(load_config("quickstart.yaml", given).notes()) == 1  # before training, it is done
    assert load_config("quickstart.yaml", [*given, "val_schedule=exponential"]).notes() == []
    stages = load_config("curriculum.yaml", ["strict_monitors=true", "curriculum.step_2.val_interval=0"])
    assert any("strict_monitors ends nothing" in note for note in stages.notes())
