from __future__ import annotations

import unicodedata

import pytest

from data_utils.catalog.label_text import normal_label


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        (" walk", "walk"),
        ("walk\t", "walk"),
        ("open  the\u00a0door", "open the door"),
        ("left | up", "left|up"),
        ("\ufeffwalk", "walk"),
        (unicodedata.normalize("NFD", "café"), "café"),
        ("  ", ""),
        ("Walk", "Walk"),
        ("👩‍🚀", "👩‍🚀"),
    ],
)
def test_one_spelling(cell: str, label: str) -> None:
    assert normal_label(cell) == label
    assert normal_label(label) == label
