"""What a run was, what it cost, and what can be done with it, in words."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Command = tuple[str, str]
"""What it does, and the line to type."""


def facts(summary: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, str]:
    """The cost and the environment of the run, in words."""

    def text(key: str, form: str = "{}", scale: float = 1) -> str | None:
        value = summary.get(key)
        return None if value is None else form.format(value if isinstance(value, str) else value * scale)

    seconds = summary.get("wall_seconds")
    git = environment.get("git")
    facts = {
        "Task": text("task"),
        "Command": text("command") or environment.get("command"),
        "Device": " \u00b7 ".join(dict.fromkeys(filter(None, (text("device"), environment.get("device_name"))))),
        "Wall time": None if seconds is None else duration(seconds),
        "Training": ", ".join(filter(None, (text("epochs", "{:,} epochs"), text("steps", "{:,} steps")))),
        "Encoder": text("chosen", "of {}"),
        "Validation videos": text("drawn_val"),
        "Speed": ", ".join(
            filter(
                None,
                (
                    text("windows_per_second", "{:,.1f} windows/s"),
                    text("frames_per_second", "{:,.1f} frames/s"),
                ),
            )
        ),
        "Waiting for data": text("data_wait", "{:.1f} % of the time", 100),
        "Peak memory": text("peak_memory_mb", "{:,.0f} MB"),
        "Memory of a window": text("bytes_per_window", "{:,.2f} MB", 1e-6),
        "Unreadable videos": text("bad_videos"),
        "Git commit": git and git["commit"] + (" with uncommitted changes" if git["dirty"] else ""),
    }
    return {key: value for key, value in facts.items() if value}


def collapse_watch(summary: Mapping[str, Any]) -> dict[str, list[float | None]]:
    """Per level: final rank, rank at random init, final std, std at random init."""
    rank, std = summary.get("rank") or {}, summary.get("std") or {}
    return {
        level: [(values.get(level) or {}).get(key) for values in (rank, std) for key in ("final", "random_init")]
        for level in dict.fromkeys([*rank, *std])
    }


def stage(stage: Mapping[str, Any]) -> dict[str, str]:
    """A row of the table of stages."""
    levels = [f"{level} (frozen)" if level in stage["frozen"] else level for level in stage["levels"]]
    height, width = stage["frame_size"]
    frames = "a single frame" if stage["frames"] == 1 else f"{stage['frames']} frames"
    tensors = stage.get("tensors") or {}
    return {
        "Levels": ", ".join(levels),
        "Windows": f"{frames} of {height} x {width} pixels, from {stage['dataset']}",
        "Training": f"{_counted(stage['epochs'], 'epoch')}, {_counted(stage['steps'], 'step')}, "
        f"{duration(stage['training_seconds'])}",
        "Ended with": stage["ended"],
        "Checkpoint": stage["chosen"],
        "Began with": ", ".join(f"{_counted(number, 'tensor')} {kind}" for kind, number in tensors.items() if number)
        or "random init",
    }


def _counted(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number:,} {what}s"


def duration(seconds: float) -> str:
    """Seconds in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def commands(root: Path, environment: Mapping[str, Any], *, ended: bool) -> list[Command]:
    """What can be done with a run: lines to type in the folder of the program.

    Args:
        root: the run's folder.
        environment: as in environment.json.
        ended: whether all that its config asks for is done.
    """
    where = shlex.quote(str(_short(root)))
    config = shlex.quote(str(_short(root) / "config.yaml"))
    device = "cpu" if environment.get("device", "cpu") == "cpu" else "0"
    python = ".venv/bin/python"
    go_on = f"./launcher.sh {device} {config} resume=true"
    if not ended:
        return [
            ("Go on where it was stopped", go_on),
            ("Renew this report", f"{python} report.py {where}"),
        ]
    return [
        (
            "Score it again, also on other data (--dataset), by other protocols (--protocol)",
            f"{python} eval.py {where}",
        ),
        ("Features of all videos, for a notebook", f"{python} eval.py {where} --export-features features.npz"),
        ("Beside other runs: their folders after it", f"{python} report.py {where} OTHER_RUN"),
        ("Train it longer: a number of epochs that is larger than before", f"{go_on} num_epochs=N"),
        ("The same again, under another name", f"./launcher.sh {device} {config} model_name=NAME"),
    ]


def _short(path: Path) -> Path:
    """The path as it is typed in the current folder, which is the program's."""
    whole, here = path.resolve(), Path.cwd().resolve()
    return whole.relative_to(here) if whole.is_relative_to(here) else whole
