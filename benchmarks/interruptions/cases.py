"""Starts small runs in processes of their own, interrupts them, has them go on, and looks at what is left."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from benchmarks.interruptions.left import differences, left_by
from benchmarks.interruptions.moments import MOMENTS
from benchmarks.interruptions.program import fork
from runs.process.seeds import numpy_generator

ROOT = Path(__file__).parents[2]
# Every part of a run within seconds: accumulation, turns, a teacher, loader processes, checkpoints inside an epoch.
SETTINGS = (
    "quickstart.yaml",
    "frame_size=[36, 48]",
    "hierarchy={patch_size: 12, space: {dim: 16}, time: {dim: 16}, clip: {dim: 16}}",
    "dataset.videos={train: 32, val: 16, test: 12}",
    "batch_size=4",
    "num_iters_grad_accum=2",
    "num_epochs=2",
    "num_workers=1",
    "log_interval=2",
    "alternating_interval=25",
    "hierarchical.targets=ema",
    "checkpoint={every_steps: 3, keep_last: 2, keep_best: 2}",
    "evaluations.linear_probe=null",
    "pixel_floors=false",
    "figures=[pca]",
    "figure_videos=12",
    "model_figures=[]",
    "resume=auto",
)
_CACHE = "torchinductor_"  # torch's own, for other programs of the user, too
_MARK = "HVT_INTERRUPTED_RUN"  # a variable of the environment that all processes of a case inherit
_SECONDS = 120  # within which processes end that have lost their parent


def _shared() -> set[str]:
    """The names of what lies in shared memory."""
    return {path.name for path in Path("/dev/shm").iterdir()}


@dataclass
class Case:
    """A run in a folder of its own."""

    folder: Path
    seen: set[psutil.Process] = field(default_factory=set)
    """The processes that it has had."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        # A short path, since sockets lie in it.
        self.temporary = Path(tempfile.mkdtemp(prefix="hvt-", dir="/tmp"))
        self.log, self.order = self.folder / "log", self.folder / "order"
        self._mark = f"{_MARK}={uuid4().hex}"
        self._shared_before = _shared()  # of others that had the numbers of these processes

    @property
    def run(self) -> Path:
        """Its folder."""
        return self.folder / "outputs/quickstart"

    def start(self, moment: str = "", *, anew: bool = False) -> psutil.Process:
        """Starts it, or has it go on; what it prints is added to its log.

        Args:
            moment: at which it is interrupted; empty: at none.
            anew: by an interpreter of its own, which has all imports before it.
        """
        places = [f'save_path="{self.folder / "outputs"}"', f'dataset.root="{self.folder / "data"}"']
        arguments = [*SETTINGS, *places]
        name, _, value = self._mark.partition("=")
        environment = {name: value, "TMPDIR": str(self.temporary), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        if not anew:
            return psutil.Process(fork(moment, self.order, arguments, self.log, environment))
        command = [sys.executable, "-m", "benchmarks.interruptions.program", str(self.order), *arguments]
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=log, stderr=log)
        return psutil.Process(process.pid)

    def wait(self, process: psutil.Process, seconds: float) -> int | None:
        """The exit status, negative for a signal; None where it still runs after so many seconds."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            with suppress(psutil.NoSuchProcess):
                self.seen |= {process, *process.children(recursive=True)}
            with suppress(psutil.TimeoutExpired):
                return process.wait(min(0.25, left))
        return None

    def last_line(self) -> str:
        """The last line of the log that is not empty."""
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "(nothing printed)")

    def left_behind(self) -> list[str]:
        """Processes, shared memory and temporary files that outlive the run, in words; [] where there are none."""
        until = time.monotonic() + _SECONDS
        while (processes := self._processes()) and time.monotonic() < until:
            time.sleep(0.5)
        shared = sorted(_shared() - self._shared_before)
        pids = {process.pid for process in self.seen}
        shared = [name for name in shared if pids & {int(number) for number in re.findall(r"\d+", name)}]
        files = [str(path.relative_to(self.temporary)) for path in self.temporary.rglob("*")]
        files = [name for name in files if not name.startswith(_CACHE)]
        return [
            *(f"process {one.pid}" for one in processes),
            *(f"/dev/shm/{name}" for name in shared),
            *(f"TMPDIR/{name}" for name in files),
        ]

    def left(self) -> dict[str, Any]:
        """See `left_by`."""
        return left_by(self.run, self.folder / "data", self.order)

    def remove(self) -> None:
        """Ends what still runs, and removes all files."""
        for process in self._processes():
            process.kill()
        shutil.rmtree(self.folder)
        shutil.rmtree(self.temporary)

    def _processes(self) -> list[psutil.Process]:
        """The processes that were seen, or have this case's variable in their environment, and are alive."""
        found = self.seen | {process for process in psutil.process_iter() if self._is_own(process)}
        return [process for process in found if _is_alive(process)]

    def _is_own(self, process: psutil.Process) -> bool:
        try:
            content = Path(f"/proc/{process.pid}/environ").read_bytes()
        except OSError:
            return False
        return self._mark.encode() in content.split(b"\0")


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@dataclass(frozen=True)
class Outcome:
    """What became of an interrupted run."""

    name: str
    hit: str
    """The last line before the interruption."""
    went_on: str
    """What the next start said of where it goes on."""
    differs: list[str]
    """What is not as a run leaves it that nothing interrupts."""
    left_behind: list[str]
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether all is as if nothing had happened."""
        return not self.differs and not self.left_behind


@contextmanager
def open_case(folder: Path) -> Iterator[Case]:
    """A case that is removed when the block ends."""
    case = Case(folder)
    try:
        yield case
    finally:
        case.remove()


def uninterrupted(folder: Path) -> tuple[dict[str, Any], float]:
    """What a run leaves that nothing interrupts, and how many seconds it takes."""
    with open_case(folder) as case:
        begun = time.monotonic()
        _finish(case)
        seconds = time.monotonic() - begun
        if behind := case.left_behind():
            raise RuntimeError(f"an uninterrupted run leaves {', '.join(behind)}")
        return case.left(), seconds


def interrupted(
    folder: Path, name: str, whole: dict[str, Any], delay: float | None = None, *, anew: bool = False
) -> Outcome:
    """Interrupts a run, has it go on to its end, and compares what it leaves.

    Args:
        folder: of the case; it is made and removed.
        name: of a moment; with `delay`, only for the table.
        whole: what an uninterrupted run leaves.
        delay: seconds after which it is killed; None: `name` says when.
        anew: see `Case.start`.
    """
    with open_case(folder) as case:
        begun = time.monotonic()
        status = _interrupt(case, name, delay, anew)
        hit = case.last_line()
        behind = case.left_behind()
        went_on = _finish(case) if status != 0 else "it had ended"
        behind += case.left_behind()
        differs = differences(whole, case.left())
        return Outcome(name, hit, went_on, differs, behind, time.monotonic() - begun)


def _interrupt(case: Case, name: str, delay: float | None, anew: bool) -> int:
    process = case.start("" if delay is not None else name, anew=anew)
    status = case.wait(process, 600 if delay is None else delay)
    if delay is not None:
        if status is None:
            process.kill()
            status = case.wait(process, 600)
        return status or 0
    if status not in MOMENTS[name].statuses:
        raise RuntimeError(f"{name}: the run ended with {status} instead of {MOMENTS[name].statuses}: {_tail(case)}")
    return status or 0


def _finish(case: Case) -> str:
    """Has the run come to its end; returns what it said of where it goes on."""
    before = case.log.stat().st_size if case.log.exists() else 0
    status = case.wait(case.start(), 600)
    if status != 0:
        raise RuntimeError(f"the run ended with {status}: {_tail(case)}")
    text = case.log.read_bytes()[before:].decode(errors="replace")
    found = re.search(r"continuing .*?([^/\s]+\.pt) at step (\d+) of \d+", text)
    return f"{found[1]}, step {found[2]}" if found else "the beginning"


def _tail(case: Case) -> str:
    return case.log.read_text(errors="replace")[-2000:]


def importing() -> float:
    """Seconds that the imports of the program take, which a forked process has behind it."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", "import main"], cwd=ROOT, check=True)
    return time.monotonic() - begun


def delays(count: int, seconds: float, seed: int) -> list[float]:
    """So many moments of a run that takes `seconds`, in order; a pure function of the seed."""
    return sorted(numpy_generator(seed, count).uniform(0, seconds, count).tolist())
