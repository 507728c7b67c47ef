"""`prepare.py --dry-run` and `--square`, as a user starts them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prepare
from data_utils.catalog.catalog_file import read_csv
from data_utils.formats.frames import FramesReader
from data_utils.prepare.conversion.pictures import stored_size
from tests.data_utils.conftest import write_video

TEMPLATE = "Pushing [something]"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something-Something V2, six videos of it: two upright ones, one with another frame rate, one damaged."""
    folder = tmp_path_factory.mktemp("ssv2")
    sizes = [(48, 64), (64, 48), (48, 64), (48, 86), (64, 48), (48, 64)]
    for number, size in enumerate(sizes):
        path = folder / "videos" / f"{number}.webm"
        write_video(path, 12, size=size, codec="libvpx", rate=24 if number == 2 else 12)
    (folder / "videos" / "5.webm").write_bytes(b"no video")
    labels = folder / "labels"
    labels.mkdir()
    entries = [{"id": str(n), "label": f"pushing {n} cups", "template": TEMPLATE} for n in range(6)]
    (labels / "labels.json").write_text(json.dumps({"Pushing something": "0"}))
    (labels / "train.json").write_text(json.dumps(entries[:4]))
    (labels / "validation.json").write_text(json.dumps(entries[4:]))
    return folder


def rows(out: Path) -> dict[str, dict[Any, str]]:
    """The rows of all catalogs, by path."""
    tables = [read_csv(out / f"{split}.csv") for split in ("train", "val", "test")]
    return {row["path"]: row for table in tables for row in table.to_dict("records")}


def command(raw: Path, out: Path, *more: str) -> list[str]:
    options = ["--format", "frames", "--size", "32", "--workers", "1", "--max-bad", "0.5", *more]
    return ["ssv2", "--raw", str(raw), "--out", str(out), "--val-share", "0.25", *options]


def test_an_estimate_of_all_is_what_it_then_takes_and_leaves_nothing(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "out"
    assert prepare.main(command(raw, out, "--square", "--dry-run", "100")) == 0
    told = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    made = "frames, shorter side at most 32, the square in the middle"
    assert f"dry run: 6 of 6 videos converted ({made}), and removed again" in told
    assert "  frames    about 60 (12.0 a video)" in told
    assert re.search(r"  time      about \S+ s with 1 processes", told)
    assert "  left out  16.7% of the sample, such as videos/5.webm: " in told
    estimated = re.search(r"  bytes     about ([\d.]+ kB) \(", told)
    assert estimated is not None

    assert prepare.main(command(raw, out, "--square")) == 0
    lines = capsys.readouterr().out.splitlines()
    total = next(line for line in lines if line.strip().startswith("all "))
    assert total.endswith(estimated[1])
    assert "60 frames" in total


def test_an_estimate_from_a_part_is_scaled_to_all(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare.main(command(raw, tmp_path / "out", "--dry-run", "2")) == 0
    told = capsys.readouterr().out
    assert "dry run: 2 of 6 videos converted" in told
    assert re.search(r"frames    about (72|36) ", told)


def test_the_square_in_the_middle_of_upright_and_lying_videos_with_their_captions(raw: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "square", tmp_path / "whole"
    assert prepare.main(command(raw, out, "--square")) == 0
    assert prepare.main(command(raw, whole)) == 0
    found, others = rows(out), rows(whole)
    assert len(found) == 5
    for path, row in found.items():
        assert (row["height"], row["width"]) == ("32", "32")
        assert row["caption"] == f"pushing {Path(path).stem} cups"
        other = others[path]
        size = int(other["height"]), int(other["width"])
        square, picture = (
            FramesReader().read(folder / each["stored"], np.array([3]), size)[0].astype(int)
            for folder, each, size in ((out, row, (32, 32)), (whole, other, size))
        )
        top, left = (size[0] - 32) // 2, (size[1] - 32) // 2
        assert np.abs(square - picture[top : top + 32, left : left + 32]).mean() < 6


@pytest.mark.parametrize(
    ("size", "shorter", "expected"),
    [((240, 427), 240, (240, 240)), ((427, 240), 224, (224, 224)), ((100, 80), 240, (80, 80)), ((9, 7), None, (7, 7))],
)
def test_the_side_of_a_square_is_never_more_than_there_is(
    size: tuple[int, int], shorter: int | None, expected: tuple[int, int]
) -> None:
    assert stored_size(*size, shorter, square=True) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dry-run", "0"), "--dry-run 0: give a number of videos, such as 64, or none"),
        (("--dry-run", "--format", "video", "--size"), "expected one argument"),
    ],
)
def test_wrong_options_get_one_line(
    options: tuple[str, ...], message: str, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status: object
    try:
        status = prepare.main(["ssv2", "--raw", str(raw), "--out", str(tmp_path / "out"), *options])
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert message in capsys.readouterr().err


def test_files_that_stay_as_they_are_take_nothing(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = prepare.main(["ssv2", "--raw", str(raw), "--out", str(tmp_path / "o"), "--format", "video", "--dry-run"])
    assert status == 2
    assert "error: --dry-run: files that stay as they are take nothing; set --size" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
