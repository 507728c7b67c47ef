"""prepare.py as a user starts it."""

from __future__ import annotations

import fcntl
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from PIL import Image

import prepare
from config.data import CatalogDataset
from config.load import load_config
from data_utils.batches.opening import open_catalogs
from data_utils.batches.plan import Plan
from data_utils.catalog.catalog_file import read_catalog_files, read_csv
from data_utils.catalog.dataset_card import read_card
from data_utils.formats.packed import PackedReader
from data_utils.prepare import moving_digits
from data_utils.prepare.conversion.converter_pool import POOL
from protocols.knn import knn_settings
from runs.completing import complete
from tasks.encoder_settings import HierarchySettings
from tests.data_utils.conftest import number_of, numbered_frame, write_video
from tests.data_utils.prepare.conversion.engine_scaffolding import contents, tree

REPOSITORY = Path(prepare.__file__).resolve().parent


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes with ten videos each."""
    folder = tmp_path_factory.mktemp("prepare") / "my videos"
    for index in range(20):
        write_video(folder / "ab"[index % 2] / f"{index:02d}.mp4", 40, size=(64, 96), first_number=100 * index)
    return folder


# -------------------------------------------------------------------------------------------------------- the result


def test_what_a_user_sees(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "my out"
    command = [sys.executable, "prepare.py", "folder", "--raw", str(raw), "--out", str(out), "--size", "32"]
    result = subprocess.run([*command, "--workers", "2", "--verify"], cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0] == f"20 videos in {raw}"
    assert "verified: all 20 stored videos were read back, with as many frames as listed" in lines
    begin = lines.index("folder, packed, shorter side at most 32")
    assert [line.split() for line in lines[begin + 1 : begin + 4]] == [
        ["train", "12", "videos", "480", "frames", "19", "s"],
        ["val", "4", "videos", "160", "frames", "6", "s"],
        ["test", "4", "videos", "160", "frames", "6", "s"],
    ]
    assert re.fullmatch(r"  all +20 videos +800 frames +32 s +[\d.]+ kB", lines[begin + 4])
    assert lines[begin + 5] == "left out: 0 of 20 listed videos"
    assert lines[begin + 6].startswith("mean [0.")
    assert lines[begin + 7] == "note: val is small (4 videos): a score of 50 % there means 15 to 85 %"
    marker = lines.index("to train on it, put into your config:")
    dataset = yaml.safe_load("\n".join(lines[marker + 1 :]))["dataset"]
    assert CatalogDataset.model_validate(dataset).root == str(out)
    tables = read_catalog_files(out, out)
    assert sorted(path for table in tables.values() for path in table["path"]) == sorted(
        str(file.relative_to(raw)) for file in raw.rglob("*.mp4")
    )


def test_files_as_they_are_by_name_of_the_format(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert prepare.main(["folder", "--raw", str(raw), "--out", str(out), "--format", "video"]) == 0
    lines = capsys.readouterr().out.splitlines()
    dataset = yaml.safe_load("\n".join(lines[lines.index("to train on it, put into your config:") + 1 :]))["dataset"]
    assert dataset == {"name": "catalog", "root": str(raw), "catalog": str(out)}
    assert {file.name for file in out.iterdir()} == {
        *("train.csv", "val.csv", "test.csv", "bad_videos.csv", "dataset.json", ".prepare")
    }


@pytest.mark.parametrize(("size", "expected"), [("32", (32, 48)), ("original", (64, 96)), ("0", (64, 96))])
def test_size_with_format_video_encodes_anew(size: str, expected: tuple[int, int], raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["folder", "--raw", str(raw), "--out", str(out), "--format", "video", "--size", size]
    assert prepare.main([*arguments, "--workers", "2"]) == 0
    table = read_csv(out / "val.csv")
    assert set(zip(table["height"].astype(int), table["width"].astype(int), strict=True)) == {expected}
    assert all((out / stored).is_file() for stored in table["stored"])
    card = read_card(out)
    assert card is not None
    assert card.size == (32 if size == "32" else None)


def test_moving_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(moving_digits, "prepare", lambda *arguments: calls.append(arguments))
    assert prepare.main(["moving_digits", "--out", str(tmp_path), "--train", "5", "--seed", "3"]) == 0
    assert calls == [(tmp_path, {"train": 5, "val": 480, "test": 720}, 3, "easy")]
    assert "train: 5 videos" in capsys.readouterr().out
    assert prepare.main(["moving_digits", "--out", str(tmp_path), "--difficulty", "hard"]) == 0
    assert calls[1:] == [(tmp_path, {"train": 2400, "val": 480, "test": 720}, 0, "hard")]
    for arguments, message in {
        ("--val", "0"): "at least one video each",
        ("--seed", "-1"): "--seed must not be below 0",
        ("--raw", "x"): "leave --raw out",
        ("--format", "packed"): "--raw is missing",
        ("--size", "24"): "--raw is missing",
    }.items():
        assert prepare.main(["moving_digits", "--out", str(tmp_path), *arguments]) == 2
        assert message in capsys.readouterr().err
    assert len(calls) == 2


def test_hard_moving_digits_in_another_format(tmp_path: Path) -> None:
    counts = ["--train", "4", "--val", "2", "--test", "2", "--difficulty", "hard"]
    raw, out = tmp_path / "raw", tmp_path / "out"
    places = ["--raw", str(raw), "--out", str(out)]
    assert prepare.main(["moving_digits", *places, "--format", "packed", *counts, "--workers", "2"]) == 0
    assert json.loads((raw / moving_digits.SPEC_FILE).read_text())["difficulty"] == "hard"
    stored = read_csv(out / "train.csv")
    assert stored["program"].tolist() == read_csv(raw / "train.csv")["program"].tolist()
    assert stored["frames"].tolist() == ["16"] * 4


@pytest.mark.parametrize("format", ["packed", "video"])
def test_moving_digits_in_another_format(format: str, tiny_dataset: Path, tmp_path: Path) -> None:
    counts = ["--train", "24", "--val", "12", "--test", "12", "--seed", "0"]
    before = contents(tiny_dataset)
    places = ["--raw", str(tiny_dataset), "--out", str(tmp_path / "out")]
    size = ["--size", "24"] if format == "video" else []
    assert prepare.main(["moving_digits", *places, "--format", format, *counts, *size, "--workers", "2"]) == 0
    assert contents(tiny_dataset) == before
    made, stored = read_csv(tiny_dataset / "train.csv"), read_csv(tmp_path / "out" / "train.csv")
    for column in ("path", "program", "motion", "digit"):
        assert stored[column].tolist() == made[column].tolist()
    assert stored["label"].tolist() == made["program"].tolist()
    card = read_card(tmp_path / "out")
    assert card is not None
    assert (card.name, card.format, card.flip) == ("moving_digits", format, 0.0)
    assert card.mean == pytest.approx((0.3, 0.3, 0.3), abs=0.05)


def printed_config(text: str) -> str:
    lines = text.splitlines()
    return "\n".join(lines[lines.index("to train on it, put into your config:") + 1 :])


def test_every_file_of_the_download_is_used_or_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    for label in "pq":
        for number, name in enumerate(["0.mp4", "1.mp4", "who/2.mp4", "who/3.mp4", "CAM.MTS"]):
            write_video(tmp_path / "made.mp4", 6, first_number=10 * number)
            (raw / label / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "made.mp4").rename(raw / label / name)
    (raw / "stray.mp4").write_bytes((raw / "p" / "0.mp4").read_bytes())
    (raw / "p" / "notes.txt").write_text("read me")
    arguments = ["folder", "--raw", str(raw), "--out", str(out), "--workers", "2"]
    assert prepare.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "left out: 0 of 10 listed videos\nnot used: 2 files of the download\n" in printed
    assert "       1  not a video: p/notes.txt\n" in printed
    assert f"  all of them: {out / 'unused_files.csv'}\n" in printed
    assert sorted(read_csv(out / "unused_files.csv")["path"]) == ["p/notes.txt", "stray.mp4"]
    tables = read_catalog_files(out, out)
    assert sum(len(table) for table in tables.values()) == 10
    for name in ("stray.mp4", "p/notes.txt"):
        (raw / name).unlink()
    assert prepare.main(arguments) == 0
    assert "not used" not in capsys.readouterr().out
    assert not (out / "unused_files.csv").exists()


def test_folders_of_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    lines = []
    for video in range(6):
        (raw / f"v{video}").mkdir(parents=True)
        for number in range(8 + video):
            picture = Image.fromarray(numbered_frame(16 * video + number, 48, 72))
            picture.save(raw / f"v{video}" / f"img_{number + 1}.png")
            picture.save(raw / f"v{video}" / f"flow_x_{number + 1}.png")
        lines.append(f"v{video} {8 + video} {video % 2}\n")
    (raw / "list.txt").write_text("".join(lines))
    arguments = ["lists", "--raw", str(raw), "--train", "list.txt", "--workers", "2", "--out"]
    assert prepare.main([*arguments, str(out), "--fps", "12"]) == 0
    assert "a picture beside the frames img_#.png" in capsys.readouterr().out
    table = pd.concat([read_csv(out / f"{split}.csv") for split in ("train", "val", "test")]).set_index("path")
    assert {path: int(frames) for path, frames in table["frames"].items()} == {f"v{n}": 8 + n for n in range(6)}
    assert set(table["fps"].astype(float)) == {12.0}
    frames = PackedReader().read(out / table["stored"]["v3"], np.arange(11), (48, 72))
    assert [number_of(picture) for picture in frames] == list(range(48, 59))
    assert prepare.main([*arguments, str(tmp_path / "2"), "--format", "video"]) == 2
    assert "v0 is a folder of frames; choose the format packed, frames or hdf5" in capsys.readouterr().err
    assert prepare.main([*arguments, str(tmp_path / "3"), "--format", "video", "--size", "48", "--fps", "12"]) == 0
    assert (tmp_path / "3" / read_csv(tmp_path / "3" / "val.csv")["stored"][2]).is_file()


@pytest.mark.parametrize("format", ["packed", "video"])
def test_the_printed_config_fits(format: str, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main(["folder", "--raw", str(raw), "--out", str(tmp_path / "out"), "--format", format]) == 0
    (tmp_path / "mine.yaml").write_text(printed_config(capsys.readouterr().out))
    config = complete(load_config(str(tmp_path / "mine.yaml"), [])).config
    catalogs = open_catalogs(config, config.groups, tmp_path / "bad.csv")
    plan = Plan(catalogs["train"], config, config.batch_size, config.seed, training=True)
    assert {split: len(catalog.table) for split, catalog in catalogs.items()} == {"train": 12, "val": 4, "test": 4}
    assert config.frame_size == [64, 96]
    assert config.section(HierarchySettings).patch_size == 16
    assert config.window.sampling == "uniform"  # 40 frames at 25 per second
    assert len(plan) * config.num_epochs >= 500
    assert knn_settings(config.evaluations).k == 5


# --------------------------------------------------------------------------------------------- stopped and continued


@pytest.fixture(scope="module")
def at_once(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one start without a stop makes."""
    out = tmp_path_factory.mktemp("prepare") / "out"
    assert prepare.main(["folder", "--raw", str(raw), "--out", str(out), "--workers", "2"]) == 0
    return contents(out)


