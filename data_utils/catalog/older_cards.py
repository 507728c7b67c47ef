"""Completes the dataset.json of an earlier version, so that folders need not be prepared again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The generator of moving_digits wrote its seed and its numbers of videos alone, and the rest was known here.
_UNSAID: dict[str, dict[str, Any]] = {
    "moving_digits": {
        "format": "video",
        "size": None,
        "mean": [0.3, 0.3, 0.3],
        "std": [0.15, 0.15, 0.15],
        "flip": 0.0,
        "labels": {"space": "digit", "time": "motion", "clip": "program"},
    }
}


def with_unsaid(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a dataset.json, with what was left unsaid where it is one of an earlier version."""
    if "format" in content:
        return dict(content)
    return _UNSAID.get(str(content.get("name")), {}) | dict(content)
