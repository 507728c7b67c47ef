"""One spelling of a label for preparing and training: `walk` and ` walk` must not be two classes in one of them."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

SEPARATOR = "|"
"""Between the labels of the equal parts of a video."""
_INVISIBLE = str.maketrans("", "", "\ufeff\u200b")


@lru_cache(maxsize=65536)
def normal_label(cell: str) -> str:
    """A label as both preparing and training read it; empty where the video has none.

    Blanks around it, and around the separators of its parts, belong to no label; blanks inside count as one space.
    Letters that can be written in two ways (é as one character or two, as in names of files on macOS) are one.
    """
    text = unicodedata.normalize("NFC", cell).translate(_INVISIBLE)
    return SEPARATOR.join(" ".join(part.split()) for part in text.split(SEPARATOR))
