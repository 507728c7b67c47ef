"""python encode.py: the features of any videos in one file, gone on with after an interruption, and searched."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import protocols.split_arrays
from config.schema import Config
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from encode import main
from encoding.feature_file import VideoFeatures, nearest
from protocols.encoding import encode_split
from runs.checkpoint import save_encoder
from runs.process.seeds import seed_everything
from tasks.encoder import build_hierarchy

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def encoder(tiny_config: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder.safetensors of small numbers."""
    config = tiny_config("batch_size=3")
    seed_everything(0)
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    folder.mkdir()
    return save_encoder(build_hierarchy(config).state_dict(), {"config": config.model_dump(), "step": 0}, folder)


@pytest.fixture
def videos(tiny_catalogs: dict[str, Catalog], tmp_path: Path) -> Path:
    """The test videos in a folder of their own, two levels deep, with files that are none."""
    catalog = tiny_catalogs["test"]
    for number, path in enumerate(catalog.table["path"]):
        target = tmp_path / "films" / f"{number % 2}" / f"{number:02}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(catalog.root / path, target)
    (tmp_path / "films" / "notes.txt").write_text("nothing to see")
    return tmp_path / "films"


def run(encoder: Path, *more: object) -> int:
    return main([str(encoder), *map(str, more), "--workers", "0"])


def test_features_are_those_that_evaluation_has(
    encoder: Path, videos: Path, tmp_path: Path, tiny_catalogs: dict[str, Catalog], tiny_config: Callable[..., Config]
) -> None:
    out = tmp_path / "new" / "features.npz"
    assert run(encoder, videos, "--out", out) == 0
    found = np.load(out)
    assert found["paths"].tolist() == [f"{n % 2}/{n:02}.mp4" for n in (*range(0, 12, 2), *range(1, 12, 2))]
    config = tiny_config("batch_size=3")
    seed_everything(0)
    bad = BadVideos(tmp_path / "bad.csv", 12, 0.0, "x")
    split = encode_split(build_hierarchy(config), tiny_catalogs["test"], config, torch.device("cpu"), bad)
    order = [*range(0, 12, 2), *range(1, 12, 2)]
    for level, features in split.features[1].items():
        np.testing.assert_allclose(found[level], features[order, 0], atol=1e-5)
    assert sorted(path.name for path in out.parent.iterdir()) == ["features.npz"]  # nothing is left behind


def test_windows_have_rows_of_their_own(encoder: Path, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "features.npz"
    assert run(encoder, videos / "0" / "02.mp4", "--out", out, "--per-window", "--windows", 3) == 0  # two fit
    found = np.load(out)
    assert found["paths"].tolist() == ["02.mp4"] * 2
    assert found["first_frames"].tolist() == [0, 6]
    assert found["clip"].shape == (2, 24)


def test_what_cannot_be_read_is_listed_and_the_rest_is_encoded(encoder: Path, videos: Path, tmp_path: Path) -> None:
    (videos / "broken.mp4").write_bytes((videos / "0" / "00.mp4").read_bytes()[:900])
    out = tmp_path / "features.npz"
    assert run(encoder, videos, "--out", out) == 0
    assert len(np.load(out)["paths"]) == 12
    assert "broken.mp4" in (tmp_path / "features.bad_videos.csv").read_text()


def test_an_interrupted_run_goes_on(
    encoder: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out = tmp_path / "whole.npz", tmp_path / "features.npz"
    assert run(encoder, videos, "--out", whole) == 0
    monkeypatch.setattr(protocols.split_arrays, "_COMMIT", 1)
    add, calls = protocols.split_arrays.SplitArrays.add, []

    def stop(self: Any, *arguments: Any) -> None:
        add(self, *arguments)
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(protocols.split_arrays.SplitArrays, "add", stop)
    with pytest.raises(KeyboardInterrupt):
        run(encoder, videos, "--out", out)
    assert not out.exists()
    calls.clear()

    def count(self: Any, *arguments: Any) -> None:
        add(self, *arguments)
        calls.append(1)

    monkeypatch.setattr(protocols.split_arrays.SplitArrays, "add", count)
    assert run(encoder, videos, "--out", out) == 0
    assert len(calls) == 8 - 3
    one, other = np.load(whole), np.load(out)
    for name in one.files:
        np.testing.assert_array_equal(one[name], other[name])


def test_a_video_finds_itself(encoder: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "features.npz"
    assert run(encoder, videos, "--out", out, "--search", videos / "1" / "05.mp4", "--count", 3) == 0
    lines = capsys.readouterr().out.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("most like"))
    assert lines[first + 1].split() == ["1.000", "1/05.mp4"]
    assert len(lines) == first + 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["features.npz", "films"]


def test_nearest_compares_as_knn_does() -> None:
    bank: NDArray[np.float32] = np.array([[5, 1], [5, -1], [6, 1.1], [4, -1.1]], np.float32)
    features = VideoFeatures("x", np.array(list("abcd")), {"clip": bank})
    names = [name for name, _ in nearest(features, np.array([5, 2], np.float32), "clip", 2)]
    assert names == ["a", "c"]  # by direction from the mean (5, 0), not by length
    windows = VideoFeatures("x", np.array(list("ab")), {"clip": bank[:2]}, np.array([3, 8]))
    assert nearest(windows, bank[1], "clip", 1)[0][0] == "b from frame 8"


def test_parquet_has_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow, which writes .parquet, is not installed")
    features = VideoFeatures("digest", np.array(["a", "b"]), {"clip": np.eye(2, dtype=np.float32)}, np.array([0, 4]))
    features.write(tmp_path / "features.parquet")
    found = VideoFeatures.read(tmp_path / "features.parquet")
    assert (found.encoder, found.paths.tolist()) == ("digest", ["a", "b"])
    np.testing.assert_array_equal(found.levels["clip"], features.levels["clip"])
    assert found.first_frames is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "--out", "f.npz"], "nothing does not exist; give a video or a folder of videos"),
        (["VIDEOS", "--out", "f.txt"], "--out f.txt: its name must end in .npz or .parquet"),
        (["EMPTY", "--out", "f.npz"], "has no video"),
        (["--out", "f.npz"], "name a video or a folder to encode, or --search a video"),
        (["VIDEOS", "--out", "f.npz", "--level", "scene"], "--level scene: "),
        (["VIDEOS", "--out", "f.npz", "--windows", "0"], "--windows 0: 1 or more"),
        (["--out", "f.npz", "--search", "nothing"], "cannot read f.npz: No such file or directory"),
        (["--out", "broken.npz", "--search", "nothing"], "broken.npz is damaged, or is not a file of encode.py"),
        (["--out", "other.npz", "--search", "VIDEO"], "other.npz was made with other weights"),
    ],
)
def test_bad_input_is_one_line(
    encoder: Path,
    videos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.npz").write_bytes(b"rubbish")
    VideoFeatures("other", np.array(["a"]), {"clip": np.ones((1, 24), np.float32)}).write(tmp_path / "other.npz")
    names = {"VIDEOS": videos, "EMPTY": tmp_path / "empty", "VIDEO": videos / "0" / "00.mp4"}
    assert run(encoder, *[names.get(word, word) for word in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys; sys.argv = ['encode.py', '--help']; import encode\n"
    code += "try: encode.main()\nexcept SystemExit: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: encode.py")
    assert done.stdout.endswith("False\n")
