from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.errors import InputError
from data_utils.catalog import catalog_file
from data_utils.catalog.catalog_file import read_catalog_files, read_csv, require_columns


@pytest.fixture
def folder(tmp_path: Path, write_csv: Callable[..., Path]) -> Path:
    for split in ("train", "val", "test"):
        write_csv(tmp_path / f"{split}.csv", [(f"{split}.mp4", "a")])
    return tmp_path


def test_cells_are_text_and_names_may_be_odd(folder: Path, write_csv: Callable[..., Path]) -> None:
    names = ['it\'s 1, "quoted" ü 日本.mp4', " space .mp4", "NA", "a//b/./c.mp4", "d/../e.mp4", "..f.mp4"]
    write_csv(folder / "train.csv", [(name, "007", "x") for name in names], ("path", "label", "who"))
    table = read_catalog_files(folder, folder)["train"]
    assert table["path"].tolist() == [*names[:3], "a/b/c.mp4", "e.mp4", "..f.mp4"]
    assert set(table["label"]) == {"007"}
    assert table.index.tolist() == [2, 3, 4, 5, 6, 7]
    assert list(table.columns) == ["path", "label", "who"]


def test_byte_order_mark_and_blank_lines(folder: Path) -> None:
    (folder / "val.csv").write_bytes("\ufeffpath,label\r\n\r\nx.mp4,a\r\n\r\n".encode())
    table = read_catalog_files(folder, folder)["val"]
    assert table["path"].tolist() == ["x.mp4"]
    assert table.index.tolist() == [3]


