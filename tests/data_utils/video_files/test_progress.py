from __future__ import annotations

import io
import logging
import sys
from types import SimpleNamespace

import pytest

from data_utils.video_files.progress import VideoProgress, duration


def test_duration() -> None:
    assert [duration(seconds) for seconds in (0.4, 89, 90, 720, 5400, 11_100)] == [
        *("0 s", "89 s", "2 min", "12 min", "1 h 30 min", "3 h 05 min")
    ]


def test_lines_tell_how_long_it_will_take(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 30.0, 40.0])
    monkeypatch.setattr("data_utils.video_files.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with caplog.at_level(logging.INFO), VideoProgress("converting", 100, "video", done=40) as shown:
        shown.add(10)  # at 10 s: too early for a line
        shown.add(20, "2 bad")  # at 30 s: one video a second
        shown.add(30)
    assert caplog.messages == ["converting: 70 of 100, 2 bad, about 30 s left"]


def test_a_bar_on_a_terminal(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    with caplog.at_level(logging.INFO), VideoProgress("converting", 10, "video", done=4) as shown:
        shown.add(6, "1 bad")
    assert "10/10" in terminal.getvalue()
    assert "1 bad" in terminal.getvalue()
    assert caplog.messages == []
