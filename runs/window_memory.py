"""The memory that a training window takes: measured in the first steps, logged, and told where it does not suffice."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from config.schema import Config
from runs.process.device_errors import is_out_of_memory
from runs.process.peak_memory import PeakMemory

if TYPE_CHECKING:
    from runs.history import History
    from train import StepReport

logger = logging.getLogger(__name__)

# The first step still loads libraries and makes the optimizers' state.
_MEASURED_STEPS = 2


class WindowMemory:
    """Measures what the first steps of this process take.

    Args:
        config: of the training.
        device: that computes.
        history: is told the bytes of a window.
        processes: among which each batch is divided.
    """

    def __init__(self, config: Config, device: torch.device, history: History, processes: int = 1) -> None:
        self._config, self._device, self._history, self._processes = config, device, history, processes
        self._peak = PeakMemory(device)
        self._left = _MEASURED_STEPS

    def measured(self, steps: Iterator[StepReport]) -> Iterator[StepReport]:
        """The steps as they are; an error of memory gets a note on what to lower."""
        while True:
            if self._left:
                self._peak.start()
            try:
                report = next(steps, None)
            except Exception as error:
                if is_out_of_memory(error):
                    error.add_note(self.advice())
                raise
            if report is None:
                return
            if self._left:
                self._note(math.ceil(min(self._config.batch_size, report.windows) / self._processes))
            yield report

    def _note(self, windows: int) -> None:
        """Takes down what the step that has ended took for each of the windows of a batch."""
        self._left -= 1
        peak = self._peak.bytes()
        if not peak:
            return
        self._history.bytes_per_window = peak // windows
        if not self._left:
            megabytes = peak / 1e6
            logger.info(
                "memory: a batch of %d windows takes %.0f MB beside the model, %.2f MB a window",
                *(windows, megabytes, megabytes / windows),
            )

    def advice(self) -> str:
        """Which keys take less memory, and how much a window takes, where that is known."""
        config, each = self._config, self._history.bytes_per_window
        ways = []
        if config.batch_size > 1:
            half = (config.batch_size + 1) // 2
            parts = config.num_iters_grad_accum * 2
            ways.append(f"batch_size={half} num_iters_grad_accum={parts} (about half, as many windows a step)")
        ways.append("a smaller frame_size or window.length")
        if config.encoder == "hierarchical":
            keeping = [
                level for level in config.groups if level != "backbone" and not config.level(level).checkpointing
            ]
            ways += [f"hierarchy.{level}.checkpointing=true" for level in keeping[:1]]
        if self._device.type == "cuda" and not config.use_mixed_precision:
            ways.append("use_mixed_precision=true")
        if not config.find_batch_size:
            ways.append("find_batch_size=true finds the largest batch that fits")
        measured = f"a window takes {each / 1e6:.1f} MB, batch_size={config.batch_size}; " if each else ""
        return f"{measured}what takes less in a new run: {', or '.join(ways)}"
