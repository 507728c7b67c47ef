from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from config.errors import InputError
from config.schema import Config
from data_utils.batches.frame_reader import reader_for
from data_utils.batches.loader import Loader
from data_utils.batches.opening import open_catalogs
from data_utils.video_files.decoders import choice
from data_utils.video_files.decoders.choice import AutoDecoder, decoder_for, describe_decoder
from data_utils.video_files.decoders.protocol import Known
from data_utils.video_files.decoders.pyav import PyAVDecoder
from data_utils.video_files.decoding import VideoError

NAMES = ("pyav", "torchcodec", "decord", "opencv", "auto")
SIZE = (16, 24)


def loads(name: str) -> bool:
    try:
        decoder_for(name)
    except InputError:
        return False
    return True


@pytest.fixture
def without_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the system had no FFmpeg, whether it has or not."""
    torchcodec = pytest.importorskip("torchcodec")
    monkeypatch.setattr(torchcodec, "ffmpeg_major_version", None)


def test_auto_is_pyav_where_torchcodec_finds_no_libraries(without_libraries: None) -> None:
    assert isinstance(decoder_for("auto"), PyAVDecoder)
    assert describe_decoder("auto")["decoder"] == "pyav"
    with pytest.raises(InputError) as caught:
        decoder_for("torchcodec")
    assert str(caught.value) == (
        "video_decoder=torchcodec does not load: FFmpeg's shared libraries (version 4 to 9) are not found on this "
        "system; install ffmpeg, or set video_decoder=auto"
    )


@pytest.mark.parametrize("name", ["torchcodec", "decord", "opencv"])
def test_a_decoder_that_is_not_installed_is_told_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> object:
        raise ImportError(f"No module named '{module}'\nand more")

    monkeypatch.setattr(choice, "import_module", missing)
    with pytest.raises(InputError, match=rf"^video_decoder={name} does not load: No module named '\w+'; install ") as e:
        decoder_for(name)
    assert "\n" not in str(e.value)


def test_auto_is_torchcodec_where_it_loads() -> None:
    if not loads("torchcodec"):
        pytest.skip("torchcodec finds no FFmpeg on this system")
    assert isinstance(decoder_for("auto"), AutoDecoder)
    described = describe_decoder("auto")
    assert described["decoder"] == "torchcodec, else pyav"
    assert {"torchcodec", "torchcodec_ffmpeg", "pyav", "pyav_ffmpeg"} <= set(described)


@pytest.mark.parametrize("name", NAMES)
def test_descriptions_are_json_with_versions(name: str) -> None:
    if not loads(name):
        pytest.skip(f"{name} does not load here")
    described = describe_decoder(name)
    assert json.loads(json.dumps(described)) == described
    assert all(described.values())
    if name != "auto":
        assert described["decoder"] == name
        assert described[name][0].isdigit()


def test_auto_reads_with_pyav_what_torchcodec_refuses(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    numbers = [0, 3, 11]
    for name in ("a.avi", "a.mp4"):
        path = write_video(tmp_path / name, 12, codec="mpeg4", options={"bf": "2"})
        expected = PyAVDecoder().frames(path, numbers, SIZE, Known())
        assert np.abs(decoder_for("auto").frames(path, numbers, SIZE, Known(12)).astype(int) - expected).mean() < 3


def test_decoders_travel_to_other_processes(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    path = write_video(tmp_path / "a.mp4", 5)
    for name in filter(loads, NAMES):
        decoder = decoder_for(name)
        frames = decoder.frames(path, [3], SIZE, Known(5))
        assert np.array_equal(pickle.loads(pickle.dumps(decoder)).frames(path, [3], SIZE, Known(5)), frames)


@pytest.mark.parametrize("name", NAMES)
def test_loaders_read_with_the_decoder_of_the_config(
    name: str, small_dataset: Path, make_config: Callable[..., Config], tmp_path: Path
) -> None:
    if not loads(name):
        pytest.skip(f"{name} does not load here")
    config = make_config(small_dataset, f"video_decoder={name}", "num_workers=1")
    catalog = open_catalogs(config, config.groups, tmp_path / "bad_videos.csv")["train"]
    loaders = [Loader(catalog, settings, 4, 0, training=False) for settings in (config, make_config(small_dataset))]
    try:
        for batch, expected in zip(*(loader.epoch(0) for loader in loaders), strict=True):
            assert not batch.failed
            assert (batch.video_BTCHW.float() - expected.video_BTCHW.float()).abs().mean() < 3
            assert batch.row_B.equal(expected.row_B)
    finally:
        for loader in loaders:
            loader.close()


def test_readers_know_how_many_frames_verification_found(
    small_dataset: Path, make_config: Callable[..., Config], tmp_path: Path, write_video: Callable[..., Path]
) -> None:
    config = make_config(small_dataset, "video_decoder=decord")
    catalog = open_catalogs(config, config.groups, tmp_path / "bad_videos.csv")["train"]
    reader = reader_for(catalog, config)
    path = small_dataset / "train/2.mp4"
    assert reader.read(path, np.array([15]), SIZE).shape == (1, *SIZE, 3)
    write_video(path, 30)
    with pytest.raises(VideoError, match="decord counts 30 frames, PyAV 16"):
        reader.read(path, np.array([15]), SIZE)
