"""Preparing that is stopped, continued, repeated, shared out or met by a full disk."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from config.errors import InputError
from data_utils.prepare.conversion import out_folder
from data_utils.prepare.conversion.engine import prepare
from data_utils.prepare.conversion.preparation import Preparation
from data_utils.video_files.helper_process import FaultError
from tests.data_utils.prepare.conversion.engine_scaffolding import (
    MISBEHAVING_COMMAND,
    contents,
    make_listing,
    tree,
)

STORED = ("packed", "frames", "hdf5", "video")


@pytest.mark.parametrize("format", STORED)
def test_running_it_twice_changes_nothing(format: Any, raw: Path, paths: list[str], tmp_path: Path) -> None:
    plan = Preparation(raw, tmp_path / "out", format, size=24, workers=2)
    first = prepare(make_listing(paths), plan)
    before = tree(plan.out)
    assert prepare(make_listing(paths), plan) == first
    assert tree(plan.out) == before


def test_shards_make_what_one_run_makes(raw: Path, paths: list[str], tmp_path: Path) -> None:
    whole = Preparation(raw, tmp_path / "whole")
    complete = prepare(make_listing(paths), whole)
    shared = dataclasses.replace(whole, out=tmp_path / "shared")
    outcomes = [prepare(make_listing(paths), dataclasses.replace(shared, shard=(index, 3))) for index in (3, 1, 2)]
    assert [len(outcome.open_chunks) for outcome in outcomes] == [6, 3, 0]
    assert [outcome.summary is None for outcome in outcomes] == [True, True, False]
    assert contents(shared.out) == contents(whole.out)

    merged = tmp_path / "merged"
    for index in (1, 2, 3):
        out = tmp_path / f"part {index}"
        outcome = prepare(make_listing(paths), dataclasses.replace(whole, out=out, shard=(index, 3)))
        assert outcome.summary is None
        shutil.copytree(out, merged, dirs_exist_ok=True)
    untouched = {name: value for name, value in tree(merged).items() if name.startswith("shards")}
    outcome = prepare(make_listing(paths), dataclasses.replace(whole, out=merged))
    assert outcome.summary is not None
    assert complete.summary is not None
    lines = [
        [line for line in summary.lines() if "dataset:" not in line] for summary in (outcome.summary, complete.summary)
    ]
    assert lines[0] == lines[1]
    assert contents(merged) == contents(whole.out)
    assert untouched == {name: value for name, value in tree(merged).items() if name.startswith("shards")}


def test_a_start_without_shard_does_the_rest(raw: Path, paths: list[str], tmp_path: Path) -> None:
    plan = Preparation(raw, tmp_path / "out")
    prepare(make_listing(paths), dataclasses.replace(plan, shard=(2, 3)))
    begun = {name: value for name, value in tree(plan.out).items() if "chunk" in name}
    assert len(begun) == 3
    assert prepare(make_listing(paths), plan).summary is not None
    assert begun.items() <= tree(plan.out).items()


def test_another_dataset_in_the_same_folder_is_refused(raw: Path, paths: list[str], tmp_path: Path) -> None:
    plan = Preparation(raw, tmp_path / "out")
    prepare(make_listing(paths), plan)
    before = tree(plan.out)
    others = [
        (make_listing(paths), dataclasses.replace(plan, size=128), "size 256, now 128"),
        (make_listing(paths), dataclasses.replace(plan, format="frames"), "format packed, now frames"),
        (
            make_listing(paths),
            dataclasses.replace(plan, format="video", convert=False),
            "now video (files as they are)",
        ),
        (make_listing(paths[1:]), plan, "'val': 2}, now {"),
        (make_listing(paths[::-1]), plan, "another list of videos"),
        (make_listing(paths, name="other"), plan, "dataset test, now other"),
    ]
    for listing, other, message in others:
        with pytest.raises(InputError) as error:
            prepare(listing, other)
        assert message in str(error.value)
        assert "choose another --out" in str(error.value)
        assert "\n" not in str(error.value)
    assert tree(plan.out) == before


def test_files_of_others_are_not_overwritten(raw: Path, paths: list[str], tmp_path: Path) -> None:
    for name in ("train.csv", "dataset.json"):
        out = tmp_path / name
        out.mkdir()
        (out / name).write_text("mine")
        with pytest.raises(InputError, match="was not made by this program; choose another --out"):
            prepare(make_listing(paths), Preparation(raw, out))
        assert contents(out) == {name: b"mine"}


@pytest.mark.parametrize("where", ["in the process that writes", "in the catalogs"])
def test_a_full_disk_is_told_and_continued(
    where: str, raw: Path, paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "raw"
    shutil.copytree(raw, own)
    shutil.copy(own / paths[0], own / "full.mp4")
    listing = make_listing([*paths, "full.mp4"])
    plan = Preparation(own, tmp_path / "out")
    with monkeypatch.context() as patch:
        command: tuple[str, ...] | None = MISBEHAVING_COMMAND
        if where == "in the catalogs":
            command = None

            def full(path: Path, text: str) -> None:
                if path.suffix == ".csv":
                    raise out_folder.unwritable(path, os.strerror(errno.ENOSPC))
                original(path, text)

            original = out_folder.write_file
            patch.setattr("data_utils.prepare.conversion.catalogs.write_file", full)
        with pytest.raises(InputError, match=r"cannot be written: No space left on device; fix that") as error:
            prepare(listing, dataclasses.replace(plan, command=command))
        assert "\n" not in str(error.value)
    assert not list(plan.out.rglob("*.tmp"))
    assert not list(plan.out.glob(".prepare/parts/*-*"))
    assert prepare(listing, plan).summary is not None
    prepare(listing, dataclasses.replace(plan, out=tmp_path / "at once"))
    assert contents(plan.out) == contents(tmp_path / "at once")


def test_want_of_memory_is_no_fault_of_the_video(raw: Path, paths: list[str], tmp_path: Path) -> None:
    own = tmp_path / "raw"
    shutil.copytree(raw, own)
    shutil.copy(own / paths[0], own / "killed.mp4")
    with pytest.raises(InputError, match=r"killed.mp4: the memory does not suffice .* use fewer --workers"):
        prepare(make_listing([*paths, "killed.mp4"]), Preparation(own, tmp_path / "out", command=MISBEHAVING_COMMAND))


def test_a_bug_is_not_taken_for_a_bad_video(raw: Path, paths: list[str], tmp_path: Path) -> None:
    own = tmp_path / "raw"
    shutil.copytree(raw, own)
    shutil.copy(own / paths[0], own / "bug.mp4")
    with pytest.raises(FaultError, match="'NoneType' object is not callable"):
        prepare(make_listing([*paths, "bug.mp4"]), Preparation(own, tmp_path / "out", command=MISBEHAVING_COMMAND))


def test_what_killed_processes_left_is_removed(raw: Path, paths: list[str], tmp_path: Path) -> None:
    parts = tmp_path / "out" / ".prepare" / "parts"
    mine = out_folder.parts_folder(tmp_path / "out", 3).name
    dead = mine.replace(f"-{os.getpid()}", "-99999999")
    elsewhere = "00003-another-machine-7"
    for name in (mine, dead, elsewhere):
        (parts / name).mkdir(parents=True)
    out_folder.remove_leftovers(tmp_path / "out")
    assert [folder.name for folder in parts.iterdir()] == [elsewhere]
    prepare(make_listing(paths), Preparation(raw, tmp_path / "out"))
    assert not parts.exists()


def test_damaged_records_are_made_anew(raw: Path, paths: list[str], tmp_path: Path) -> None:
    plan = Preparation(raw, tmp_path / "out")
    prepare(make_listing(paths), plan)
    before = contents(plan.out)
    out_folder.chunk_file(plan.out, 4).write_text('{"spec"')
    prepare(make_listing(paths), plan)
    assert contents(plan.out) == before
    (plan.out / ".prepare" / "spec.json").write_text("{")
    with pytest.raises(InputError, match=r"spec.json is damaged; remove .* and start again"):
        prepare(make_listing(paths), plan)


@pytest.mark.parametrize("format", STORED)
def test_what_was_stored_and_is_gone_is_made_again(format: Any, raw: Path, paths: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = Preparation(raw, out, format, size=24, workers=2)
    prepare(make_listing(paths), plan)
    before = contents(out)
    gone = next(place for place in sorted(out.glob("*/*")) if place.parent.name in ("shards", "frames", "videos"))
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    assert contents(out) != before
    prepare(make_listing(paths), plan)
    assert contents(out) == before
