"""How well a score can be known at all, from the number of videos and groups that it is taken on."""

from __future__ import annotations

import math

# Half a 95 % interval above which a split is called small: about 96 videos.
_SMALL = 10.0
_FEW_GROUPS = 5


def half_interval(videos: int) -> float:
    """Half the width of the 95 % interval of an accuracy of 50 % (Wilson, 1927), in percentage points."""
    return 98 / math.sqrt(videos + 1.96**2) if videos else 100.0


def interval_to_expect(split: str, videos: int, groups: int | None = None) -> str | None:
    """A line on a split of which scores will be known badly; None where it is large enough.

    Args:
        split: its name.
        videos: that are scored.
        groups: people or places that they show; None: not known.
    """
    half = half_interval(videos)
    few = groups is not None and groups < _FEW_GROUPS
    if not videos or (half <= _SMALL and not few):
        return None
    size = "1 video" if videos == 1 else f"{videos} videos"
    if groups is not None:
        size += " of 1 group" if groups == 1 else f" of {groups} groups"
    line = (
        f"{split} is small ({size}): a score of 50 % there means {max(0, 50 - half):.0f} to {min(100, 50 + half):.0f} %"
    )
    return f"{line}, and another draw of groups may differ by more" if few else line
