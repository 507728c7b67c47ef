from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from data_utils.video_files import facts_cache
from data_utils.video_files.decoding import SeekPoint
from data_utils.video_files.facts_cache import FILE_NAME, verified_facts, verified_videos
from data_utils.video_files.inspection import VideoFacts

GOOD = VideoFacts(16, 32, 48, 25.0, (SeekPoint(300, 12),))


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Names of the files that are decoded; what decoding finds depends on the name."""
    names: list[str] = []

    def decode(paths: Sequence[Path], num_workers: int) -> Iterator[tuple[int, VideoFacts | str]]:
        for index, path in reversed(list(enumerate(paths))):
            names.append(path.name)
            if path.name == "interrupt":
                raise KeyboardInterrupt
            yield index, {"damaged": "damaged: 1 of 2 frames decode", "missing": "no such file"}.get(path.name, GOOD)

    monkeypatch.setattr(facts_cache, "verify_videos", decode)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return names


def files(root: Path, *names: str) -> list[str]:
    root.mkdir(exist_ok=True)
    for name in names:
        if name != "missing":
            (root / name).write_text(name)
    return list(names)


def test_a_second_start_decodes_nothing_but_what_may_have_changed(tmp_path: Path, verified: list[str]) -> None:
    root = tmp_path / "data"
    paths = files(root, "a", "damaged", "missing", "b")
    expected = [GOOD, "damaged: 1 of 2 frames decode", "no such file", GOOD]
    assert verified_facts(root, paths, root, 1) == expected
    assert sorted(verified) == sorted(paths)

    verified.clear()
    assert verified_facts(root, paths, root, 1) == expected
    assert verified == ["missing"]

    verified.clear()
    os.utime(root / "b", ns=(0, 5))
    (root / "a").write_text("longer")
    verified_facts(root, paths, root, 1)
    assert sorted(verified) == ["a", "b", "missing"]


def test_an_interrupted_verification_goes_on_where_it_ended(tmp_path: Path, verified: list[str]) -> None:
    root = tmp_path / "data"
    paths = files(root, "later", "interrupt", "a", "b")
    with pytest.raises(KeyboardInterrupt):
        verified_facts(root, paths, root, 1)
    verified.clear()
    verified_facts(root, ["later", "a", "b"], root, 1)
    assert verified == ["later"]


def test_a_folder_that_cannot_be_written_leaves_it_to_the_users_cache(tmp_path: Path, verified: list[str]) -> None:
    root = tmp_path / "data"
    paths = files(root, "a")
    unwritable = tmp_path / "no" / "folder"
    verified_facts(root, paths, unwritable, 1)
    verified_facts(root, paths, unwritable, 1)
    assert verified == ["a"]
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 1


def test_no_place_at_all_is_said(
    tmp_path: Path, verified: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "data"
    paths = files(root, "a")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert verified_facts(root, paths, tmp_path / "no" / "folder", 1) == [GOOD]
    assert "the next start verifies all videos again" in caplog.text


@pytest.mark.parametrize("change", ["garbage", "version", "decoder"])
def test_a_list_that_does_not_fit_is_made_anew(change: str, tmp_path: Path, verified: list[str]) -> None:
    root = tmp_path / "data"
    paths = files(root, "a")
    verified_facts(root, paths, root, 1)
    content = json.loads((root / FILE_NAME).read_text())
    (root / FILE_NAME).write_text("{" if change == "garbage" else json.dumps(content | {change: "other"}))
    assert verified_facts(root, paths, root, 1) == [GOOD]
    assert verified == ["a", "a"]


def test_only_what_is_new_is_written(tmp_path: Path, verified: list[str]) -> None:
    """Writing what is known of a million videos takes seconds."""
    root = tmp_path / "data"
    paths = files(root, "a", "missing")
    verified_facts(root, paths, root, 1)
    written = (root / FILE_NAME).stat().st_ino
    verified_facts(root, paths, root, 1)
    assert verified == ["missing", "a", "missing"]
    assert (root / FILE_NAME).stat().st_ino == written
    verified_facts(root, files(root, "b"), root, 1)
    assert verified_facts(root, ["b", "a"], root, 1) == [GOOD, GOOD]
    assert verified == ["missing", "a", "missing", "b"]


def test_a_mended_video_is_bad_no_more_and_the_other_way_round(
    tmp_path: Path, verified: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    paths = files(root, "damaged", "a")
    assert verified_facts(root, paths, root, 1) == ["damaged: 1 of 2 frames decode", GOOD]
    (root / "damaged").write_text("mended")
    (root / "a").write_text("broken now")
    results: list[VideoFacts | str] = [VideoFacts(5, 32, 48, 25.0), "damaged: 2 of 3 frames decode"]
    monkeypatch.setattr(facts_cache, "verify_videos", lambda paths, num_workers: enumerate(results))
    assert verified_facts(root, paths, root, 1) == results
    monkeypatch.setattr(facts_cache, "verify_videos", None)
    assert verified_facts(root, paths, root, 1) == results


def test_columns_are_in_the_order_of_the_paths(tmp_path: Path, verified: list[str]) -> None:
    root = tmp_path / "data"
    verified_facts(root, files(root, "a", "b", "damaged"), root, 1)
    found = verified_videos(root, ["damaged", "b", "a"], root, 1)
    assert found.table.index.tolist() == ["damaged", "b", "a"]
    assert found.table["frames"].tolist() == [0, 16, 16]
    assert found.table["fps"].tolist() == [0.0, 25.0, 25.0]
    assert found.reasons == {"damaged": "damaged: 1 of 2 frames decode"}
    assert found.seek_points["b"] == (SeekPoint(300, 12),)


def test_a_missing_list_is_nothing_to_speak_of(
    tmp_path: Path, verified: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    verified_facts(tmp_path / "data", files(tmp_path / "data", "a"), tmp_path / "data", 1)
    assert caplog.messages == []


def test_real_files_go_through_it(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    path = write_video(tmp_path / "a.mp4", 6)
    first = verified_facts(tmp_path, [path.name], tmp_path, 1)
    assert first == [VideoFacts(6, 32, 48, 25.0)]
    assert verified_facts(tmp_path, [path.name], tmp_path, 1) == first
