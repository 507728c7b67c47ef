"""config/load.py: files and overrides that are hostile or huge are refused in one short line, or do what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import InputError
from config.load import load_config


def nested_aliases(kind: str) -> str:
    """Twelve lines that stand for 9**12 values."""
    open_, close = "{}" if kind == "mapping" else "[]"
    lines = [f"a0: &a0 {open_}{'x: 1' if kind == 'mapping' else '1'}{close}"]
    for number in range(1, 12):
        items = [f"k{i}: *a{number - 1}" if kind == "mapping" else f"*a{number - 1}" for i in range(9)]
        lines.append(f"a{number}: &a{number} {open_}{', '.join(items)}{close}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: " + "[" * 300 + "]" * 300, "more than 20 lists and mappings inside each other"),
        ("a: " + "{a: " * 300 + "}" * 300, "more than 20 lists and mappings inside each other"),
        ("a: " + "[" * 100_000, "more than 20 lists and mappings inside each other"),
        (nested_aliases("list"), "more than 2,000 keys and values"),
        (nested_aliases("mapping"), "more than 2,000 keys and values"),
        ("\n".join(["a0: &a0 [1]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 900))]), "inside each other"),
        ("a: &a [*a]", "*a stands inside what it stands for"),
        ("\n".join(f"key{i}: 1" for i in range(20_000)), "more than 2,000 keys and values"),
        ("\n".join(f"key{i}: 1" for i in range(900)), "unknown key key0 "),
        ("#" * 1_000_001, "larger than 1 MB"),
        ("seed: !!float ''", "a value does not fit its tag"),
        ("seed: !!int ''", "a value does not fit its tag"),
        ("seed: !!bool maybe", "a value does not fit its tag"),
        ("seed: !!bool [1]", "expected a scalar node"),
        ("seed: " + "9" * 5000, "a whole number of 5,000 digits"),
        ('save_path: "a\\0b"', "a character that no name may have"),
        ('save_path: "a\\ud800b"', "a character that no name may have"),
        ('"a\\0b": 1', "a character that no name may have"),
        ("save_path: a\0b", "character #x0000 is not allowed"),
        ('"a\\nb": 1', "unknown key a\\nb "),
        ("num_epochs: " + "x" * 100_000, "expected a whole number, got 'xxx"),
        ('"' + "k" * 1000 + '": 1', "unknown key kkk"),
    ],
    ids=lambda value: value[:12].encode("unicode_escape").decode() if isinstance(value, str) else None,
)
def test_a_hostile_file_is_refused_in_one_short_line(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "hostile.yaml"
    file.write_text(content)
    with pytest.raises(InputError) as error:
        load_config(str(file))
    message = str(error.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["seed=18446744073709551616"], "seed: expected at most 9,223,372,036,854,775,807"),
        (["seed=" + "9" * 90], "got a number of 90 digits"),
        (["hierarchy.space.dim=1000000000000"], "hierarchy.space.dim: expected at most 1,000,000"),
        (["hierarchy.space.dim=1000000", "hierarchy.space.layers=1000"], "hierarchy.space: dim, layers"),
        (["num_epochs=10000000000"], "num_epochs: expected at most 1,000,000"),
        (["frame_size=[999999,999999]"], "batch_size, window.length and frame_size disagree"),
        (["load_size=[99999,99999]"], "batch_size, window.length and load_size disagree"),
        (["num_workers=100000"], "num_workers: expected at most 1,024"),
        (["svt.local_views=10000000000"], "svt.local_views: expected at most 1,000,000"),
        (["optimizer.lr=1e999"], "optimizer.lr (command line): expected a finite number"),
        ([f"key{i}=1" for i in range(20_000)], "20,000 overrides"),
        ([".".join("a" * 5000) + "=1"], "expected key=value"),
        (["a=[" * 5000], "command line, a="),
    ],
    ids=lambda value: value[0][:20] if isinstance(value, list) else None,
)
def test_huge_numbers_and_overrides_are_refused_in_one_short_line(overrides: list[str], words: str) -> None:
    with pytest.raises(InputError) as error:
        load_config("quickstart", overrides)
    message = str(error.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < 500


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "a\nb.yaml"])
def test_names_that_no_file_can_have_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(InputError) as error:
        load_config(name)
    assert "\n" not in str(error.value)
    assert "\0" not in str(error.value)
    assert len(str(error.value)) < 500


def test_large_numbers_that_mean_all_or_never_and_the_largest_seed_are_taken() -> None:
    free = [
        "knn_k=1000000000000",
        "knn_bank=1000000000000",
        "figure_videos=1000000000000",
        "log_interval=1000000000000",
    ]
    assert load_config("quickstart", [*free, f"seed={2**63 - 1}"]).config.seed == 2**63 - 1


def test_anchors_of_ordinary_size_are_read(tmp_path: Path) -> None:
    file = tmp_path / "anchors.yaml"
    file.write_text("hierarchy:\n  time: &level {dim: 64}\n  clip: *level\n")
    config = load_config(str(file)).config
    assert config.level("time").dim == config.level("clip").dim == 64
