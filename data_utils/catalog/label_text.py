"""One spelling of a label for preparing and training: `walk` and ` walk` must not be two classes in one of them."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

SEPARATOR = "|"
"""Between the labels of the equal parts of a video."""
SEVERAL = ";"
"""Between the classes that a video shows at once."""
_INVISIBLE = str.maketrans("", "", "\ufeff\u200b")


@lru_cache(maxsize=65536)
def normal_label(cell: str) -> str:
    """A label as both preparing and training read it; empty where the video has none.

    Blanks around it, and around the separators of its parts, belong to no label; blanks inside count as one space.
    Letters that can be written in two ways (é as one character or two, as in names of files on macOS) are one.
    """
    return SEPARATOR.join(normal_text(part) for part in cell.split(SEPARATOR))


def normal_text(cell: str) -> str:
    """Text without blanks around it, with one space for all blanks inside, and one way to write every letter."""
    return " ".join(unicodedata.normalize("NFC", cell).translate(_INVISIBLE).split())
