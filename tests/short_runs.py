"""Runs of main.py in this process that do little beside their training steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import main
from config.schema import Config
from runs.checkpoint import load_checkpoint
from runs.folder import RunFolder

# Of the 24 training videos, in batches of 8, three steps.
NOTHING_BUT_TRAINING = (
    *("num_epochs=1", "log_interval=1", "validate_before=false", "val_interval=0"),
    *("figures=[]", "figure_videos=4", "figure_epochs=0", "pixel_floors=false", "evaluations.linear_probe=null"),
)


@dataclass
class ShortRuns:
    """Starts main.py, and remembers what it said."""

    folder: Path
    file: Path
    capture: pytest.CaptureFixture[str]
    out: str = ""
    err: str = ""

    @classmethod
    def of(
        cls, folder: Path, config: Callable[..., Config], data: Path, capture: pytest.CaptureFixture[str]
    ) -> ShortRuns:
        """Runs in `folder` with the tiny config and data."""
        file = folder / "small.yaml"
        file.write_text(json.dumps(config(*NOTHING_BUT_TRAINING, root=data).model_dump() | {"model_name": None}))
        return cls(folder, file, capture)

    def __call__(self, name: str, *overrides: str) -> int:
        status = main.main([str(self.file), f'save_path="{self.folder}"', f"model_name={name}", *overrides])
        self.out, self.err = self.capture.readouterr()
        return status

    def run(self, name: str) -> RunFolder:
        return RunFolder(self.folder / name)

    def weights(self, name: str) -> dict[str, torch.Tensor]:
        """The weights of last.pt."""
        found: dict[str, torch.Tensor] = load_checkpoint(self.run(name).last)["task"]
        return found

    def summary(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.run(name).summary.read_text())
        return content


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal bit by bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
