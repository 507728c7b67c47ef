"""Text that comes from data, such as names of classes and files, has letters of every kind and any length.

Matplotlib draws a box for each letter that its font lacks, and long names across each other and over the edge. (It also
takes what stands between two `$` for a formula: whoever draws such text gives `parse_math=False`.)
"""

from __future__ import annotations

import logging
import unicodedata
from functools import cache
from typing import Any

from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font

logger = logging.getLogger(__name__)

DEFAULT_FONT = "DejaVu Sans"  # comes with matplotlib
# Fonts whose numbers of letters are not Unicode's, or whose letters are all boxes.
_NO_LETTERS = ("cm", "STIXSize", "STIXNonUnicode", "Last Resort")
_told: set[str] = set()  # letters without a font that the log has told


class Lettering:
    """The texts of one figure, and the fonts that have their letters."""

    def __init__(self) -> None:
        self._fonts = {DEFAULT_FONT: _letters_of(_font_files()[DEFAULT_FONT])}
        self._missing: list[str] = []

    def text(self, text: str, cells: int, lines: int = 1) -> str:
        """`text` in letters that can be drawn, and in lines.

        Args:
            text: any text.
            cells: of a line; letters of East Asia take two.
            lines: at most; a longer text loses its middle.
        """
        shown = " ".join("".join(map(self._letter, text.encode("utf-8", "replace").decode())).split())
        return "\n".join(wrapped(shown, cells, lines))

    @property
    def style(self) -> dict[str, Any]:
        """The settings of matplotlib under which the texts so far are drawn; call it after `text`."""
        new = [letter for letter in dict.fromkeys(self._missing) if letter not in _told]
        _told.update(new)
        if new:
            logger.info(
                "figures: no installed font has %s%s; a name or number is drawn for each of them until a font that has "
                "them is installed, such as Noto Sans CJK or Noto Emoji",
                " ".join(new[:10]),
                f" and {len(new) - 10} more" if len(new) > 10 else "",
            )
        return {"font.family": list(self._fonts), "text.usetex": False}

    def _letter(self, letter: str) -> str:
        """The letter itself where a font has it, which is then used; else its name or number."""
        if letter.isspace() or unicodedata.category(letter) == "Cc":
            return " "
        if any(ord(letter) in letters for letters in self._fonts.values()):
            return letter
        if unicodedata.category(letter) in ("Cf", "Mn"):  # joiners and variants: nothing that is seen by itself
            return ""
        family = _font_with(letter)
        if family is not None:
            self._fonts[family] = _letters_of(_font_files()[family])
            return letter
        self._missing.append(letter)
        is_symbol = unicodedata.category(letter).startswith("S")
        name = unicodedata.name(letter, "").lower() if is_symbol else ""
        return f" [{name}] " if name else f" U+{ord(letter):04X} "


def wrapped(text: str, cells: int, lines: int) -> list[str]:
    """`text` in lines of at most `cells` cells, broken between words where that is possible.

    What takes more than `lines` lines loses its middle: names that begin alike still differ.
    """
    kept = cells * lines
    found = _lines(shortened(text, kept), cells)
    while len(found) > lines:  # lines that end before a long word have room left
        kept -= 1
        found = _lines(shortened(text, kept), cells)
    return found


def shortened(text: str, cells: int) -> str:
    """`text`, or its beginning and its end around an ellipsis, in at most `cells` cells."""
    if width(text) <= cells:
        return text
    begin = _beginning(text, (cells - 1) * 2 // 3)
    end = _beginning(text[::-1], cells - 1 - width(begin))[::-1]
    return f"{begin.rstrip()}\u2026{end.lstrip()}"


def _beginning(text: str, cells: int) -> str:
    """The beginning of `text` that fits into `cells` cells."""
    used = 0
    for index, letter in enumerate(text):
        used += width(letter)
        if used > cells:
            return text[:index]
    return text


def width(text: str) -> int:
    """Cells that a text takes: two for a wide letter, one for any other."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _lines(text: str, cells: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and width(lines[-1]) + 1 + width(word) <= cells:
            lines[-1] += f" {word}"
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:  # a word longer than a line is broken anywhere
            if width(lines[-1]) + width(letter) > cells:
                lines.append("")
            lines[-1] += letter
    return lines


@cache
def _font_files() -> dict[str, str]:
    """File of the upright, regular font of every family."""
    files: dict[str, str] = {}
    for font in fontManager.ttflist:
        if font.style == "normal" and font.weight in (400, "normal", "regular") and font.stretch == "normal":
            files.setdefault(font.name, font.fname)
    return files


@cache
def _letters_of(file: str) -> frozenset[int]:
    """The letters that a font can draw; none of a font that matplotlib cannot draw with, such as one of pictures."""
    try:
        font = FT2Font(file)
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (OSError, RuntimeError, ValueError):
        return frozenset()


@cache
def _font_with(letter: str) -> str | None:
    """A family that has the letter."""
    for family, file in sorted(_font_files().items()):
        if not family.startswith(_NO_LETTERS) and ord(letter) in _letters_of(file):
            return family
    return None
