from __future__ import annotations

import pickle
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from config.errors import InputError
from data_utils.formats import video
from data_utils.formats.video import VideoReader
from data_utils.video_files.decoders import pyav
from data_utils.video_files.decoders.choice import decoder_for
from data_utils.video_files.decoding import VideoError, numbered_frames
from data_utils.video_files.inspection import inspect_video
from tests.full_disk import files_limited_to

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

    monkeypatch.setattr(pyav, "numbered_frames", counted)
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


@pytest.mark.parametrize("decoder", ["torchcodec", "decord", "opencv"])
@pytest.mark.parametrize("name", LONG_VIDEOS)
def test_other_decoders_enter_long_videos_without_a_difference(
    name: str, decoder: str, tmp_path: Path, write_video: Callable[..., Path], number_of: Callable[..., int]
) -> None:
    try:
        chosen = decoder_for(decoder)
    except InputError as error:
        pytest.skip(str(error))
    path = write_video(tmp_path / name, 400, options={"preset": "veryfast", **LONG_VIDEOS[name][0]})
    indices = np.array([305, 99, 100, 101, 199, 200, 203, 301, 399])
    pictures = VideoReader(None, chosen).read(path, indices, SIZE)
    assert [number_of(picture) for picture in pictures] == indices.tolist()
    assert np.abs(pictures.astype(int) - VideoReader().read(path, indices, SIZE)).mean() < 1


def moving_picture(number: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Smooth colours that move."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    waves = [np.sin((rows + 3 * number) / 17), np.cos((columns - 2 * number) / 23), np.sin((rows + columns) / 29)]
    return np.stack([128 + 90 * wave for wave in waves], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("size", [(64, 96), (65, 96), (64, 97), (17, 33), (1, 1)])
def test_what_is_written_is_read_again(size: tuple[int, int], tmp_path: Path) -> None:
    frames = [moving_picture(number, size) for number in range(40)]
    part = tmp_path / f"00000{video.PART_SUFFIX}"
    video.write_part(part, iter(frames), 29.97)
    assert [file.name for file in tmp_path.iterdir()] == [part.name]
    facts = inspect_video(part)
    assert (facts.frames, facts.height, facts.width, facts.fps) == (40, *size, 29.97)
    read = VideoReader().read(part, np.arange(40), size)
    assert np.abs(read.astype(int) - np.stack(frames)).mean() < 3


def test_written_files_have_a_key_frame_every_12_frames_and_their_index_in_front(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    rng = np.random.default_rng(0)
    black, noise = np.zeros((5, 32, 48, 3), np.uint8), rng.integers(0, 256, (45, 32, 48, 3), np.uint8)
    video.write_part(path, np.concatenate([black, noise]), 25)
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
        assert [number for number, frame in enumerate(decoded) if frame.key_frame] == [0, 12, 24, 36, 48]
        assert not any(frame.pict_type == av.video.frame.PictureType.B for frame in decoded)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize("fps", [25.0, 29.97, 12.0, 6.369, 59.94])
def test_written_files_are_entered_at_the_key_frame_before_the_window(
    fps: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    video.write_part(path, [moving_picture(number, (32, 48)) for number in range(100)], fps)
    everything = VideoReader().read(path, np.arange(100), SIZE)
    decoded = []

    def counted(*arguments: object) -> object:
        for number, frame in numbered_frames(*arguments):  # type: ignore[arg-type]
            decoded.append(number)
            yield number, frame

    monkeypatch.setattr(pyav, "numbered_frames", counted)
    for first in (0, 11, 12, 13, 50, 96, 99):
        decoded.clear()
        indices = np.array([99, first])
        assert np.array_equal(VideoReader().read(path, indices, SIZE), everything[indices])
        assert decoded[0] == first // video.KEY_FRAMES * video.KEY_FRAMES
    with pytest.raises(VideoError, match="ends after 100 frames, frame 131 was asked for"):
        VideoReader().read(path, np.array([130]), SIZE)


def test_a_copied_mark_is_not_trusted(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    ours, other = tmp_path / "ours.mp4", tmp_path / "other.mp4"
    video.write_part(ours, [moving_picture(number, (32, 48)) for number in range(30)], 25.0)
    with av.open(str(ours)) as container:
        mark = container.metadata["comment"]
    with av.open(str(other), "w") as container:
        container.metadata["comment"] = mark
        stream = container.add_stream(
            "libx264", rate=25, options={"x264-params": "bframes=3:b-adapt=0:keyint=12:scenecut=0"}
        )
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for number in range(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moving_picture(number, (32, 48)))))
        container.mux(stream.encode())
    with av.open(str(other)) as container:
        assert container.metadata["comment"] == mark
    everything = VideoReader().read(other, np.arange(30), SIZE)
    for first in (12, 13, 24, 29):
        assert np.array_equal(VideoReader().read(other, np.array([first]), SIZE)[0], everything[first])


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    frames = [moving_picture(number, (36, 36)) for number in range(30)]
    for name in ("a.mp4", "b.mp4"):
        video.write_part(tmp_path / name, frames, 12.0)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_nothing_is_left_of_a_part_that_fails(tmp_path: Path) -> None:
    picture = np.zeros((8, 8, 3), np.uint8)

    def broken() -> Iterator[NDArray[np.uint8]]:
        yield picture
        raise VideoError("damaged: 1 of 2 frames decode")

    for frames, fps, error, reason in (
        (iter([]), 25.0, VideoError, "no frames"),
        (broken(), 25.0, VideoError, "damaged: 1 of 2"),
        (iter([picture, picture[:4]]), 25.0, ValueError, "a frame of"),
        (iter([picture]), 0.0, VideoError, "frame rate is not known"),
    ):
        with pytest.raises(error, match=reason):
            video.write_part(tmp_path / "a.mp4", frames, fps)
        assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        video.write_part(tmp_path / "missing/a.mp4", [picture], 25.0)


def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with files_limited_to(20_000), pytest.raises(OSError, match=r"[Ff]ile too large"):
            video.write_part(tmp_path / "a.mp4", noise, 25.0)
    finally:
        signal.signal(signal.SIGXFSZ, before)
    assert not list(tmp_path.iterdir())


def test_parts_get_their_places_and_finishing_may_be_repeated(tmp_path: Path) -> None:
    out = tmp_path / "out"
    paths = ["a/ü b'.mp4", "a/ü b'.avi", "../c.mp4"]
    parts = [(path, tmp_path / f"{number:05d}.mp4") for number, path in enumerate(paths)]
    for number, (_, part) in enumerate(parts):
        video.write_part(part, [moving_picture(number, (32, 32))] * (number + 1), 25.0)
    stored = video.finish(parts, out, 3)
    assert len(set(stored)) == 3
    assert all(place.startswith("videos/") and place.endswith(".mp4") and ".." not in place for place in stored)
    assert not any(part.exists() for _, part in parts)
    assert [video.check(out, place) for place in stored] == [1, 2, 3]
    assert video.finish(parts, out, 3) == stored
    (out / stored[1]).unlink()
    with pytest.raises(FileNotFoundError, match=r"00001\.mp4 is missing"):
        video.finish(parts, out, 3)


def test_check_finds_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    video.write_part(path, [moving_picture(number, (64, 64)) for number in range(30)], 25.0)
    assert video.check(tmp_path, "a.mp4") == 30
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(VideoError, match="damaged"):
        video.check(tmp_path, "a.mp4")
