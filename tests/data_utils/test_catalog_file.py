from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from config.errors import InputError
from data_utils.catalog_file import read_catalog_files


@pytest.fixture
def folder(tmp_path: Path, write_csv: Callable[..., Path]) -> Path:
    for split in ("train", "val", "test"):
        write_csv(tmp_path / f"{split}.csv", [(f"{split}.mp4", "a")])
    return tmp_path


def test_cells_are_text_and_names_may_be_odd(folder: Path, write_csv: Callable[..., Path]) -> None:
    names = ['it\'s 1, "quoted" ü 日本.mp4', " space .mp4", "NA", "a//b/./c.mp4", "d/../e.mp4", "..f.mp4"]
    write_csv(folder / "train.csv", [(name, "007", "x") for name in names], ("path", "label", "who"))
    table = read_catalog_files(folder, folder, ["label"])["train"]
    assert table["path"].tolist() == [*names[:3], "a/b/c.mp4", "e.mp4", "..f.mp4"]
    assert set(table["label"]) == {"007"}
    assert table.index.tolist() == [2, 3, 4, 5, 6, 7]
    assert list(table.columns) == ["path", "label", "who"]


def test_byte_order_mark_and_blank_lines(folder: Path) -> None:
    (folder / "val.csv").write_bytes("\ufeffpath,label\r\n\r\nx.mp4,a\r\n\r\n".encode())
    table = read_catalog_files(folder, folder, ["label"])["val"]
    assert table["path"].tolist() == ["x.mp4"]
    assert table.index.tolist() == [3]


WRONG = {
    "missing": (None, "is missing"),
    "empty": ("", "is empty; its first line must name the columns"),
    "no rows": ("path,label\n", "lists no videos"),
    "no path": ("file,label\na,b\n", "has no column 'path', only file, label"),
    "no label": ("path,class\na,b\n", "has no column 'label', only path, class; add it or set dataset.labels"),
    "semicolons": ("path;label\na;b\n", "has no column 'path', only path;label"),
    "two columns of one name": ("path,label,label\na,b,c\n", "names a column twice"),
    "comma in a name": ("path,label\nb.mp4,x\na,b.mp4,x\n", "line 3: 3 cells, but 2 columns; put cells with commas"),
    "cell missing": ("path,label\na.mp4\n", "line 2: 1 cells, but 2 columns"),
    "quotes": ('path,label\n"a"b.mp4,x\n', "line 2, is no CSV"),
    "not UTF-8": ("path,label\nü.mp4,x\n".encode("latin-1"), "is not UTF-8"),
    "binary": (b"\x00\x01\x02\x80" * 50, "is not UTF-8"),
    "path empty": ("path,label\n,x\n", "line 2: no path"),
    "absolute": ("path,label\n/etc/x.mp4,x\n", "line 2: /etc/x.mp4 is not inside dataset.root"),
    "leaves": ("path,label\na/../../x.mp4,x\n", "line 2: a/../../x.mp4 is not inside dataset.root"),
    "the root": ("path,label\n.,x\n", "line 2: . is not inside dataset.root"),
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
        read_catalog_files(folder, folder, ["label"])
    assert message in str(error.value)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_folders_must_be_there(folder: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere is no folder; set dataset\.catalog"):
        read_catalog_files(folder / "nowhere", folder, ["label"])
    with pytest.raises(InputError, match=r"nowhere is no folder; set dataset\.root"):
        read_catalog_files(folder, folder / "nowhere", ["label"])


def test_a_directory_in_place_of_a_file(folder: Path) -> None:
    (folder / "test.csv").unlink()
    (folder / "test.csv").mkdir()
    with pytest.raises(InputError, match=r"test\.csv cannot be read: Is a directory"):
        read_catalog_files(folder, folder, ["label"])
