"""Names of every kind and length, as figures show them."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from runs.reporting import drawn_text
from runs.reporting.drawn_text import DEFAULT_FONT, Lettering, shortened, width, wrapped


@pytest.fixture
def only_the_default_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no other font is installed, whatever this one has."""
    files = {DEFAULT_FONT: drawn_text._font_files()[DEFAULT_FONT]}
    monkeypatch.setattr(drawn_text, "_font_files", lambda: files)
    monkeypatch.setattr(drawn_text, "_font_with", lambda letter: None)
    monkeypatch.setattr(drawn_text, "_told", set())


@pytest.mark.usefixtures("only_the_default_font")
@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("Ba$$in", "Ba$$in"),
        ("$a_$", "$a_$"),
        ("ходьба περπάτημα", "ходьба περπάτημα"),
        ("line\nbreak\tand\x07bell", "line break and bell"),
        ("走る", "U+8D70 U+308B"),
        ("🏃 running", "[runner] running"),
        ("🏃\U000e0067", "[runner]"),
        (os.fsdecode(b"caf\xe9.mp4"), "caf?.mp4"),
        ("", ""),
    ],
)
def test_text_is_drawn_as_it_is_as_far_as_there_are_letters(text: str, drawn: str) -> None:
    assert Lettering().text(text, 40) == drawn


@pytest.mark.usefixtures("only_the_default_font")
def test_letters_without_a_font_are_told_once_and_not_as_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            letters = Lettering()
            letters.text("走る走", 40)
            assert letters.style["font.family"] == [DEFAULT_FONT]
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "no installed font has 走 る;" in record.getMessage()


def test_a_font_that_has_the_letter_is_used(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """STIX, which comes with matplotlib as well, has a letter that DejaVu lacks."""
    stix = drawn_text._letters_of(drawn_text._font_files()["STIXGeneral"])
    dejavu = drawn_text._letters_of(drawn_text._font_files()[DEFAULT_FONT])
    letter = next(chr(number) for number in sorted(stix - dejavu) if chr(number).isalpha())
    letters = Lettering()
    assert letters.text(f"a {letter}", 40) == f"a {letter}"
    style = letters.style
    assert len(style["font.family"]) == 2
    fig = Figure()
    fig.text(0.5, 0.5, f"a {letter}", family=style["font.family"])
    fig.savefig(tmp_path / "figure.png")
    assert [str(warning.message) for warning in recwarn if warning.category is not ResourceWarning] == []


def test_long_names_are_wrapped_between_words_and_lose_their_middle() -> None:
    name = "Pretending to put something underneath something, but failing since it is too large for that"
    assert wrapped(name, 34, 3) == [
        "Pretending to put something",
        "underneath something, but failing",
        "since it is too large for that",
    ]
    two = wrapped(name, 34, 2)
    assert len(two) == 2
    assert all(width(line) <= 34 for line in two)
    assert "".join(two).startswith("Pretending to put")
    assert "".join(two).endswith("for that")
    assert "\u2026" in "".join(two)


@pytest.mark.parametrize(("text", "cells"), [("x" * 200, 9), ("走" * 50, 9), ("a " * 90, 1), ("", 5)])
def test_whatever_the_text_no_line_is_too_long(text: str, cells: int) -> None:
    lines = wrapped(text, cells, 2)
    assert len(lines) <= 2
    assert all(width(line) <= max(cells, 2) for line in lines)


def test_names_that_begin_alike_still_differ_when_they_are_shortened() -> None:
    names = [f"Pretending to put something {end}" for end in ("behind it", "on it", "into it")]
    short = [shortened(name, 20) for name in names]
    assert len(set(short)) == 3
    assert all(width(name) <= 20 for name in short)
    assert shortened("short", 20) == "short"
