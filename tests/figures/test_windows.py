from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

from config.errors import InputError
from figures import windows as strips
from figures.windows import draw_views, draw_windows
from runs.reporting.drawing import save_figure
from tests.pictures import make_windows, pixels


def runs_of(line: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """(shade, length) of the stretches of equal shade of a grey line [X, 3]."""
    borders = np.flatnonzero(np.diff(line[:, 0].astype(int))) + 1
    return [(int(part[0, 0]), len(part)) for part in np.split(line, borders)]


def test_a_strip_shows_every_frame_enlarged_in_order_with_wider_gaps_between_clips() -> None:
    strip = strips._strip(make_windows()[0], clips=2)
    line = runs_of(strip[strip.shape[0] // 2])
    frames = [(shade, length) for shade, length in line if shade != 255]
    gaps = [length for shade, length in line if shade == 255]
    assert frames == [(20 + 10 * i, 64) for i in range(8)]  # 16 pixels, enlarged 4 times
    assert gaps[1:4] == gaps[5:8] == [4, 4, 4]
    assert gaps[4] == 18


def test_a_long_window_is_broken_between_clips() -> None:
    short, long = (strips._strip(make_windows(1, frames, 64)[0], clips) for frames, clips in ((16, 4), (40, 10)))
    assert long.shape == (3 * short.shape[0], *short.shape[1:])  # 4 clips, 4 clips, and 2 clips with white after them


@pytest.mark.parametrize(("windows", "frames", "clips"), [(1, 1, 1), (3, 8, 2), (2, 40, 10), (0, 8, 2)])
def test_windows_are_drawn(tmp_path: Path, windows: int, frames: int, clips: int) -> None:
    path = draw_windows(make_windows(windows, frames), ["caption"] * windows, clips, tmp_path / "windows.png")
    image = pixels(path)
    assert image.shape[1] > 900
    assert (len(np.unique(image)) > 1) == (windows > 0)


def test_windows_of_another_shape_are_a_bug(tmp_path: Path) -> None:
    for windows, captions, clips in (
        (make_windows()[0], ["a"], 2),
        (make_windows(), ["a"], 2),
        (make_windows(), ["a"] * 2, 3),
    ):
        with pytest.raises(ValueError, match="do not fit windows"):
            draw_windows(windows, captions, clips, tmp_path / "windows.png")


def test_views_are_drawn_beneath_their_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips and titles as they reach the figure; what a strip shows is tested above."""
    figures: list[Figure] = []

    def keep(fig: Figure, path: Path) -> Path:
        figures.append(fig)
        return save_figure(fig, path)

    monkeypatch.setattr(strips, "save_figure", keep)
    windows, small = make_windows(), 255 - make_windows(side=8)
    looks = {"weak: space": windows + 5, "$x_1$: clip": small}
    path = draw_views(windows, looks, ["a $1$", "$b"], 2, tmp_path / "views.png")
    panels = figures[0].axes
    titles = [ax.get_title(loc="left") for ax in panels]
    assert titles == ["a $1$", "weak: space", "$x_1$: clip", "$b", "weak: space", "$x_1$: clip"]
    expected = [video[index] for index in range(2) for video in (windows, windows + 5, small)]
    for ax, video in zip(panels, expected, strict=True):
        assert np.array_equal(np.asarray(ax.images[0].get_array()), strips._strip(video, 2))
    assert pixels(path).shape[1] > 900


def test_text_that_is_no_formula_is_drawn_as_it_is(tmp_path: Path) -> None:
    windows, caption = make_windows(1), "$\\frac$.mp4"  # no formula: matplotlib would refuse it
    with pytest.raises(ValueError, match="frac"):
        Figure().suptitle(caption).figure.savefig(tmp_path / "formula.png")  # type: ignore[union-attr]
    draw_windows(windows, [caption], 2, tmp_path / "windows.png")
    draw_views(windows, {caption: windows}, [caption], 2, tmp_path / "views.png")


def test_views_of_another_shape_are_a_bug_and_none_are_an_empty_figure(tmp_path: Path) -> None:
    windows = make_windows()
    for look in (windows[:1], windows[:, :7], windows[0]):
        with pytest.raises(ValueError, match="do not fit windows"):
            draw_views(windows, {"look": look}, ["a", "b"], 2, tmp_path / "views.png")
    assert draw_views(windows[:0], {"look": windows[:0]}, [], 2, tmp_path / "views.png").stat().st_size > 0
    with pytest.raises(InputError, match=r"cannot write .*views\.png: No such file"):
        draw_views(windows, {}, ["a", "b"], 2, tmp_path / "absent" / "views.png")
