"""Two processes that continue the same run write over each other's checkpoints, and neither result can be trusted.

A requeued job or a second terminal is enough for that. So a run folder in use holds `lock.json`: who uses it, and a
count that grows while they live. A lock whose owner is gone is taken over. Where the owner cannot be looked up, since
it runs on another machine or in another container, the count decides. No clocks are compared, and nothing but plain
reads and writes is asked of the file system, which may be a network's.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from config.errors import InputError

logger = logging.getLogger(__name__)

_BEAT = 10.0  # seconds between two counts
_SILENCE = 60.0  # seconds without a count after which an owner that cannot be looked up is gone


@dataclass
class _Owner:
    """Who holds a lock, as the file says it."""

    key: str
    """A random name of one process and one run."""
    host: str
    system: str
    """The boot of the machine, and the container: only inside them the same number means the same process."""
    pid: int
    started: str
    """When the process started, in ticks since the boot: numbers of processes are used again."""
    since: str
    count: str
    """Number of signs of life. All are equally long, so that a new one needs no room on a disk that is full."""

    @classmethod
    def this_process(cls) -> _Owner:
        pid, now = os.getpid(), datetime.now(UTC).isoformat(timespec="seconds")
        return cls(uuid.uuid4().hex, platform.node(), _system(), pid, _start_of(pid), now, f"{0:012}")

    def is_gone(self) -> bool | None:
        """Whether the process has ended; None where that cannot be looked up."""
        if (self.host, self.system) != (platform.node(), _system()):
            return None
        return _start_of(self.pid) != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} (since {self.since})"


class RunLock:
    """Context manager: inside, no other process uses the run folder. Raises InputError where one does."""

    def __init__(self, path: Path, beat: float = _BEAT, silence: float = _SILENCE) -> None:
        """Takes nothing yet.

        Args:
            path: the lock's file, in a folder that exists.
            beat: seconds between two signs of life.
            silence: seconds without one after which an owner that cannot be looked up is gone.
        """
        self._path, self._beat, self._silence = path, beat, silence
        self._owner = _Owner.this_process()
        self._own_file = path.with_name(f".{path.name}.{self._owner.key}")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)

    def __enter__(self) -> RunLock:
        try:
            self._own_file.write_text(json.dumps(asdict(self._owner)))
            if not self._take():
                self._take_over()
        except OSError as error:
            raise InputError(f"cannot write {self._path}: {error.strerror or error}") from error
        finally:
            self._own_file.unlink(missing_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if self._names(self._owner):
            self._path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raises InputError where another process has taken over, as it does when this one was suspended for long."""
        owner = _read(self._path)
        if owner is not None and owner.key != self._owner.key:
            raise InputError(f"run {self._path.parent} was taken over by {owner} and goes on there; this start ends")

    def _take(self) -> bool:
        """Makes the lock's file, whole, in one step, network file systems included; False where there is one."""
        try:
            os.link(self._own_file, self._path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            try:
                with self._path.open("x") as file:
                    file.write(self._own_file.read_text())
            except FileExistsError:
                return False
        return True

    def _take_over(self) -> None:
        """Replaces the lock of an owner that is gone. Raises InputError where it is not."""
        owner = _read(self._path)
        gone = owner.is_gone() if owner else None
        if gone is None:
            logger.info(
                "run %s is locked by %s, which cannot be looked up from here: waiting %.0f s for a sign of life",
                self._path.parent,
                owner or "an unknown process",
                self._silence,
            )
            gone = self._is_silent(owner)
        if not gone:
            raise InputError(
                f"run {self._path.parent} is in use by {owner or 'another process'}; wait for its end, or stop it and "
                "start again"
            )
        self._own_file.replace(self._path)
        time.sleep(min(1.0, self._beat))  # another start may have seen the same: the last one has it
        if not self._names(self._owner):
            raise InputError(
                f"run {self._path.parent} was taken over by another start at the same time; it goes on there"
            )
        logger.warning(
            "run %s was left locked by %s, which is gone: taken over", self._path.parent, owner or "a process"
        )

    def _is_silent(self, owner: _Owner | None) -> bool:
        """Whether the file stays as it is for longer than a living owner would leave it."""
        until = time.monotonic() + self._silence
        while time.monotonic() < until:
            time.sleep(min(1.0, self._beat))
            if _read(self._path) != owner:
                return not self._path.exists()
        return True

    def _count(self) -> None:
        """Gives signs of life, into the file as it was opened: one that takes its place stays as it is."""
        number = 0
        while not self._ended.wait(self._beat):
            number += 1
            self._owner.count = f"{number:012}"
            with suppress(OSError, ValueError), self._path.open("r+") as file:
                if json.loads(file.read())["key"] == self._owner.key:
                    file.seek(0)
                    file.write(json.dumps(asdict(self._owner)))

    def _names(self, owner: _Owner) -> bool:
        found = _read(self._path)
        return found is not None and found.key == owner.key


def _read(path: Path) -> _Owner | None:
    """The owner that the file names; None where there is none that can be understood."""
    try:
        return _Owner(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _start_of(pid: int) -> str:
    """When a process started, ticks since the boot; "" where there is none, or only its remains."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else fields[18]


def _system() -> str:
    """The boot of this machine and the namespace of its processes."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""