@contextmanager
def one_chunk_taken(out: Path, number: int) -> Iterator[None]:
    """Within the block another process seems to be at work on a chunk, so preparing `out` waits for it."""
    lock = out / ".prepare" / "parts" / f"{number:05d}.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_and_continued(
    number: signal.Signals, raw: Path, at_once: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["folder", "--raw", str(raw), "--out", str(out), "--workers", "2"]
    with one_chunk_taken(out, 19):  # it cannot be ready before the signal
        process = subprocess.Popen(
            [sys.executable, "prepare.py", *arguments], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
        )
        while not list(out.glob(".prepare/chunk-*.json")):
            assert process.poll() is None
            time.sleep(0.001)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        _, errors = process.communicate()
    done = len(list(out.glob(".prepare/chunk-*.json")))
    assert 0 < done < 20
    assert not list(out.glob("*.csv"))
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        assert errors.strip() == f"{number.name}: stopped; the same command goes on where it ended"
        assert not list(out.glob(".prepare/parts/*-*"))
    assert children
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        time.sleep(0.01)

    chunks = {name: value for name, value in tree(out).items() if name.startswith(".prepare/chunk")}
    assert prepare.main(arguments) == 0
    assert f"{done} of 20 videos are converted already" in capsys.readouterr().out
    assert chunks.items() <= tree(out).items()
    assert contents(out) == at_once


