"""Every collapse monitor: its name, how to read it, and when it raises an alarm. `monitors.py` measures them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Monitor:
    """One monitor, which has a value for each level (CKA: for each pair of levels)."""

    title: str
    """Title of its column on the console."""
    panel: str
    """Title of its panel in `collapse.png`."""
    collapse: Literal["falls", "rises"] | None
    """The direction of the value in a collapse; None: either may be fine."""
    meaning: str
    """How to read it: a sentence for the report."""
    share_of_init: float = 0.0
    """An alarm is raised below this share of the value at init: the untrained encoder's vectors are alike already."""
    least: float = 0.0
    """An alarm is raised below this, whatever the value at init."""
    below_least: str = ""
    """The meaning of a value below `least`."""


_SHUFFLED = "error against the own target as a share of that against another video's: leaves 1 once predictions"
# The collapse that this program was built after took the rank from 29, 20 and 15 to 4, 2 and 3: a quarter tells it
# from the fall by a third or so that training often brings.
MONITORS = {
    "rank": Monitor(
        "rank",
        "effective rank",
        "falls",
        "how many directions the features use.",
        share_of_init=0.25,
        least=2.0,
        below_least="its features vary along a single direction",
    ),
    "lidar": Monitor(
        "LiDAR",
        "LiDAR",
        "falls",
        "along how many directions videos differ more than the windows of a video.",
        share_of_init=0.25,
    ),
    "std": Monitor(
        "std",
        "standard deviation",
        "falls",
        "how far the features are spread out.",
        share_of_init=0.1,
        least=1e-6,
        below_least="its features are all the same",
    ),
    "shuffled_up": Monitor("up", "up: error / shuffled", "rises", f"{_SHUFFLED} of the larger unit know the video."),
    "shuffled_down": Monitor("down", "down: error / shuffled", "rises", f"{_SHUFFLED} of units inside know the video."),
    "shuffled_side": Monitor("side", "side: error / shuffled", "rises", f"{_SHUFFLED} of other times know the video."),
    "grad_norm": Monitor("gradient", "gradient norm", None, "a level whose gradient is 0 does not learn."),
    "cka": Monitor("CKA", "CKA of two levels", None, "1 where two levels show the same."),
}
"""By name in metrics.jsonl, in the order in which they are shown."""

CAPTION = (
    "collapse monitors on validation videos (up, down, side: prediction error / error against another video's target)"
)
"""Above the table on the console."""
