from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from data_utils.decoding import VideoError, numbered_frames
from data_utils.formats import video
from data_utils.formats.video import VideoReader
from data_utils.inspection import inspect_video

SIZE = (32, 48)
FORMATS = {
    "b_frames.mp4": ("libx264", "yuv420p", {"x264-params": "bframes=3:keyint=7"}),
    "10bit.mkv": ("libx264", "yuv420p10le", {}),
    "444.mov": ("libx264", "yuv444p", {}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {}),
    "vp8.webm": ("libvpx", "yuv420p", {"cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "16"}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"cpu-used": "8", "deadline": "realtime"}),
    "alpha.webm": ("libvpx-vp9", "yuva420p", {"cpu-used": "8", "deadline": "realtime"}),
    "transport.ts": ("libx264", "yuv420p", {}),
    "gray.gif": ("gif", "gray", {}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_gives_exactly_the_frames_that_are_asked_for(
    name: str, tmp_path: Path, write_video: Callable[..., Path], number_of: Callable[[NDArray[np.uint8]], int]
) -> None:
    codec, pixels, options = FORMATS[name]
    path = write_video(tmp_path / name, 30, SIZE, codec, pixels, options=options)
    assert inspect_video(path).frames == 30
    indices = np.array([29, 0, 7, 7, 13, 1])
    frames = VideoReader().read(path, indices, SIZE)
    assert frames.shape == (6, *SIZE, 3)
    assert frames.dtype == np.uint8
    assert [number_of(frame) for frame in frames] == indices.tolist()


def test_scales_to_cover_and_cuts_the_centre(tmp_path: Path) -> None:
    path = tmp_path / "thirds.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.height, stream.width, stream.pix_fmt = 20, 60, "yuv444p"
        picture = np.zeros((20, 60, 3), np.uint8)
        picture[:, :20], picture[:, 20:40], picture[:, 40:] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    middle = VideoReader().read(path, np.array([0]), (40, 40))[0]
    assert middle.shape == (40, 40, 3)
    assert np.abs(middle[4:-4, 4:-4].reshape(-1, 3).astype(int) - (0, 250, 0)).max() < 25
    whole = VideoReader().read(path, np.array([0]), (10, 30))[0]
    assert whole[5, [4, 15, 25]].argmax(axis=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_applies_rotation(rotation: int, turns: int, tmp_path: Path, write_video: Callable[..., Path]) -> None:
    lying = write_video(tmp_path / "lying.mp4", 3)
    turned = write_video(tmp_path / "turned.mp4", 3, rotation=rotation)
    upright = (48, 32) if turns % 2 else (32, 48)
    expected = np.rot90(VideoReader().read(lying, np.array([2]), SIZE), turns, axes=(1, 2))
    assert np.array_equal(VideoReader().read(turned, np.array([2]), upright), expected)
    facts = inspect_video(turned)
    assert (facts.height, facts.width) == upright


def test_honours_colour_matrix_and_range(real_files: Path) -> None:
    path = real_files / "real_clips/torchcodec/bt709_full_range.mp4"
    with av.open(str(path)) as container:
        planes = next(container.decode(video=0)).to_ndarray().astype(float)
    luma, blue, red = planes[:720], planes[720:900].reshape(360, 640) - 128, planes[900:].reshape(360, 640) - 128
    blue, red = blue.repeat(2, 0).repeat(2, 1), red.repeat(2, 0).repeat(2, 1)
    expected = np.stack([luma + 1.5748 * red, luma - 0.1873 * blue - 0.4681 * red, luma + 1.8556 * blue], axis=-1)
    picture = VideoReader().read(path, np.array([0]), (720, 1280))[0]
    assert np.abs(picture - expected.clip(0, 255)).mean() < 1


def test_too_few_frames_are_an_error(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    path = write_video(tmp_path / "a.mp4", 5)
    with pytest.raises(VideoError, match="ends after 5 frames, frame 6 was asked for"):
        VideoReader().read(path, np.array([2, 5]), SIZE)
    with pytest.raises(ValueError, match="frame -1"):
        VideoReader().read(path, np.array([-1]), SIZE)


def test_travels_to_other_processes(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    path = write_video(tmp_path / "a.mp4", 5)
    reader = VideoReader()
    frames = reader.read(path, np.array([3]), SIZE)
    assert np.array_equal(pickle.loads(pickle.dumps(reader)).read(path, np.array([3]), SIZE), frames)


LONG_VIDEOS = {
    "closed.mp4": ({"x264-params": "keyint=100:scenecut=0"}, [300, 600]),
    "open.mkv": ({"x264-params": "keyint=100:open-gop=1:bframes=3:scenecut=0"}, [300, 600]),
    # Key frames that do not stand alone must not be started from.
    "refresh.mp4": ({"x264-params": "keyint=100:intra-refresh=1:bframes=0:scenecut=0"}, []),
}


@pytest.mark.parametrize("name", LONG_VIDEOS)
def test_long_videos_are_entered_at_key_frames_without_a_difference(
    name: str, tmp_path: Path, write_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    options, expected = LONG_VIDEOS[name]
    path = write_video(tmp_path / name, 700, options={"preset": "veryfast", **options})
    points = inspect_video(path).seek_points
    assert [point.number for point in points] == expected

    decoded = []

    def counted(*arguments: object) -> object:
        for number, frame in numbered_frames(*arguments):  # type: ignore[arg-type]
            decoded.append(number)
            yield number, frame

    monkeypatch.setattr(video, "numbered_frames", counted)
    everything = VideoReader().read(path, np.arange(700), SIZE)
    for start in (0, 290, 300, 310, 590, 599, 600, 660):
        decoded.clear()
        indices = start + np.arange(0, 40, 3)
        assert np.array_equal(VideoReader({str(path): points}).read(path, indices, SIZE), everything[indices])
        assert decoded[0] == max([0, *(point for point in expected if point <= start)])


def test_a_video_that_changed_is_not_entered_at_the_wrong_place(
    tmp_path: Path, write_video: Callable[..., Path]
) -> None:
    options = {"preset": "veryfast", "x264-params": "keyint=300:scenecut=0"}
    path = write_video(tmp_path / "a.mp4", 310, options=options)
    points = inspect_video(path).seek_points
    assert [point.number for point in points] == [300]
    write_video(path, 310, rate=17, options=options)
    with pytest.raises(VideoError, match="verified"):
        VideoReader({str(path): points}).read(path, np.array([305]), SIZE)
