"""The processes of a run: how they find each other, what they tell each other, and how an error of one ends all.

`torchrun` starts them, or whatever else sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT. The first one
runs the experiment and writes everything; the others train with it, and in between do what it asks (`ask`, `asked`).
"""

from __future__ import annotations

import os
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from config.errors import InputError
from parallel.batch_share import BatchShare

# A decoder that hangs ends its own process after 10 minutes, whose message must come before that of those who wait.
_STEP = timedelta(minutes=20)
# Between two requests the first process may fine-tune a network; where it dies, its connections close at once.
_REQUEST = timedelta(days=30)
# The first process keeps the place where the others read why all of them end.
_LAST_WORDS = 15  # seconds
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_FAILED = "the process that failed first"
_CPU = torch.device("cpu")
T = TypeVar("T")


class Group:
    """One process alone, for which all of this is nothing; `_Several` is one of several.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
    """

    rank = 0
    size = 1

    def share(self, windows: int, failed: list[T]) -> tuple[BatchShare | None, list[T]]:
        """The share of this process in a batch of which it has `windows`; None where it has all of it.

        Args:
            windows: of this process.
            failed: what of the batch could not be read.

        Returns:
            beside it, what could not be read by all processes.
        """
        del windows
        return None, failed

    def gather(self, value: Any) -> list[Any]:
        """What each process gives, in the order of their ranks."""
        return [value]

    def sum_(self, values: torch.Tensor) -> torch.Tensor:
        """`values`, to which those of the other processes were added."""
        return values

    def agreed_signal(self, signal: int | None) -> int | None:
        """The signal that this process got, or else another one; the same in all processes."""
        return signal

    def ask(self, request: object) -> None:
        """Tells the other processes what to do next; in the first one alone."""

    def asked(self) -> Any:
        """What the first process asks for next; in the others alone."""
        raise RuntimeError("a process alone is asked for nothing")

    def send(self, message: object) -> None:
        """Sends the first process a message."""
        raise RuntimeError("a process alone has nobody to tell")

    def messages(self, rank: int) -> Iterator[Any]:
        """The messages of another process, until it sends None; in the first one alone."""
        raise RuntimeError(f"a process alone waits for no messages of process {rank}")

    def leave(self, last_request: object = None) -> None:
        """Ends what the processes have together; the first one says so with its last request."""

    def failed(self, status: int, line: str) -> int:
        """Prints why this process ends, unless the failure of another one is why; returns the exit status."""
        print(line, file=sys.stderr)
        return status


class _Several(Group):
    """One process of several."""

    def __init__(self, rank: int, size: int, store: Store) -> None:
        self.rank, self.size, self._store = rank, size, store
        # Requests may be far apart; what is missing in the middle of a step is missing for good.
        self._requests = dist.new_group(backend="gloo", timeout=_REQUEST)

    def share(self, windows: int, failed: list[T]) -> tuple[BatchShare | None, list[T]]:
        numbers = torch.zeros(self.size + 1, dtype=torch.int64)
        numbers[self.rank], numbers[-1] = windows, len(failed)
        dist.all_reduce(numbers)
        *sizes, failures = numbers.tolist()
        if failures:
            failed = [one for of_process in self.gather(failed) for one in of_process]
        return BatchShare(tuple(sizes), self.rank), failed

    def gather(self, value: Any) -> list[Any]:
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value, group=self._requests)
        return found

    def sum_(self, values: torch.Tensor) -> torch.Tensor:
        dist.all_reduce(values)
        return values

    def agreed_signal(self, signal: int | None) -> int | None:
        highest = torch.tensor(signal or 0)
        dist.all_reduce(highest, dist.ReduceOp.MAX)
        return int(highest) or None

    def ask(self, request: object) -> None:
        dist.broadcast_object_list([request], src=0, group=self._requests, device=_CPU)

    def asked(self) -> Any:
        received: list[Any] = [None]
        dist.broadcast_object_list(received, src=0, group=self._requests, device=_CPU)
        return received[0]

    def send(self, message: object) -> None:
        dist.send_object_list([message], dst=0, group=self._requests, device=_CPU)

    def messages(self, rank: int) -> Iterator[Any]:
        received: list[Any] = [None]
        while True:
            dist.recv_object_list(received, src=rank, group=self._requests, device=_CPU)
            if received[0] is None:
                return
            yield received[0]

    def leave(self, last_request: object = None) -> None:
        global _joined
        if self.rank == 0:
            self.ask(last_request)
        self.rank, self.size, _joined = 0, 1, ALONE
        dist.destroy_process_group()

    def failed(self, status: int, line: str) -> int:
        try:
            first, known = map(int, self._store.compare_set(_FAILED, "", f"{self.rank} {status}").split())
        except RuntimeError:  # the first process, which kept the store, has gone without a word
            first, known = self.rank, status
            line = f"error: process 0 has gone; process {self.rank} ends. {line.removeprefix('error: ')}"
        if first == self.rank:
            print(f"{line} (in process {self.rank} of {self.size}, on {socket.gethostname()})", file=sys.stderr)
        self._close(last=_told(self.rank))
        return known

    def _close(self, last: str) -> None:
        """Ends the connections, so that those who wait for this process learn of it; the first one goes last.

        The threads of a group that is not closed end with the interpreter, and abort the process where one of them
        lets go of a tensor at that moment.
        """
        del self._requests
        if not torch.cuda.is_available():  # NCCL waits for the others, with which it goes when the process does
            dist.destroy_process_group()
        with suppress(RuntimeError):  # they were killed, or the first one was
            self._store.set(last, "yes")
            others = [_told(other) for other in range(1, self.size)] if self.rank == 0 else []
            until = time.monotonic() + _LAST_WORDS
            while others and not self._store.check(others) and time.monotonic() < until:
                time.sleep(0.1)  # `wait` would warn of those who never come


