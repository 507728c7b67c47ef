"""A sign of life from trainings that take long."""

from __future__ import annotations

import logging
import time

EVERY = 30.0
"""Seconds between two lines."""

logger = logging.getLogger(__name__)


class Progress:
    """Says now and then how many epochs are done; nothing where all are done soon.

    Args:
        title: what is trained.
        epochs: of the training.
    """

    def __init__(self, title: str, epochs: int) -> None:
        self._title, self._epochs = title, epochs
        self._began = self._told = time.perf_counter()

    def done(self, epochs: int) -> None:
        """So many epochs are done."""
        now = time.perf_counter()
        if now - self._told >= EVERY:
            self._told = now
            logger.info("%s: epoch %d of %d, %.0f s", self._title, epochs, self._epochs, now - self._began)
