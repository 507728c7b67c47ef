"""Where the stages of a curriculum begin, drawn into curves that go on over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STAGE = "stage"


def stage_starts(records: Iterable[Mapping[str, Any]]) -> dict[int, int]:
    """By number of the stage, the step that it begins after; {} for a run without stages.

    Args:
        records: of metrics.jsonl. A stage begins with a validation before its first step or, without that, after the
            last step of the one before it.
    """
    starts: dict[int, int] = {}
    last = 0
    for record in records:
        if STAGE in record:
            starts.setdefault(record[STAGE], last if record["kind"] == "step" else record["step"])
        last = record.get("step", last)
    return starts


def mark_stages(ax: Axes, starts: Mapping[int, int]) -> None:
    """Draws a line where each stage after the first begins, and its name beside it."""
    for number, step in starts.items():
        if step:
            ax.axvline(step, color="#777777", linestyle=(0, (1, 2)), linewidth=1.1, zorder=0.5)
        ax.annotate(
            f"stage {number}",
            (step, 0.99),
            xycoords=("data", "axes fraction"),
            xytext=(2, -1),
            textcoords="offset points",
            annotation_clip=True,
            ha="left",
            va="top",
            rotation=90,
            fontsize=7,
            color="#555555",
        )


def by_stage(records: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The records of each stage; those of a run without stages together."""
    stages: dict[int | None, list[Mapping[str, Any]]] = {}
    for record in records:
        stages.setdefault(record.get(STAGE), []).append(record)
    return list(stages.values())
