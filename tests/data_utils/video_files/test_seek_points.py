from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data_utils.video_files.decoding import numbered_frames, open_video
from data_utils.video_files.seek_points import SeekPointFinder


def test_points_count_only_where_the_frames_are_the_same(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    options = {"preset": "veryfast", "x264-params": "keyint=260:scenecut=0"}
    seen = write_video(tmp_path / "seen.mp4", 600, options=options)
    other = write_video(tmp_path / "other.mp4", 600, options=options, first_number=1)
    finder = SeekPointFinder()
    with open_video(seen) as (container, stream):
        for number, frame in numbered_frames(container, stream):
            finder.add(number, frame)
    ticks: list[None] = []
    assert [point.number for point in finder.verified(seen, lambda: ticks.append(None))] == [260, 520]
    assert len(ticks) == 600 - 260
    assert finder.verified(other, lambda: None) == ()
    assert finder.verified(tmp_path / "missing.mp4", lambda: None) == ()
