"""How the programs beside main.py begin and end: messages on the console, and one line for what ends them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from config.errors import InputError
from runs.process.caches import give_caches_a_place
from runs.process.signals import Ended, EndOnSignal
from runs.reporting.console import lasting_output, set_up_logging


def run_program(run: Callable[[], int], after_signal: str = "") -> int:
    """Runs what a command line asks for.

    Args:
        run: reads the command line, does what it says, and returns the exit status.
        after_signal: is told beside the signal that ended it.

    Returns:
        The exit status: that of `run`; 2 for bad input; 1 where memory is full or a process that reads videos has
        died; 128 + the signal's number when a signal ended it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait leave their core to other runs
    give_caches_a_place()
    with lasting_output():
        set_up_logging()
        try:
            with EndOnSignal():
                return run()
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except Ended as error:
            print(f"{error}: {after_signal}" if after_signal else error, file=sys.stderr)
            return 128 + error.signal
        except Exception as error:
            from runs.process.ending import known_cause  # it imports torch, which not every program needs

            cause = known_cause(error)
            if cause is None:
                raise
            print(f"error: {cause}", file=sys.stderr)
            return 1
