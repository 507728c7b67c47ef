"""How the death of a process that reads videos shows in the process that waits for it."""

from __future__ import annotations

import traceback


def is_of_a_dead_worker(error: BaseException) -> bool:
    """Whether a process of the loader has died, by torch's own message or by what it had begun to hand over."""
    text = str(error)
    if "DataLoader worker" in text and ("killed" in text or "exited unexpectedly" in text):
        return True
    # It dies between sending a batch's address and the batch itself: torch asks nobody, at a socket that is gone.
    frames = traceback.extract_tb(error.__traceback__)
    receives = any("multiprocessing" in frame.filename for frame in frames)
    return receives and isinstance(error, ConnectionError | EOFError | FileNotFoundError)
