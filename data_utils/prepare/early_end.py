"""What joblib says of an end before all is done, which is for this program to tell."""

from __future__ import annotations

import warnings


def expect_early_end() -> None:
    """Keeps joblib from warning that tasks were cancelled: who stops a preparation wants that, and one line says it."""
    for told in (".*tasks which were still being processed", ".*tasks have been successfully executed"):
        warnings.filterwarnings("ignore", told, UserWarning)
