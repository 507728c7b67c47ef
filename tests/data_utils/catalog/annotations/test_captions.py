from __future__ import annotations

import numpy as np
import pandas as pd

from data_utils.catalog.annotations.captions import captions_of


def test_text_by_row() -> None:
    tables = {
        "train": pd.DataFrame({"text": ["A  man;\na dog | a cat ", "", "Zwei Ha\u0308nde"]}),
        "val": pd.DataFrame({"text": [" "]}),
    }
    captions = captions_of("text", tables)
    assert captions["train"].texts.tolist() == ["A man; a dog | a cat", "", "Zwei H\u00e4nde"]
    assert captions["train"].is_known.tolist() == [True, False, True]
    assert captions["val"].is_known.tolist() == [False]
    assert captions["train"].kind == "captions"
    kept = captions["train"].with_rows(np.array([False, True, True]))
    assert [kept.text(row) for row in range(2)] == ["", "Zwei H\u00e4nde"]


def test_a_column_without_any_text_says_nothing() -> None:
    assert captions_of("text", {"train": pd.DataFrame({"text": ["", ""]})}) == {}
