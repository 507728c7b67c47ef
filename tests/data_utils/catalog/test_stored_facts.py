from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from config.errors import InputError
from data_utils.catalog.dataset_card import Format
from data_utils.catalog.stored_facts import require_stored_files, with_stored_facts

FILE = Path("train.csv")


def table(**columns: list[str]) -> pd.DataFrame:
    """Four videos as a CSV gives them, from line 2 on; `columns` replace the usual ones."""
    usual = {
        "path": ["a.avi", "b.avi", "c.avi", "d.avi"],
        "label": ["x", "y", "x", "y"],
        "frames": ["10", "12", "10", "300"],
        "height": ["240"] * 4,
        "width": ["320", "320", "426", "240"],
        "fps": ["25.0", "29.97", "0", "1e1"],
        "group": ["g"] * 4,
        "stored": ["shards/00000.h5#0", "shards/00000.h5#1", "shards/00001.h5#0", "shards/00001.h5#1"],
    }
    return pd.DataFrame(usual | columns, index=[2, 3, 4, 5])


@pytest.mark.parametrize("stored_as", ["packed", "hdf5", "frames"])
def test_facts_become_numbers(stored_as: Format) -> None:
    facts = with_stored_facts(table(), FILE, stored_as)
    assert list(facts.columns) == ["path", "frames", "height", "width", "fps", "label", "group", "stored"]
    assert facts.index.tolist() == [0, 1, 2, 3]
    assert facts["frames"].tolist() == [10, 12, 10, 300]
    assert facts["height"].tolist() == [240] * 4
    assert facts["width"].tolist() == [320, 320, 426, 240]
    assert facts["fps"].tolist() == [25.0, 29.97, 0.0, 10.0]
    assert [str(facts[name].dtype) for name in ("frames", "height", "width", "fps")] == ["int64"] * 3 + ["float64"]
    assert facts["label"].tolist() == ["x", "y", "x", "y"]


@pytest.mark.parametrize("column", ["frames", "height", "width"])
@pytest.mark.parametrize("cell", ["abc", "0", "-3", "2.5", "", "nan", "inf", " ", "1e3", "+3", "1_0", "99999999999"])
def test_what_is_no_whole_number_names_its_line(column: str, cell: str) -> None:
    with pytest.raises(InputError) as error:
        with_stored_facts(table(**{column: ["5", "5", cell, cell]}), FILE, "packed")
    message = f"train.csv, line 4: '{cell}' in column '{column}' is not a whole number >= 1; run prepare.py again"
    assert str(error.value) == message


@pytest.mark.parametrize("cell", ["abc", "-1", "", "nan", "inf", "-inf", "25 fps"])
def test_what_is_no_frame_rate_names_its_line(cell: str) -> None:
    with pytest.raises(
        InputError, match=r"^train\.csv, line 5: '.*' in column 'fps' is not a number >= 0; run prepare"
    ):
        with_stored_facts(table(fps=["25", "0.0", "12", cell]), FILE, "hdf5")


@pytest.mark.parametrize("column", ["frames", "height", "width", "fps", "stored"])
def test_a_missing_column_is_told(column: str) -> None:
    with pytest.raises(InputError, match=rf"^train.csv has no column '{column}', but dataset\.json says .* as frames;"):
        with_stored_facts(table().drop(columns=column), FILE, "frames")


@pytest.mark.parametrize("cell", ["shards/0.h5", "shards/0.h5#", "shards/0.h5#x", "#3", "a#b#3", "shards/0.h5#-1"])
def test_what_is_no_place_in_a_shard_names_its_line(cell: str) -> None:
    with pytest.raises(
        InputError, match=r"line 3: '.*' in column 'stored' is not a shard and number such as shards/0000"
    ):
        with_stored_facts(table(stored=["s#0", cell, "s#2", cell]), FILE, "packed")


# ------------------------------------------------------------------------------------------------ is it really there


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "shards").mkdir()
    for number in range(2):
        (tmp_path / f"shards/0000{number}.h5").touch()
    return tmp_path


@pytest.mark.parametrize("stored_as", ["packed", "hdf5"])
def test_every_shard_must_be_there(root: Path, stored_as: Format) -> None:
    require_stored_files(root, {"train": table()}, stored_as)
    (root / "shards/00001.h5").unlink()
    with pytest.raises(InputError, match=r"shards/00001\.h5 is missing; run prepare\.py again$"):
        require_stored_files(root, {"train": table().head(2), "val": table().tail(2)}, stored_as)
    require_stored_files(root, {"train": table().head(2)}, stored_as)
    (root / "shards/00001.h5").mkdir()
    with pytest.raises(InputError, match=r"shards/00001\.h5 is not a file"):
        require_stored_files(root, {"train": table()}, stored_as)


def test_folders_of_frames_must_be_there(root: Path) -> None:
    places = [f"frames/{number}" for number in range(500)]
    many = {"train": pd.DataFrame({"stored": places})}
    for place in places:
        (root / place).mkdir(parents=True)
    require_stored_files(root, many, "frames")
    (root / places[-1]).rmdir()
    with pytest.raises(InputError, match=r"frames/499 is missing; run prepare\.py again$"):
        require_stored_files(root, many, "frames")
    (root / places[-1]).touch()
    with pytest.raises(InputError, match=r"frames/499 is not a folder; run prepare\.py again$"):
        require_stored_files(root, many, "frames")
    with pytest.raises(InputError, match=r"frames/0/a is missing"):
        require_stored_files(root, {"train": pd.DataFrame({"stored": ["frames/0/a"]})}, "frames")


def test_rights_are_told_from_absence(root: Path, bound_by_rights: None) -> None:
    (root / "shards/00001.h5").chmod(0)
    with pytest.raises(InputError, match=r"shards/00001\.h5 cannot be read: Permission denied; fix its permissions$"):
        require_stored_files(root, {"train": table()}, "packed")
    (root / "shards").chmod(0)
    with pytest.raises(InputError, match=r"shards/00000\.h5 cannot be read: Permission denied; fix its permissions$"):
        require_stored_files(root, {"train": table()}, "packed")
    (root / "frames/a").mkdir(parents=True, mode=0)
    with pytest.raises(InputError, match=r"frames/a cannot be read: Permission denied; fix its permissions$"):
        require_stored_files(root, {"train": pd.DataFrame({"stored": ["frames/a"]})}, "frames")
