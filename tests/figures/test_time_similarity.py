from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from data_utils.video_files.decoding import VideoError
from figures.sampled_windows import Frames
from figures.time_similarity import _middles, draw_time_similarity, similarity_of
from protocols.encoded import EncodedData
from tasks.hierarchical import HierarchicalTask


def test_moments_are_compared_by_the_cosine_of_what_stands_in_them() -> None:
    units = np.array([[2, 0], [4, 0], [0, 3], [-1, 0]], np.float32)
    cosines = similarity_of(units, np.array([0.0, 0.1, 0.5, 0.99]), 4)
    # The second quarter is between two that are known, and as near to them as they usually are.
    np.testing.assert_allclose(cosines[0], [1, 1, 0, -1], atol=1e-9)
    np.testing.assert_allclose(cosines, cosines.T)
    np.testing.assert_allclose(np.diagonal(cosines), 1)


def test_a_stretch_in_which_no_unit_stands_stays_empty() -> None:
    at = np.array([0.31, 0.32, 0.33, 0.34, 0.75, 0.76])
    cosines = similarity_of(np.ones((6, 3), np.float32), at, 100)
    known = np.flatnonzero(np.isfinite(np.diagonal(cosines)))
    assert known.tolist() == [31, 32, 33, 34, 75, 76]
    assert np.isnan(cosines[50]).all()


def test_units_stand_in_the_middle_of_their_frames() -> None:
    frames = np.array([[0, 2, 4, 6], [10, 12, 14, 16]])
    assert _middles(frames, 2).tolist() == [1, 5, 11, 15]
    assert _middles(frames, 1).tolist() == [3, 13]
    assert _middles(frames, 8).tolist() == [0, 0, 2, 2, 4, 4, 6, 6, 10, 10, 12, 12, 14, 14, 16, 16]


def test_labels_of_parts_are_marked_where_they_change_and_bad_videos_are_passed_over(
    seen: tuple[HierarchicalTask, EncodedData],
    tmp_path: object,
    drawn: dict[str, Figure],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = seen[1]
    failed: list[int] = []
    read = Frames.read

    def once_damaged(self: Frames, row: int, frames_T: object) -> object:
        if not failed or row in failed:
            failed.append(row)
            raise VideoError("damaged")
        return read(self, row, frames_T)  # type: ignore[arg-type]

    monkeypatch.setattr(Frames, "read", once_damaged)
    assert draw_time_similarity(data, "test", tmp_path) is not None  # type: ignore[arg-type]
    panels = [ax for ax in drawn["time_similarity"].axes if ax.get_title() in ("space", "time", "clip")]
    assert len(panels) == 6  # two videos
    assert len(set(failed)) == 1
    length = int(data.catalogs["test"].table["frames"].iloc[0])
    for ax in panels:
        vertical = [line.get_xdata()[0] for line in ax.lines if len(set(line.get_xdata())) == 1]  # type: ignore[arg-type, index]
        assert vertical == [length / 2]  # motion has two parts
    monkeypatch.setattr(Frames, "read", lambda *_: (_ for _ in ()).throw(VideoError("gone")))
    assert draw_time_similarity(data, "test", tmp_path) is None  # type: ignore[arg-type]
