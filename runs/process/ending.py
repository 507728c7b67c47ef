"""How a run ends that does not end by itself: what it reached is saved first, and then told in one line."""

from __future__ import annotations

import logging
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch

from config.errors import InputError
from parallel.group import is_of_a_lost_process
from runs.folder import RunFolder
from runs.process.atomic import UnwritableError
from runs.process.dead_workers import is_of_a_dead_worker
from runs.process.determinism import without_deterministic_form
from runs.process.device_errors import failure_of_the_gpu, is_out_of_memory
from runs.process.signals import Ended

logger = logging.getLogger(__name__)

_LESS_MEMORY = "end what else uses it, or start anew with a smaller batch_size and a larger num_iters_grad_accum"
_WITHOUT_GPU = "if nvidia-smi shows the GPU no more, the machine has to be started anew, or another one taken"


@contextmanager
def before_an_error(save: Callable[[], None]) -> Iterator[None]:
    """Calls `save` before an error leaves the block; where that fails, too, the first error is the one to tell."""
    try:
        yield
    except Exception as error:
        try:
            with _deaths_of_children_ignored():
                save()
        except Exception as second:
            if str(second) == str(error):  # a full disk: told once
                raise error from None
            text = " ".join(str(second).split())
            logger.warning("what was reached since the last checkpoint could not be saved: %s", text)
        raise


@contextmanager
def _deaths_of_children_ignored() -> Iterator[None]:
    """Leaves the block alone when child processes end.

    As long as a loader process that has died is known to torch, its handler of SIGCHLD raises for every child that
    ends, whichever it is; where several die together, that would end the saving.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers belong to the main thread
        yield
        return
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, handler or signal.SIG_DFL)  # None: it was not set from Python


def ending(error: BaseException, run: RunFolder | None) -> tuple[int, str]:
    """The exit status, and the line that tells why the program ends.

    The traceback of an unexpected error goes into the run's folder, where there is something to continue.

    Args:
        error: what ends it.
        run: None before there is a folder.

    Raises:
        Exception: `error` itself, where it is unexpected and nothing had been trained.
    """
    is_saved = run is not None and run.last.is_file()
    goes_on = "resume=true continues from last.pt" if is_saved else "nothing had been trained yet"
    if isinstance(error, KeyboardInterrupt):
        number = error.signal if isinstance(error, Ended) else int(signal.SIGINT)
        return 128 + number, f"{signal.Signals(number).name}: the run has ended; {goes_on}"
    if isinstance(error, UnwritableError) and is_saved:
        return 2, f"error: {error}; {goes_on}"
    if isinstance(error, InputError):
        return 2, f"error: {error}"
    cause = known_cause(error)
    if cause:
        return 1, f"error: {cause}; {goes_on}"
    if not is_saved or run is None:
        raise error
    with suppress(OSError):
        run.error.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return 1, f"error: {text} (unexpected: {run.error} has the traceback); {goes_on}"


def known_cause(error: BaseException) -> str | None:
    """Explains errors that come from the machine, and what helps; None for all others."""
    text = str(error)
    if is_out_of_memory(error):
        whose = "the GPU's memory" if isinstance(error, torch.OutOfMemoryError) else "the memory"
        less = "; ".join(getattr(error, "__notes__", [])) or _LESS_MEMORY
        return f"{whose} is full: {less}"
    if failure := failure_of_the_gpu(error):
        return f"the GPU has failed ({failure}); {_WITHOUT_GPU}"
    if operation := without_deterministic_form(error):
        return f"deterministic=true, but {operation} has no deterministic form here; deterministic=false goes without"
    if is_of_a_lost_process(error):
        return "another process of the run has gone: it was killed, or its machine is lost"
    if is_of_a_dead_worker(error):
        return (
            f"a process that reads videos has died ({' '.join(text.split())}), which a full memory is the usual cause "
            "of: a smaller num_workers needs less"
        )
    return None
