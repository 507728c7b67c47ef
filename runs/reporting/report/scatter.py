"""The videos of a run as points that can be looked at one by one: what `figures/scatter.py` has left for the report."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA, PICTURES = "scatter.json", "scatter_{}.webp"
"""Files in the folder of the figures: the points, and for each set of videos one picture of all of them."""
FORM = 1
"""Number of the form of the data; others are left out."""


@dataclass(frozen=True)
class Scatter:
    """What the page shows and what its script needs."""

    data: dict[str, Any]

    @property
    def videos(self) -> str:
        """Which there are, in words."""
        return " and ".join(points["title"] for points in self.data["sets"])


def read_scatter(folder: Path) -> Scatter | None:
    """The points in a folder of figures; None where there are none, or those of another version of the program."""
    try:
        data = json.loads((folder / DATA).read_text(encoding="utf-8"))
        if data["form"] != FORM:
            return None
        for number, points in enumerate(data["sets"]):
            pictures = (folder / PICTURES.format(number)).read_bytes()
            points["sprite"]["source"] = "data:image/webp;base64," + base64.b64encode(pictures).decode()
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return Scatter(data) if data["sets"] else None