def test_started_twice_at_once(raw: Path, at_once: dict[str, bytes], tmp_path: Path) -> None:
    arguments = ["folder", "--raw", str(raw), "--out", str(tmp_path / "out"), "--workers", "1"]
    command = [sys.executable, "prepare.py", *arguments]
    settings = {"cwd": REPOSITORY, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    both = [subprocess.Popen(command, **settings) for _ in range(2)]  # type: ignore[call-overload]
    for process in both:
        printed, _ = process.communicate()
        assert process.returncode == 0, printed
    assert contents(tmp_path / "out") == at_once


def test_shards_by_command(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["folder", "--raw", str(raw), "--out", str(tmp_path / "out"), "--workers", "2"]
    assert prepare.main([*arguments, "--shard", "2/2"]) == 0
    text = capsys.readouterr().out
    assert "shard 2/2 is done; 10 of 20 chunks are" in text
    assert "without --shard does all that is left" in text
    assert not (tmp_path / "out" / "train.csv").exists()
    assert prepare.main([*arguments, "--shard", "1/2"]) == 0
    assert "left out: 0 of 20 listed videos" in capsys.readouterr().out
    before = tree(tmp_path / "out")
    assert prepare.main(arguments) == 0
    assert tree(tmp_path / "out") == before


def test_a_dask_cluster_makes_the_same(
    raw: Path, at_once: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    arguments = ["folder", "--raw", str(raw), "--out", str(tmp_path / "out")]
    with distributed.LocalCluster(**settings) as cluster:
        monkeypatch.setattr(POOL, "lend", None)  # nothing is converted here
        assert prepare.main([*arguments, "--dask", cluster.scheduler_address, "--workers", "1", "--verify"]) == 0
    assert contents(tmp_path / "out") == at_once


# --------------------------------------------------------------------------------------------------------- bad input


def test_verify_that_fails_is_told(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["folder", "--raw", str(raw), "--out", str(out), "--workers", "2"]
    assert prepare.main(arguments) == 0
    shard = sorted((out / "shards").iterdir())[3]
    shard.write_bytes(shard.read_bytes()[:-2000])
    assert prepare.main(arguments) == 0
    capsys.readouterr()
    assert prepare.main([*arguments, "--verify"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors[0] == "1 stored videos are not as they should be:"
    assert errors[1].startswith("  a/")
    assert errors[-1] == "the same command converts them anew"
    assert prepare.main([*arguments, "--verify"]) == 0


def test_max_bad(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "raw"
    for index, file in enumerate(sorted(raw.rglob("*.mp4"))):
        (own / file.parent.name).mkdir(parents=True, exist_ok=True)
        (own / file.parent.name / file.name).write_bytes(b"" if index in (3, 15) else file.read_bytes())
    arguments = ["folder", "--raw", str(own), "--out", str(tmp_path / "out"), "--workers", "2"]
    assert prepare.main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.err == "error: 10.00% of the listed videos were left out, --max-bad allows 1.00%\n"
    assert "left out: 2 of 20 listed videos (10.00%)\n       2  empty file: " in captured.out
    assert (tmp_path / "out" / "train.csv").exists()
    assert prepare.main([*arguments, "--max-bad", "0.1"]) == 0
    assert prepare.main([*arguments, "--max-bad", "0.099"]) == 1


def one_line(text: str) -> str:
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shard", "3/2"], "--shard 3/2: expected I/N"),
        (["--shard", "0/2"], "--shard 0/2: expected I/N"),
        (["--shard", "half"], "--shard half: expected I/N"),
        (["--workers", "0"], "--workers 0: at least 1"),
        (["--workers", "-3"], "--workers -3: at least 1"),
        (["--workers", "all"], "--workers all: at least 1"),
        (["--size", "big"], "--size big is not a number of pixels"),
        (["--size", "-5"], "--size -5 is not a number of pixels"),
        (["--max-bad", "2"], "--max-bad 2 is not a share"),
        (["--max-bad", "nan"], "--max-bad nan is not a share"),
        (["--dask", "tcp://127.0.0.1:1"], "--dask tcp://127.0.0.1:1: no scheduler answers there"),
        (["--dask", "nonsense://"], "--dask nonsense://: no scheduler answers there"),
        (["--format", "video", "--shard", "1/2"], "--shard has nothing to share out"),
    ],
)
def test_wrong_options_get_one_line(
    arguments: list[str],
    message: str,
    raw: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prepare, "_DASK_SECONDS", 1)
    assert prepare.main(["folder", "--raw", str(raw), "--out", str(tmp_path / "out"), *arguments]) == 2
    assert message in one_line(capsys.readouterr().err)
    assert not (tmp_path / "out" / "train.csv").exists()


def test_wrong_folders_get_one_line(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty, single = tmp_path / "empty", tmp_path / "single"
    empty.mkdir()
    (single / "a").mkdir(parents=True)
    (single / "a" / "x.mp4").write_bytes((raw / "a" / "00.mp4").read_bytes())
    for given, out, message in [
        (empty, tmp_path / "out", str(empty)),
        (single, tmp_path / "out", "1 video cannot be dealt to train, val and test, which need one each; add some"),
        (tmp_path / "none", tmp_path / "out", "is not a folder"),
        (raw / "a" / "00.mp4", tmp_path / "out", "is not a folder"),
        (raw, raw, "lies inside --raw"),
        (raw, raw / "out", "lies inside --raw"),
        (raw, raw / "a" / "00.mp4", "lies inside --raw"),
        (raw, single / "a" / "x.mp4", "Not a directory"),
    ]:
        assert prepare.main(["folder", "--raw", str(given), "--out", str(out)]) == 2
        assert message in one_line(capsys.readouterr().err)
    assert not (raw / "out").exists()


def test_folders_without_rights_get_one_line(
    raw: Path, tmp_path: Path, bound_by_rights: None, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (tmp_path / "raw" / "a").mkdir(parents=True)
    closed.chmod(0o500)
    (tmp_path / "raw" / "a").chmod(0)
    try:
        for given, out in ((raw, closed / "out"), (raw, closed), (tmp_path / "raw", tmp_path / "out")):
            assert prepare.main(["folder", "--raw", str(given), "--out", str(out)]) == 2
            assert "Permission denied" in one_line(capsys.readouterr().err)
    finally:
        closed.chmod(0o700)
        (tmp_path / "raw" / "a").chmod(0o700)


def test_dask_that_is_not_installed(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert prepare.main(["folder", "--raw", str(raw), "--out", str(tmp_path / "out"), "--dask", "x"]) == 2
    assert "--dask needs the package distributed" in one_line(capsys.readouterr().err)


def test_usage_errors_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["unknown"], ["folder"], ["folder", "--raw", "x", "--out", "y", "--format", "zip"]):
        with pytest.raises(SystemExit) as error:
            prepare.main(arguments)
        assert error.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("dataset", prepare.DATASETS)
def test_help_of_every_dataset(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        prepare.main([dataset, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for option in ("--raw", "--out", "--format", "--size", "--workers", "--shard", "--verify", "--max-bad", "--dask"):
        assert option in text


def test_progress_lines_where_there_is_no_terminal(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data_utils.video_files.progress.SECONDS_BETWEEN_LINES", 0.0)
    assert prepare.main(["folder", "--raw", str(raw), "--out", str(tmp_path / "out"), "--workers", "2"]) == 0
    assert re.search(r"^converting: 10 of 20, about \d+ (s|min) left$", capsys.readouterr().out, re.MULTILINE)


def test_signals_are_handled_as_before_afterwards(raw: Path, tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    prepare.main(["folder", "--raw", str(raw), "--out", str(tmp_path / "out"), "--format", "video"])
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
