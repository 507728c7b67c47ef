from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from data_utils.prepare.conversion.pictures import (
    FolderPictures,
    VideoPictures,
    header_facts,
    image,
    sampled,
    stored_size,
)
from data_utils.video_files.decoding import VideoError
from data_utils.video_files.frame_folders import is_image
from tests.data_utils.conftest import numbered_frame


def test_stored_size_keeps_the_aspect_and_enlarges_nothing() -> None:
    assert stored_size(480, 640, 240) == (240, 320)
    assert stored_size(1080, 1920, 256) == (256, 456)
    assert stored_size(1920, 1080, 256) == (456, 256)
    assert stored_size(240, 320, 256) == (240, 320)
    assert stored_size(480, 640, None) == (480, 640)
    assert stored_size(256, 10_000, 256) == (256, 10_000)


def quadrants() -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """Black, red, green, blue; 40 x 60."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, 30:, 0] = picture[20:, :30, 1] = picture[20:, 30:, 2] = 255
    return picture


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.bmp", "a.webp", "a.tiff", "a.jpeg", "a.ppm"])
def test_image_files(name: str, tmp_path: Path) -> None:
    if name == "a.tiff":
        Image.fromarray(quadrants()).save(tmp_path / name)
    else:
        Image.fromarray(quadrants()).save(tmp_path / name, quality=100)
    assert is_image(name)
    read = image(tmp_path / name, None)
    assert np.abs(read[::15, ::20].astype(int) - quadrants()[::15, ::20]).max() < 25
    assert image(tmp_path / name, 20).shape == (20, 30, 3)
    assert not is_image("a.mp4")


def test_every_kind_of_image_becomes_rgb(tmp_path: Path) -> None:
    picture = Image.fromarray(quadrants())
    kinds = {
        "CMYK": (picture.convert("CMYK"), "a.tiff"),
        "P": (picture.convert("P", palette=Image.Palette.ADAPTIVE), "a.gif.png"),
        "RGBA": (picture.convert("RGBA"), "a.png"),
    }
    for kind, (converted, name) in kinds.items():
        assert converted.mode == kind
        converted.save(tmp_path / name)
        assert np.abs(image(tmp_path / name, None).astype(int) - quadrants()).max() < 3, kind
    grey = np.linspace(0, 255, 2400).reshape(40, 60)
    Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "8.png")
    Image.fromarray((grey * 257).astype(np.uint16)).save(tmp_path / "16.png")
    eight, sixteen = image(tmp_path / "8.png", None), image(tmp_path / "16.png", None)
    assert eight.shape == (40, 60, 3)
    assert np.abs(eight.astype(int) - sixteen).max() <= 1


def test_images_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise makes it upright
    Image.fromarray(np.rot90(quadrants())).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(image(tmp_path / "a.png", None), quadrants())


def test_images_that_are_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no image")
    reasons = {
        "cut.jpg": "damaged: image file is truncated",
        "empty.jpg": "empty file",
        "text.jpg": "damaged or no image",
        "missing.jpg": "no such file or directory",
        ".": "is a directory",
    }
    for name, reason in reasons.items():
        with pytest.raises(VideoError, match=reason):
            image(tmp_path / name, None)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(VideoError, match=r"damaged or no image: .* exceeds limit"):
        image(tmp_path / "a.jpg", None)


def test_a_video_whose_size_changes_keeps_that_of_its_first_frame(tmp_path: Path) -> None:
    file = tmp_path / "a.mpg"
    with file.open("wb") as joined:
        for size in ((64, 96), (128, 192)):
            part = tmp_path / f"{size[0]}.m2v"
            with av.open(str(part), "w", format="mpeg2video") as container:
                stream = container.add_stream("mpeg2video", rate=25)
                assert isinstance(stream, av.VideoStream)
                stream.height, stream.width = size
                for number in range(5):
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_frame(number, *size))))
                container.mux(stream.encode())
            joined.write(part.read_bytes())
    pictures = list(VideoPictures(file, None, lambda: None).frames())
    assert len(pictures) >= 9  # the decoder may drop the one before the change
    assert {picture.shape for picture in pictures} == {(64, 96, 3)}
    assert np.abs(pictures[0].astype(int) - pictures[-5]).mean() < 10


def test_a_damaged_video_is_told_at_its_end(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    path = write_video(tmp_path / "a.mp4", 60, container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 8 // 10])
    frames = VideoPictures(path, None, lambda: None).frames()
    assert next(frames).shape == (32, 48, 3)
    with pytest.raises(VideoError, match=r"damaged: \d+ of 60 frames decode"):
        list(frames)


def test_samples_come_from_all_over_the_video(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "5"})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for number in range(100):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 48, 3), 2 * number, np.uint8))))
        container.mux(stream.encode())
    means = [picture.mean() for picture in sampled(path, 16)]
    np.testing.assert_allclose(means, [200 / 6, 100, 1000 / 6], atol=12)
    (tmp_path / "bad.mp4").write_text("no video")
    with pytest.raises(VideoError):
        list(sampled(tmp_path / "bad.mp4", 16))


def test_samples_of_real_clips(real_files: Path) -> None:
    for name in (
        "moviepy/pigs_in_a_polka.gif",
        "decord/video_90.mov",
        "moviepy/no_duration.webm",
        "decord/unordered.mov",
    ):
        pictures = list(sampled(real_files / "real_clips" / name, 32))
        assert 1 <= len(pictures) <= 3
        assert min(pictures[0].shape[:2]) <= 32


def write_frames(folder: Path, count: int, size: tuple[int, int] = (32, 48), name: str = "frame{}.png") -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(numbered_frame(number, *size)).save(folder / name.format(number))
    return folder


def test_a_folder_of_frames_in_the_order_of_its_numbers(tmp_path: Path, number_of: Callable[..., int]) -> None:
    folder = write_frames(tmp_path / "v", 12)
    (folder / "notes.txt").touch()
    alive: list[None] = []
    video = FolderPictures(folder, None, lambda: alive.append(None), 12.5)
    assert [number_of(picture) for picture in video.frames()] == list(range(12))
    assert (video.fps, len(alive)) == (12.5, 12)


def test_frames_of_other_shapes_cover_the_first_one(tmp_path: Path, number_of: Callable[..., int]) -> None:
    folder = write_frames(tmp_path / "v", 3, (48, 96))
    Image.fromarray(numbered_frame(1, 96, 192)).save(folder / "frame1.png")
    pictures = list(FolderPictures(folder, 24, lambda: None, 0.0).frames())
    assert [picture.shape for picture in pictures] == [(24, 48, 3)] * 3
    assert [number_of(picture) for picture in pictures] == [0, 1, 2]


def test_a_damaged_frame_makes_the_folder_bad(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "v", 3, name="img_{:05d}.jpg")
    (folder / "img_00001.jpg").write_bytes((folder / "img_00001.jpg").read_bytes()[:300])
    with pytest.raises(VideoError, match=r"damaged: its frame img_00001\.jpg: damaged"):
        list(FolderPictures(folder, None, lambda: None, 0.0).frames())
    with pytest.raises(VideoError, match="no such file"):
        list(FolderPictures(tmp_path / "none", None, lambda: None, 0.0).frames())


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_what_a_header_tells(name: str, tmp_path: Path, write_video: Callable[..., Path]) -> None:
    path = write_video(tmp_path / name, 20, size=(32, 64), rate=25)
    assert header_facts(path) == (20, 32, 64, 25.0)  # Matroska has no number of frames: packets are counted
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(VideoError, match="not a video"):
        header_facts(tmp_path / "text.mp4")
