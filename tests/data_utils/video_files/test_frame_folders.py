from __future__ import annotations

import random

import pytest

from data_utils.video_files.decoding import VideoError
from data_utils.video_files.frame_folders import frames_among, is_flow, series_of

ORDERS = {
    "img_{:05d}.jpg": 12,
    "frame{}.png": 120,
    "{}.JPG": 11,
    "S001_C001_{:04d}.jpg": 9,
    "{:06d}_rgb.webp": 10,
    "v_Clap_g01_c02 ({}).bmp": 30,
    "frame_{:04d}_t0.5.jpg": 5,
}


@pytest.mark.parametrize("pattern", ORDERS)
def test_frames_are_in_the_order_of_their_numbers(pattern: str) -> None:
    names = [pattern.format(number) for number in range(1, ORDERS[pattern])]
    shuffled = random.Random(0).sample(names, len(names))
    assert frames_among([*shuffled, "notes.txt"]).files == names


def test_times_in_the_names_do_not_break_a_series() -> None:
    names = [f"shot_{number}_at_{0.4 * number:.2f}s.jpg" for number in range(1, 30)]
    assert frames_among(sorted(names)).files == names


@pytest.mark.parametrize(
    "others",
    [
        [f"flow_{axis}_{number:05d}.jpg" for axis in "xy" for number in range(1, 9)],
        [f"{axis}_{number:05d}.jpg" for axis in "xy" for number in range(1, 9)],
        [f"depth{number}.png" for number in range(1, 9)],
        ["cover.jpg", "Thumbs.db"],
        ["poster1.jpg"],
    ],
)
def test_frames_are_told_apart_from_other_pictures(others: list[str]) -> None:
    names = [f"img_{number:05d}.jpg" for number in range(1, 9)]
    assert frames_among([*others, *names]).files == names


def test_two_cameras_are_two_series() -> None:
    names = [f"cam{camera}_{number:03d}.jpg" for camera in (0, 1) for number in range(4)]
    assert [series.name for series in series_of(names)] == ["cam0_#.jpg", "cam1_#.jpg"]
    with pytest.raises(VideoError, match=r"several series .* cam0_#\.jpg \(4\), cam1_#\.jpg \(4\); keep one"):
        frames_among(names)
    with pytest.raises(VideoError, match="a folder without pictures"):
        frames_among(["a.txt"])


def test_pictures_without_numbers_are_frames_where_a_list_says_so() -> None:
    assert frames_among(["b.jpg", "a.jpg"]).files == ["a.jpg", "b.jpg"]


def test_folders_of_flow() -> None:
    flow = series_of([f"flow_x_{number}.jpg" for number in range(3)])[0]
    frames = series_of([f"{number}.jpg" for number in range(3)])[0]
    assert is_flow("run/v1", flow)
    assert is_flow("run/v1/flow_y", frames)
    assert not is_flow("flow/flower_12", frames)
    assert not is_flow("run/v1", frames)
