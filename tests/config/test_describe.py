"""docs/config.md is what config/describe.py makes of the schema, and has every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.data import DataConfig
from config.describe import describe, value_words
from config.load import load_config

PAGE = Path(__file__).parents[2] / "docs/config.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == describe(), "run: python -m config.describe > docs/config.md"


def test_every_key_of_the_default_config_is_in_the_page() -> None:
    described = set(re.findall(r"^\| `([\w.]+)`", describe(), flags=re.MULTILINE))
    used = set(load_config("quickstart").source)
    # Evaluations and further datasets, of which there are none, have names of the user's choice; the classifier has no
    # settings.
    used = {re.sub(r"^evaluations\.\w+", "evaluations.NAME", key) for key in used}
    used -= {"evaluations.NAME.settings", "datasets"}
    one_row = {
        "dataset.videos": ("train", "val", "test"),
        "hierarchical.views": ("backbone", "space", "time", "clip"),
        "lr_scale": ("space", "time", "clip"),
    }
    assert used - described == {f"{key}.{part}" for key, parts in one_row.items() for part in parts}
    assert one_row.keys() <= described


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("frame_size", "list of 2 x whole number ≥ 1"),
        ("std", "list of 3 x number > 0 or `null`"),
        ("short_videos", "`skip` or `loop` or `pad`"),
        ("max_bad_videos", "number ≥ 0, ≤ 1"),
        ("num_workers", "whole number ≥ 0"),
    ],
)
def test_types_and_limits_are_told_in_words(key: str, words: str) -> None:
    field = DataConfig.model_fields[key]
    assert value_words(field.annotation, field.metadata) == words
