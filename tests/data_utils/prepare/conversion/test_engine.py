from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from config.errors import InputError
from config.schema import Config
from data_utils.batches.frame_reader import reader_for
from data_utils.batches.opening import open_catalogs
from data_utils.catalog.catalog_file import read_csv
from data_utils.catalog.dataset_card import read_card
from data_utils.prepare.conversion import chunks
from data_utils.prepare.conversion.engine import prepare
from data_utils.prepare.conversion.preparation import Preparation
from data_utils.video_files.helper_process import HelperProcess
from tests.data_utils.conftest import numbered_frame
from tests.data_utils.prepare.conversion.engine_scaffolding import (
    MISBEHAVING_COMMAND,
    contents,
    make_listing,
    tree,
)

STORED = ("packed", "frames", "hdf5", "video")


# ------------------------------------------------------------------------------------------------------- the result


@pytest.mark.parametrize("format", STORED)
def test_what_is_stored_is_what_the_videos_show(
    format: Any,
    raw: Path,
    paths: list[str],
    tmp_path: Path,
    make_config: Callable[..., Config],
    number_of: Callable[[NDArray[np.uint8]], int],
) -> None:
    out = tmp_path / "out"
    outcome = prepare(make_listing(paths), Preparation(raw, out, format, size=24, workers=2, verify=True))
    assert outcome.summary is not None
    assert outcome.failures == []
    assert outcome.summary.videos == {"train": 4, "val": 2, "test": 2}
    assert sum(outcome.summary.frames.values()) == sum(range(5, 13))
    assert sum(outcome.summary.seconds.values()) == pytest.approx(sum(range(5, 13)) / 25)

    config = make_config(out, "short_videos=loop")
    catalogs = open_catalogs(config, config.groups, tmp_path / "bad.csv")
    for catalog in catalogs.values():
        reader = reader_for(catalog, config)
        rows = zip(catalog.table.itertuples(), catalog.stored, strict=True)
        for row, stored in rows:
            number = int(str(row.path)[-6:-4])
            assert (row.frames, row.height, row.width, row.fps) == (5 + number, 24, 36, 25)
            indices = np.arange(int(str(row.frames)))
            pictures = reader.read(catalog.root / stored, indices, (24, 36))
            assert [number_of(picture) for picture in pictures] == [100 * number + index for index in indices]