WRONG = {
    "missing": (None, "is missing"),
    "empty": ("", "is empty; its first line must name the columns"),
    "no rows": ("path,label\n", "lists no videos"),
    "no path": ("file,label\na,b\n", "has no column 'path', only file, label"),
    "no label": ("path,class\na,b\n", "has no column 'label', only path, class; add it or set dataset.labels"),
    "two columns of one name": ("path,label,label\na,b,c\n", "names a column twice"),
    "comma in a name": ("path,label\nb.mp4,x\na,b.mp4,x\n", "line 3: 3 cells, but 2 columns; put cells with commas"),
    "cell missing": ("path,label\na.mp4\n", "line 2: 1 cells, but 2 columns"),
    "long and short row": ("path,label\na.mp4,x,y\nb.mp4\n", "line 2: 3 cells, but 2 columns"),
    "short and long row": ("path,label\na.mp4\nb.mp4,x,y\n", "line 2: 1 cells, but 2 columns"),
    "blank but for a space": ("path,label\na.mp4,x\n \n", "line 3: 1 cells, but 2 columns"),
    "short row after quoted commas": ('path,label\n"a,b.mp4",x\nc.mp4\n', "line 3: 1 cells, but 2 columns"),
    "short row after a line break": ('path,label\n"a\nb.mp4",x\nc.mp4\n', "line 4: 1 cells, but 2 columns"),
    "quote never closed": ('path,label\n"a.mp4,x\nb.mp4,x\n', "line 3, is not valid CSV: unexpected end of data"),
    "huge cell": (
        f"path,label\na.mp4,x\n{'b' * 200_000},x\n",
        "line 3, is not valid CSV: field larger than field limit",
    ),
    "header alone": ("path,label", "lists no videos"),
    "null byte": ("path,label\na\0b.mp4,x\n", "line 2: 'a\\x00b.mp4' holds a null byte"),
    "quotes": ('path,label\n"a"b.mp4,x\n', "line 2, is not valid CSV"),
    "not UTF-8": ("path,label\nü.mp4,x\n".encode("latin-1"), "line 2, is not UTF-8"),
    "half of a surrogate pair": (b"path,label\na.mp4,x\n\xed\xa0\x80.mp4,x\n", "line 3, is not UTF-8"),
    "binary": (b"\x00\x01\x02\x80" * 50, "is not UTF-8"),
    "path empty": ("path,label\n,x\n", "line 2: nothing in column 'path'; fill it in"),
    "absolute": ("path,label\n/etc/x.mp4,x\n", "line 2: /etc/x.mp4 is not inside dataset.root"),
    "leaves": ("path,label\na/../../x.mp4,x\n", "line 2: a/../../x.mp4 is not inside dataset.root"),
    "the root": ("path,label\n.,x\n", "line 2: . is not inside dataset.root"),
    "place empty": ("path,label,stored\na.mp4,x,\n", "line 2: nothing in column 'stored'"),
    "place leaves": ("path,label,stored\na.mp4,x,../s.h5#0\n", "line 2: ../s.h5#0 is not inside dataset.root"),
    "place absolute": ("path,label,stored\na.mp4,x,/s.h5#0\n", "line 2: /s.h5#0 is not inside dataset.root"),
    "place twice": (
        "path,label,stored\na.mp4,x,s.h5#0\nb.mp4,x,./s.h5#0\n",
        "line 3: s.h5#0 is in train.csv, line 2 already",
    ),
    "twice": ("path,label\na.mp4,x\nb.mp4,x\n./a.mp4,x\n", "line 4: a.mp4 is in train.csv, line 2 already"),
    "in another split": ("path,label\nval.mp4,x\n", "val.mp4 is in train.csv, line 2 already"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files_get_one_line(case: str, folder: Path) -> None:
    content, message = WRONG[case]
    (folder / "train.csv").unlink()
    if content is not None:
        (folder / "train.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as error:
        require_columns(read_catalog_files(folder, folder), folder, ["label"])
    assert message in str(error.value)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_folders_must_be_there(folder: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere is not a folder; set dataset\.catalog"):
        read_catalog_files(folder / "nowhere", folder)
    with pytest.raises(InputError, match=r"nowhere is not a folder; set dataset\.root"):
        read_catalog_files(folder, folder / "nowhere")


def test_a_directory_in_place_of_a_file(folder: Path) -> None:
    (folder / "test.csv").unlink()
    (folder / "test.csv").mkdir()
    with pytest.raises(InputError, match=r"test\.csv cannot be read: Is a directory"):
        read_catalog_files(folder, folder)


def test_files_without_the_right_to_read(folder: Path, bound_by_rights: None) -> None:
    (folder / "val.csv").chmod(0)
    with pytest.raises(InputError, match=r"val\.csv cannot be read: Permission denied"):
        read_catalog_files(folder, folder)
    (folder / "closed" / "videos").mkdir(parents=True)
    (folder / "closed").chmod(0)
    for catalogs, root in ((folder / "closed/videos", folder), (folder, folder / "closed/videos")):
        with pytest.raises(InputError, match=r"closed/videos cannot be read: Permission denied; fix its permissions"):
            read_catalog_files(catalogs, root)
    with pytest.raises(InputError, match=r"train\.csv cannot be read: Permission denied"):
        read_catalog_files(folder / "closed", folder)


def test_line_breaks_within_cells_count_as_lines(folder: Path) -> None:
    (folder / "train.csv").write_bytes(b'path,label\r\n"a\r\nb.mp4",x\r\nc.mp4,"y\nz"\r\n')
    table = read_csv(folder / "train.csv")
    assert table.to_numpy().tolist() == [["a\r\nb.mp4", "x"], ["c.mp4", "y\nz"]]
    assert table.index.tolist() == [3, 5]


def test_places_of_stored_videos_are_normalised_as_paths_are(folder: Path, write_csv: Callable[..., Path]) -> None:
    rows = [("a.mp4", "x", "shards/./0.h5#0"), ("b.mp4", "x", "shards//0.h5#1")]
    write_csv(folder / "train.csv", rows, ("path", "label", "stored"))
    assert read_catalog_files(folder, folder)["train"]["stored"].tolist() == [
        "shards/0.h5#0",
        "shards/0.h5#1",
    ]


def test_both_ways_to_read_agree_about_any_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns as a whole, and row by row: the same cells and lines, or the same message."""
    generator = np.random.default_rng(0)
    pieces = ["a", "b c", "ü", "0", "nan", "007", " ", "", '"', '""', '"q"', '"q,r"', '"q""r"', '"q\n"', "#", "\t"]
    ends = [",", ",", ",", "\n", "\n", "\r\n", "\r", "\n\n", "", "\0"]
    probabilities = np.array([9, 9, 9, 9, 9, 2, 0.2, 0.3, 0.5, 0.1])
    file, plain, wrong = tmp_path / "any.csv", 0, 0
    for number in range(1500):
        count = int(generator.integers(1, 14))
        tidy = number % 2  # rows of two cells
        text = "path,label\n"
        for index in range(count):
            end = ",\n"[index % 2] if tidy else generator.choice(ends, p=probabilities / probabilities.sum())
            text += str(generator.choice(pieces[: 8 if number % 3 else None])) + str(end)
        file.write_bytes(text.encode())
        plain += catalog_file._read_plain(file.read_bytes()) is not None
        found = [read_or_message(file)]
        with monkeypatch.context() as patch:
            patch.setattr(catalog_file, "_read_plain", lambda content: None)
            found.append(read_or_message(file))
        wrong += isinstance(found[0], str)
        if isinstance(found[0], pd.DataFrame) and isinstance(found[1], pd.DataFrame):
            assert found[0].to_numpy().tolist() == found[1].to_numpy().tolist(), text
            assert found[0].index.tolist() == found[1].index.tolist(), text
            assert list(found[0].columns) == list(found[1].columns), text
        else:
            assert str(found[0]) == str(found[1]), text
    assert plain > 200
    assert wrong > 200


def read_or_message(file: Path) -> pd.DataFrame | str:
    try:
        return read_csv(file)
    except InputError as error:
        return str(error)


def test_quoted_cells_do_not_cost_the_fast_way(folder: Path, write_csv: Callable[..., Path]) -> None:
    rows = [(f'a "{number}", b.mp4', "x, y") for number in range(50)]
    content = write_csv(folder / "train.csv", rows).read_bytes()
    assert re.search(rb'"a ""0"", b.mp4","x, y"', content)
    table = catalog_file._read_plain(content)
    assert table is not None
    assert table.to_numpy().tolist() == [list(row) for row in rows]


def test_a_cell_just_below_the_limit_is_read(folder: Path, write_csv: Callable[..., Path]) -> None:
    caption = "x" * csv.field_size_limit()
    write_csv(folder / "train.csv", [("a.mp4", caption)])
    assert read_csv(folder / "train.csv")["label"].tolist() == [caption]


@pytest.mark.parametrize(
    "content",
    [
        "path, label\na.mp4, run\n",
        "path;label\na.mp4;run\n",
        "path\tlabel\na.mp4\trun\n",
        'path, label\n"a.mp4", "run"\n',
        '\n"path", label\n"a.mp4","run"\n',
    ],
)
def test_blanks_in_the_header_and_other_separators(folder: Path, content: str) -> None:
    (folder / "train.csv").write_text(content)
    table = read_catalog_files(folder, folder)["train"]
    assert list(table.columns) == ["path", "label"]
    assert table["path"].tolist() == ["a.mp4"]
    assert table["label"].str.strip().tolist() == ["run"]


def test_a_comma_in_a_quoted_cell_behind_a_blank(folder: Path) -> None:
    (folder / "train.csv").write_text('path,label\na.mp4, "run, fast"\nb.mp4,walk\n')
    assert read_catalog_files(folder, folder)["train"]["label"].tolist() == ["run, fast", "walk"]
