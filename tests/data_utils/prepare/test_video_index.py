from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data_utils.prepare.disk import VIDEO_EXTENSIONS
from data_utils.prepare.video_index import VideoIndex


def test_a_video_of_an_unknown_extension_is_found_by_its_content(
    tmp_path: Path, write_video: Callable[..., Path]
) -> None:
    write_video(tmp_path / "made.mp4", 3).rename(tmp_path / "clip.xyz")
    write_video(tmp_path / "other.mp4", 3)
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "list.json").write_text("{}")
    index = VideoIndex(tmp_path, tmp_path, VIDEO_EXTENSIONS, None)
    assert [index.find(name) for name in ("clip", "other", "list", "none")] == ["clip.xyz", "other.mp4", None, None]