def test_the_files_that_it_writes(raw: Path, paths: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    listing = make_listing(paths[::-1], absent=[("val", "gone.mp4", "missing")])
    listing.table["caption"] = [f'says "{index}",\nreally\r' for index in range(len(paths))]
    prepare(listing, Preparation(raw, out))
    table = read_csv(out / "train.csv")
    assert list(table.columns) == ["path", "label", "frames", "height", "width", "fps", "caption", "stored"]
    wanted = listing.table[listing.table["split"] == "train"]
    assert table["path"].tolist() == wanted["path"].tolist()
    assert table["caption"].tolist() == wanted["caption"].tolist()
    assert (out / "bad_videos.csv").read_text() == "split,path,reason\nval,gone.mp4,missing\n"
    card = json.loads((out / "dataset.json").read_text())
    assert {key: card[key] for key in ("name", "format", "size", "flip")} == {
        "name": "test",
        "format": "packed",
        "size": 256,
        "flip": 0.5,
    }
    assert {"av", "numpy", "python"} <= card["versions"].keys()
    assert {file.name for file in out.iterdir()} == {
        *("train.csv", "val.csv", "test.csv", "bad_videos.csv", "dataset.json", "shards", ".prepare")
    }
    assert not (out / ".prepare" / "parts").exists()


def test_mean_and_std_are_those_of_the_training_pixels(
    raw: Path, paths: list[str], tmp_path: Path, make_config: Callable[..., Config]
) -> None:
    out = tmp_path / "out"
    prepare(make_listing(paths), Preparation(raw, out, "hdf5", size=None))
    config = make_config(out, "short_videos=loop")
    catalog = open_catalogs(config, config.groups, tmp_path / "bad.csv")["train"]
    reader = reader_for(catalog, config)
    pixels = np.concatenate(
        [
            reader.read(catalog.root / stored, np.arange(0, frames, 8), (32, 48)).reshape(-1, 3) / 255
            for stored, frames in zip(catalog.stored, catalog.table["frames"], strict=True)
        ]
    )
    card = read_card(out)
    assert card is not None
    np.testing.assert_allclose(card.mean, pixels.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(card.std, pixels.std(axis=0), atol=1e-5)


def test_sizes(write_video: Callable[..., Path], tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    sizes = {"wide.mp4": (40, 80), "tall.mp4": (82, 40), "small.mp4": (16, 20), "turned.mp4": (40, 80)}
    for name, size in sizes.items():
        write_video(raw / name, 4, size=size, rotation=90 if name == "turned.mp4" else 0)

    def stored(size: int | None) -> dict[str, list[int]]:
        out = tmp_path / str(size)
        prepare(make_listing(list(sizes)), Preparation(raw, out, "hdf5", size=size))
        tables = [read_csv(out / f"{split}.csv") for split in ("train", "val", "test")]
        rows = [row for table in tables for row in table.itertuples()]
        return {str(row.path): [int(str(row.height)), int(str(row.width))] for row in rows}

    assert stored(20) == {"wide.mp4": [20, 40], "tall.mp4": [40, 20], "small.mp4": [16, 20], "turned.mp4": [40, 20]}
    assert stored(None) == {"wide.mp4": [40, 80], "tall.mp4": [82, 40], "small.mp4": [16, 20], "turned.mp4": [80, 40]}


@pytest.mark.parametrize("format", ["packed", "frames", "hdf5"])
def test_images_are_videos_of_one_frame(
    format: Any, tmp_path: Path, make_config: Callable[..., Config], number_of: Callable[[NDArray[np.uint8]], int]
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    for number in range(8):
        Image.fromarray(numbered_frame(number, 48, 96)).save(raw / f"{number}.PNG")
    outcome = prepare(make_listing([f"{n}.PNG" for n in range(8)]), Preparation(raw, out, format, 24, verify=True))
    assert outcome.summary is not None
    assert outcome.failures == []
    assert sum(outcome.summary.frames.values()) == 8
    assert "8 frames" in outcome.summary.lines()[4]
    config = make_config(out, "short_videos=loop")
    for catalog in open_catalogs(config, config.groups, tmp_path / "bad.csv").values():
        reader = reader_for(catalog, config)
        for row, stored in zip(catalog.table.itertuples(), catalog.stored, strict=True):
            assert (row.frames, row.height, row.width, row.fps) == (1, 24, 48, 0)
            picture = reader.read(catalog.root / stored, np.array([0]), (24, 48))[0]
            assert number_of(picture) == int(str(row.path)[0])


@pytest.mark.parametrize("verify", [False, True])
def test_files_as_they_are(
    verify: bool, raw: Path, paths: list[str], tmp_path: Path, make_config: Callable[..., Config]
) -> None:
    own, out = tmp_path / "raw", tmp_path / "out"
    shutil.copytree(raw, own)
    (own / paths[3]).write_bytes(b"no video")
    before = contents(own)
    plan = Preparation(own, out, "video", convert=False, workers=2, verify=verify)
    outcome = prepare(make_listing(paths), plan)
    assert contents(own) == before
    assert outcome.summary is not None
    assert sum(outcome.summary.videos.values()) == (7 if verify else 8)
    assert len(outcome.summary.bad) == verify
    columns = ["frames", "height", "width", "fps"] if verify else []
    assert list(read_csv(out / "train.csv").columns) == ["path", "label", *columns]
    assert (out / ".verified_videos.json").exists() == verify

    first = tree(out)
    prepare(make_listing(paths), dataclasses.replace(plan, verify=False))  # the later start knows what was verified
    assert tree(out) == first

    config = make_config(own, "max_bad_videos=0.5", "short_videos=loop")
    config = config.model_copy(update={"dataset": config.dataset.model_copy(update={"catalog": str(out)})})
    assert (
        sum(len(catalog.table) for catalog in open_catalogs(config, config.groups, tmp_path / "bad.csv").values()) == 7
    )
    card = read_card(out)
    assert card is not None
    assert card.format == "video"
    assert card.size is None
    assert 0.2 < card.mean[0] < 0.8
    assert 0.2 < card.std[0] < 0.6


# ------------------------------------------------------------------------------------------------------- bad videos


def test_bad_videos_are_listed_and_nothing_else_is_lost(
    raw: Path, paths: list[str], tmp_path: Path, write_video: Callable[..., Path]
) -> None:
    own = tmp_path / "raw"
    shutil.copytree(raw, own)
    whole = write_video(own / "short.mp4", 60, container_options={"movflags": "faststart"}).read_bytes()
    (own / "short.mp4").write_bytes(whole[: len(whole) * 8 // 10])
    (own / "empty.mp4").touch()
    (own / "text.mp4").write_text("no video")
    (own / "locked.png").write_bytes(b"x")
    for name in ("crash.mp4", "hang.mp4"):
        shutil.copy(own / paths[0], own / name)
    names = ["short.mp4", "empty.mp4", "text.mp4", "locked.png", "crash.mp4", "hang.mp4", "missing.mp4"]
    plan = Preparation(own, tmp_path / "out", workers=2, patience=10.0, command=MISBEHAVING_COMMAND)
    outcome = prepare(make_listing([*paths, *names]), plan)
    assert outcome.summary is not None
    reasons = {path: reason for _, path, reason in outcome.summary.bad}
    assert reasons.pop("short.mp4").startswith("damaged: ")
    assert reasons.pop("text.mp4").startswith("damaged or not a video")
    assert reasons == {
        "empty.mp4": "empty file",
        "locked.png": "damaged or no image",
        "crash.mp4": "the decoder crashed (exit status -11)",
        "hang.mp4": "damaged: decoding makes no progress for 10 seconds",
        "missing.mp4": "no such file or directory",
    }
    assert sum(outcome.summary.videos.values()) == 8
    with (tmp_path / "out" / "bad_videos.csv").open() as lines:
        rows = list(csv.reader(lines))
    assert rows[0] == ["split", "path", "reason"]
    assert sorted(row[1] for row in rows[1:]) == sorted(names)
    text = "\n".join(outcome.summary.lines())
    assert "left out: 7 of 15 listed videos (46.67%)" in text
    assert str(tmp_path / "out" / "bad_videos.csv") in text


def test_a_bad_video_is_tried_again_when_its_file_was_mended(raw: Path, paths: list[str], tmp_path: Path) -> None:
    own, out = tmp_path / "raw", tmp_path / "out"
    shutil.copytree(raw, own)
    good = (own / paths[2]).read_bytes()
    (own / paths[2]).write_bytes(b"not yet")
    plan = Preparation(own, out, workers=2)
    first = prepare(make_listing(paths), plan)
    assert first.summary is not None
    assert len(first.summary.bad) == 1
    before = tree(out)
    prepare(make_listing(paths), plan)
    assert tree(out) == before
    (own / paths[2]).write_bytes(good)
    second = prepare(make_listing(paths), plan)
    assert second.summary is not None
    assert second.summary.bad == []
    prepare(make_listing(paths), Preparation(raw, tmp_path / "at once"))
    assert contents(out) == contents(tmp_path / "at once")


def test_a_bad_video_is_tried_again_when_asked(raw: Path, paths: list[str], tmp_path: Path) -> None:
    own, out = tmp_path / "raw", tmp_path / "out"
    shutil.copytree(raw, own)
    shutil.copy(own / paths[0], own / "crash.mp4")
    listing = make_listing([*paths, "crash.mp4"])
    plan = Preparation(own, out, command=MISBEHAVING_COMMAND)
    bad: list[int] = []
    for each in (plan, Preparation(own, out), Preparation(own, out, retry_bad=True)):
        summary = prepare(listing, each).summary
        assert summary is not None
        bad.append(len(summary.bad))
    assert bad == [1, 1, 0]


def test_no_good_training_video(raw: Path, paths: list[str], tmp_path: Path) -> None:
    own = tmp_path / "raw"
    shutil.copytree(raw, own)
    listing = make_listing(paths)
    for path in listing.table["path"][listing.table["split"] == "train"]:
        (own / path).write_bytes(b"")
    for convert in (True, False):
        out = tmp_path / str(convert)
        with pytest.raises(InputError, match="no video of the split train can be read"):
            prepare(listing, Preparation(own, out, "packed" if convert else "video", convert=convert, verify=True))
        assert len((out / "bad_videos.csv").read_text().splitlines()) == 5


# ------------------------------------------------------------------------------------------------- verify, backends


@pytest.mark.parametrize("format", STORED)
def test_verify_finds_what_was_damaged_later(format: Any, raw: Path, paths: list[str], tmp_path: Path) -> None:
    plan = Preparation(raw, tmp_path / "out", format, size=24, verify=True)
    prepare(make_listing(paths), plan)
    before = contents(plan.out)
    stored = sorted(file for file in plan.out.rglob("*") if file.suffix in (".h5", ".jpg", ".mp4"))
    content = bytearray(stored[0].read_bytes())
    content[-len(content) // 4 : -len(content) // 8] = bytes(len(content) // 4 - len(content) // 8)
    stored[0].write_bytes(content[: -len(content) // 8])
    outcome = prepare(make_listing(paths), plan)
    assert [path for path, _ in outcome.failures] == [paths[0]]
    assert outcome.failures[0][1]
    assert outcome.summary is None
    again = prepare(make_listing(paths), plan)
    assert again.failures == []
    assert again.summary is not None
    assert contents(plan.out) == before


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky", "multiprocessing"])
def test_any_backend_of_joblib_gives_the_same(backend: str, raw: Path, paths: list[str], tmp_path: Path) -> None:
    prepare(make_listing(paths), Preparation(raw, tmp_path / "own", workers=2))
    with joblib.parallel_config(backend=backend):
        outcome = prepare(make_listing(paths), Preparation(raw, tmp_path / backend, workers=2, verify=True))
    assert outcome.summary is not None
    assert contents(tmp_path / backend) == contents(tmp_path / "own")


def test_a_small_dataset_keeps_many_cores_busy() -> None:
    assert [len(chunks.cut([f"{index}.mp4" for index in range(number)])) for number in (0, 1, 64, 100)] == [
        0,
        1,
        64,
        50,
    ]
    cut = chunks.cut([f"{index}.mp4" for index in range(100_001)])
    assert {len(rows) for rows in cut} == {64, 100_001 % 64}
    assert [row for rows in cut for row in rows] == list(range(100_001))
    assert {len(rows) for rows in chunks.cut([f"{index}.JPEG" for index in range(409_600)])} == {4096}


def test_the_processes_end_with_the_work(
    raw: Path, paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[HelperProcess] = set()
    original = HelperProcess.ask

    def ask(self: HelperProcess, request: object) -> dict[str, Any]:
        asked.add(self)
        return original(self, request)

    monkeypatch.setattr(HelperProcess, "ask", ask)
    prepare(make_listing(paths), Preparation(raw, tmp_path / "out", workers=2))
    assert 1 <= len(asked) <= 2  # kept from chunk to chunk
    assert not any(process._process for process in asked)


# ------------------------------------------------------------------------------------------------------ wrong input


def test_wrong_input_gets_one_line(raw: Path, paths: list[str], tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    plan = Preparation(raw, tmp_path / "out")
    cases = [
        (make_listing([]), plan, "holds none of the listed videos"),
        (make_listing([paths[0], paths[0]]), plan, "is listed twice"),
        (make_listing(["../x.mp4"]), plan, "is not a plain path inside"),
        (make_listing(["new\nline/../x.mp4"]), plan, "is not a plain path inside"),
        (make_listing(["/x.mp4"]), plan, "is not a plain path inside"),
        (make_listing(["a//x.mp4"]), plan, "is not a plain path inside"),
        (make_listing(["\udcff.mp4"]), plan, "must be UTF-8"),
        (make_listing(["a.JPG"]), dataclasses.replace(plan, format="video"), "choose packed, frames or hdf5"),
        (make_listing(paths), dataclasses.replace(plan, out=raw), "lies inside --raw"),
        (make_listing(paths), dataclasses.replace(plan, out=raw / "c0" / "out"), "lies inside --raw"),
        (make_listing(paths), dataclasses.replace(plan, out=blocked), "Not a directory"),
        (make_listing(paths), dataclasses.replace(plan, out=blocked / "deeper"), "Not a directory"),
        (
            make_listing(paths),
            dataclasses.replace(plan, format="video", convert=False, shard=(1, 2)),
            "--shard has nothing to share out",
        ),
    ]
    for listing, other, message in cases:
        with pytest.raises(InputError) as error:
            prepare(listing, other)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


NAMES = [
    "a b.mp4",
    "it's.mp4",
    'say "hi".mp4',
    "ü/ñ 日本.mp4",
    "new\nline.mp4",
    "back\\slash.mp4",
    "%s {x} #1.mp4",
    "r\r.mp4",
]


@pytest.mark.parametrize("format", STORED)
def test_any_name(format: Any, raw: Path, paths: list[str], tmp_path: Path, make_config: Callable[..., Config]) -> None:
    own, out = tmp_path / "raw", tmp_path / "out"
    (own / "ü").mkdir(parents=True)
    for name, path in zip(NAMES, paths, strict=True):
        shutil.copy(raw / path, own / name)
    outcome = prepare(make_listing(NAMES), Preparation(own, out, format, size=24, verify=True))
    assert outcome.failures == []
    assert outcome.summary is not None
    assert outcome.summary.bad == []
    config = make_config(out, "short_videos=loop")
    read = {}
    for catalog in open_catalogs(config, config.groups, tmp_path / "bad.csv").values():
        reader = reader_for(catalog, config)
        for row, stored in zip(catalog.table.itertuples(), catalog.stored, strict=True):
            read[row.path] = len(reader.read(catalog.root / stored, np.arange(int(str(row.frames))), (24, 36)))
    assert read == {name: 5 + int(path[-6:-4]) for name, path in zip(NAMES, paths, strict=True)}
