from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.errors import InputError
from data_utils.catalog.annotations.captions import captions_beside, captions_of


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


def test_a_file_beside_the_catalogs_gives_captions_by_path(tmp_path: Path) -> None:
    tables = {"train": pd.DataFrame({"path": ["a/2.mp4", "a/1.mp4"]}), "test": pd.DataFrame({"path": ["a/3.mp4"]})}
    (tmp_path / "said.csv").write_text('path,said\n./a/1.mp4,"one, and  more"\na/2.mp4,two\nb/9.mp4,nine\n')
    captions = captions_beside(["said"], tables, tmp_path)["said"]
    assert captions["train"].texts.tolist() == ["two", "one, and more"]
    assert captions["test"].is_known.tolist() == [False]


def test_a_column_comes_before_a_file_and_what_has_neither_is_left_to_others(tmp_path: Path) -> None:
    tables = {"train": pd.DataFrame({"path": ["1.mp4"], "said": ["in the catalog"]})}
    (tmp_path / "said.csv").write_text("path,said\n1.mp4,beside it\n")
    assert captions_beside(["said", "nothing"], tables, tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,text\n1.mp4,one\n", "said.csv has no column 'said'; captions need path and said"),
        ("path,said\n1.mp4,one\n1.mp4,two\n", "said.csv, line 3: 1.mp4 is listed before; keep one"),
    ],
)
def test_a_wrong_file_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "said.csv").write_text(text)
    with pytest.raises(InputError) as error:
        captions_beside(["said"], {"train": pd.DataFrame({"path": ["1.mp4"]})}, tmp_path)
    assert str(error.value).endswith(message)
