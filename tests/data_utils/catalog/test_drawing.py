from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from config.errors import InputError
from data_utils.catalog.drawing import by_group, rows_of, within_classes


def test_shares_hold_within_each_class() -> None:
    labels = ["b"] * 20 + ["a"] * 40 + ["one"] + ["two"] * 2
    parts = within_classes(labels, None, {"val": 0.1, "test": 0.2}, 0)
    counts = Counter(zip(labels, parts, strict=True))
    assert {key: counts[key] for key in counts if key[0] in "ab"} == {
        ("a", "train"): 28,
        ("a", "val"): 4,
        ("a", "test"): 8,
        ("b", "train"): 14,
        ("b", "val"): 2,
        ("b", "test"): 4,
    }
    assert counts["one", "train"] == 1  # too few: train comes first
    assert counts["two", "train"] == 1


def test_a_draw_is_a_function_of_the_seed() -> None:
    labels = list("ab" * 50)
    first, again, other = (within_classes(labels, None, {"val": 0.3}, seed) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
    # What is drawn in one class does not depend on the videos of another.
    alone = within_classes(labels[:-1], None, {"val": 0.3}, 0)
    assert (alone[::2] == first[::2]).all()


def test_groups_stay_together_within_their_class() -> None:
    generator = np.random.default_rng(0)
    groups = [f"{label}{number}" for label in "abc" for number in range(10) for _ in range(generator.integers(1, 6))]
    labels = [group[0] for group in groups]
    parts = within_classes(labels, groups, {"val": 0.2}, 3)
    split_of = {group: {p for g, p in zip(groups, parts, strict=True) if g == group} for group in groups}
    assert all(len(splits) == 1 for splits in split_of.values())
    drawn = Counter(group[0] for group, splits in split_of.items() if splits == {"val"})
    assert drawn == {"a": 2, "b": 2, "c": 2}


def test_a_group_of_several_classes_is_in_one_split() -> None:
    groups = [str(number // 4) for number in range(40)]
    parts = within_classes(["ab"[number % 2] for number in range(40)], groups, {"val": 0.2}, 0)
    assert Counter(parts) == {"train": 32, "val": 8}
    assert all(len(set(parts[rows])) == 1 for rows in rows_of(groups).values())


def test_whole_groups_are_dealt() -> None:
    groups = [name for name in "pqrstuvwxy" for _ in range(3)]
    parts = by_group(groups, {"val": 0.2, "test": 0.3}, 0)
    assert Counter(parts) == {"train": 15, "val": 6, "test": 9}
    assert all(len(set(parts[rows])) == 1 for rows in rows_of(groups).values())
    assert Counter(by_group(["a", "b", "c"], {"val": 0.9, "test": 0.01}, 0)) == {"train": 1, "val": 1, "test": 1}


def test_rows_of_values_are_in_order() -> None:
    assert {name: list(rows) for name, rows in rows_of(["b", "a", "b", "é", "a"]).items()} == {
        "a": [1, 4],
        "b": [0, 2],
        "é": [3],
    }
    assert list(rows_of(["b", "a"])) == ["a", "b"]
    assert rows_of([]) == {}


@pytest.mark.parametrize(
    ("shares", "seed", "message"),
    [
        ({"val": 0.0}, 0, "--val-share must be above 0 and leave something for train"),
        ({"val": 0.5, "test": 0.5}, 0, "--val-share and --test-share must be above 0"),
        ({"val": float("nan")}, 0, "must be above 0"),
        ({"val": 0.2}, -1, "--seed must be 0 or more, not -1"),
    ],
)
def test_impossible_draws_are_refused(shares: dict[str, float], seed: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        within_classes(["a"] * 9, None, shares, seed)
    with pytest.raises(InputError, match=message):
        by_group(list("abcd"), shares, seed)


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(InputError, match="2 groups cannot be dealt to train, val, test"):
        by_group(["a", "b", "a"], {"val": 0.2, "test": 0.2}, 0)


def test_nine_people_of_different_sizes_are_dealt_by_their_videos() -> None:
    sizes = [10, 100, 60, 35, 80, 15, 90, 45, 25]  # 460 videos
    groups = [f"p{person}" for person, size in enumerate(sizes) for _ in range(size)]
    labels = [f"c{row % 5}" for row in range(len(groups))]
    for seed in range(10):
        parts = by_group(groups, {"val": 0.15, "test": 0.15}, seed, labels)
        counts = Counter(str(part) for part in parts)
        people = {split: {g for g, p in zip(groups, parts, strict=True) if p == split} for split in counts}
        assert all(55 <= counts[split] <= 90 for split in ("val", "test")), counts  # 69 would be the shares
        assert all(len(people[split]) >= 2 for split in ("val", "test"))
        assert len(people["train"]) + len(people["val"]) + len(people["test"]) == 9
    other = by_group(groups, {"val": 0.15, "test": 0.15}, 1, labels)
    assert (by_group(groups, {"val": 0.15, "test": 0.15}, 1, labels) == other).all()
    assert any((by_group(groups, {"val": 0.15, "test": 0.15}, seed, labels) != other).any() for seed in range(2, 5))


def test_the_draw_shows_as_many_classes_as_it_can() -> None:
    # Two people are the only ones to show the classes q and r; three others show p alone.
    groups = ["a"] * 10 + ["b"] * 10 + ["c"] * 10 + [f"x{n}" for n in range(4) for _ in range(10)]
    labels = ["p", "q"] * 5 + ["p", "q"] * 5 + ["p", "q"] * 5 + ["p"] * 40
    parts = by_group(groups, {"val": 0.15, "test": 0.15}, 0, labels)
    shown = {split: {label for label, part in zip(labels, parts, strict=True) if part == split} for split in set(parts)}
    assert {split: len(classes) for split, classes in shown.items()} == {"train": 2, "val": 2, "test": 2}


def test_many_classes_of_two_videos_are_dealt_by_their_shares_together() -> None:
    labels = [f"c{number // 2}" for number in range(200)]
    parts = within_classes(labels, None, {"val": 0.15, "test": 0.15}, 0)
    assert Counter(parts) == {"train": 140, "val": 30, "test": 30}
    assert {label for label, part in zip(labels, parts, strict=True) if part == "train"} == set(labels)