def _told(rank: int) -> str:
    """The name of what a process keeps in the store once it knows which one failed first."""
    return f"process {rank} knows"


def is_of_a_lost_process(error: BaseException) -> bool:
    """Whether another process went away, or did not come, where this one waited for it."""
    if isinstance(error, dist.DistBackendError):
        return True
    text = str(error)
    waits = "gloo" in text.lower() or isinstance(error, dist.DistError)
    signs = ("Connection closed", "Connection reset", "Broken pipe", "Timed out", "timed out", "Socket closed")
    return isinstance(error, RuntimeError) and waits and any(sign in text for sign in signs)


ALONE = Group()
_joined: Group = ALONE


def joined() -> Group:
    """The processes that this one has joined; `ALONE` where it has not."""
    return _joined


def join() -> Group:
    """Meets the other processes; `ALONE` where this one was started alone.

    Raises:
        InputError: they do not find each other, their port is taken, or there are fewer GPUs than processes.
    """
    global _joined
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return ALONE
    _check_variables()
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local_rank = int(os.environ.get("LOCAL_RANK", rank))
    gpus = torch.cuda.device_count()
    if gpus and local_rank >= gpus:
        raise InputError(
            f"process {local_rank + 1} of this machine has no GPU: there are {gpus}; start at most {gpus} here"
        )
    if gpus:
        torch.cuda.set_device(local_rank)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = _store(rank, size)
        backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
        dist.init_process_group(backend, store=PrefixStore("group", store), rank=rank, world_size=size, timeout=_STEP)
        _joined = _Several(rank, size, PrefixStore("ends", store))
    return _joined


def _check_variables() -> None:
    missing = [name for name in _VARIABLES if not os.environ.get(name)]
    if missing:
        raise InputError(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']} says that this is one of several processes, but {missing[0]} is "
            "not set: start them with torchrun, or unset WORLD_SIZE"
        )
    wrong = [name for name in ("RANK", "WORLD_SIZE", "MASTER_PORT") if not os.environ[name].isdecimal()]
    numbers = {} if wrong else {name: int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT")}
    if wrong or numbers["RANK"] >= numbers["WORLD_SIZE"] or numbers["MASTER_PORT"] >= 1 << 16:
        told = ", ".join(f"{name}={os.environ[name]}" for name in _VARIABLES)
        raise InputError(f"{told} name no process of several: start them with torchrun")


def _store(rank: int, size: int) -> Store:
    """The place where the processes find each other."""
    host, port = os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
    patience = timedelta(seconds=int(os.environ.get("HVT_START_SECONDS", "300")))
    try:
        store, _, _ = next(iter(rendezvous("env://", rank, size, timeout=patience)))
        store.set(f"process {rank} is here", "yes")
        store.wait([f"process {other} is here" for other in range(size)], patience)
    except (dist.DistError, RuntimeError, ValueError) as error:
        if "EADDRINUSE" in str(error) or "in use" in str(error):
            raise InputError(
                f"port {port} of this machine is taken: set MASTER_PORT to another one, or start with torchrun "
                "--standalone, which finds one"
            ) from None
        raise InputError(
            f"process {rank} did not find all of the {size} processes at {host}:{port} within {patience.seconds} s; "
            "were all started, and do they reach that machine?"
        ) from None
    with suppress(RuntimeError):  # of a store that knows no other timeouts
        store.set_timeout(_STEP)
    found: Store = store
    return found
