"""The console output of a run: its progress, and tables of scores. No error in it may end the run."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from statistics import fmean
from types import TracebackType
from typing import TextIO

from tqdm import tqdm

from runs.reporting.monitor_table import MONITORS
from runs.results import Result, primary

logger = logging.getLogger(__name__)


@contextmanager
def lasting_output() -> Iterator[None]:
    """Inside, standard output and error take all that is written, whatever becomes of their readers and disks."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Lasting(sys.stdout), _Lasting(sys.stderr)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, _Lasting):
                stream.give_up_what_is_left()
        sys.stdout, sys.stderr = before


class _Lasting(io.TextIOBase):
    """A text stream that drops what it cannot write.

    A pipe whose reader has gone, a terminal that was closed and a full disk would otherwise end days of training for
    a line of its log. Letters that the stream's encoding lacks are written as their number.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes `text`, or nothing."""
        with suppress(OSError, ValueError):  # ValueError: it is closed
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding or "ascii"
                self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        """Writes `lines`, or nothing."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Hands on what is buffered, as far as that is possible."""
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        """Whether a terminal reads."""
        with suppress(OSError, ValueError):
            return self._stream.isatty()
        return False

    def fileno(self) -> int:
        """File descriptor of the stream."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the stream."""
        return self._stream.encoding

    def give_up_what_is_left(self) -> None:
        """Leaves nothing in the stream's buffer, which Python would try to write, and fail, when it ends."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
                self._stream.flush()


class ConsoleHandler(logging.Handler):
    """Log lines on standard output, above a progress bar where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


def set_up_logging() -> None:
    """Send the program's log lines to standard output; warnings begin with their level. Once is as good as twice."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    if not any(isinstance(handler, ConsoleHandler) for handler in root.handlers):
        handler = ConsoleHandler()
        handler.setFormatter(_Formatter())
        root.addHandler(handler)
    for noisy in ("matplotlib", "fontTools", "numba", "PIL", "libav"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = super().format(record)
        return message if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {message}"


class TrainingProgress:
    """A progress bar on a terminal; elsewhere a plain line ten times per run.

    Losses, speed and waiting time are means since the last line, so that they can be read.
    """

    def __init__(self, total_steps: int, first_step: int, frames: int) -> None:
        """`frames` of a window."""
        self._total, self._frames = total_steps, frames
        self._bar = tqdm(
            total=total_steps, initial=first_step, unit="step", disable=None, dynamic_ncols=True, file=sys.stdout
        )
        self._every = max(1, total_steps // 10)
        self._clear()

    def update(
        self, step: int, loss: Mapping[str, Mapping[str, float]], windows: int, seconds: float, data_wait: float
    ) -> None:
        """Count one step.

        Args:
            step: steps done.
            loss: by level and term.
            windows: that it trained on.
            seconds: the whole step took, waiting for data included.
            data_wait: of them, waiting for data.
        """
        self._windows += windows
        self._seconds += seconds
        self._wait += data_wait
        for level, terms in loss.items():
            self._losses.setdefault(level, []).append(sum(terms.values()))
        self._bar.update()
        if self._bar.disable:
            if step % self._every == 0 or step == self._total:
                logger.info("step %d/%d  %s", step, self._total, self._text())
                self._clear()
        elif self._seconds > 0.5:
            self._bar.set_postfix_str(self._text())
            self._clear()

    def _text(self) -> str:
        losses = "  ".join(f"{level} {fmean(values):.3f}" for level, values in self._losses.items())
        seconds = max(self._seconds, 1e-9)
        speed = speed_text(self._windows / seconds, self._windows * self._frames / seconds)
        return f"loss {losses}  {speed}  waiting for data {self._wait / seconds:.0%}"

    def _clear(self) -> None:
        self._windows, self._seconds, self._wait = 0, 0.0, 0.0
        self._losses: dict[str, list[float]] = {}  # resting levels may have none

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()


def speed_text(windows: float, frames: float) -> str:
    """Windows and frames per second, in words."""
    return ", ".join(
        f"{value:,.0f} {unit}/s" if value >= 9.95 else f"{value:.1f} {unit}/s"
        for value, unit in ((windows, "windows"), (frames, "frames"))
    )


def score_table(results: Sequence[Result]) -> str:
    """Results of one evaluation, a row per level and a column per label set, each with its floors in brackets.

    Args:
        results: a star marks the labels that a level is judged by.
    """
    titles = {result.column: f"{result.column} (init, chance)" for result in results}
    rows = [["level", *titles.values()]]
    for level in dict.fromkeys(result.level for result in results):
        cells = {result.column: _cell(result) for result in results if result.level == level}
        rows.append([level or "", *(cells.get(column, "–") for column in titles)])
    return _aligned(rows)


def _cell(result: Result) -> str:
    floors = f"({_number(result.random_init)}, {_number(result.chance)})"
    return f"{_number(result.value)}{'*' if result.own else ' '} {floors}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def tell_results(results: Sequence[Result], titles: Mapping[str, str], form: str) -> None:
    """Logs a table for every evaluation, and a line for every result that is of no level.

    Args:
        results: of one validation, or of the final test.
        titles: of the evaluations, by name.
        form: of the line above a table, with `{title}` and `{unit}`; of a result of no level, what is before the unit.
    """
    for name, title in titles.items():
        mine = [result for result in primary(results) if result.evaluation == name]
        of_levels = [result for result in mine if result.level is not None]
        if of_levels:
            units = ", ".join(dict.fromkeys(result.unit for result in of_levels))
            logger.info("%s\n%s", form.format(title=title, unit=units), score_table(of_levels))
        for result in mine:
            if result.level is None:
                score = f"{_number(result.value)} {result.unit} (chance {_number(result.chance)})"
                logger.info("%s: %s", form.partition(", {unit}")[0].format(title=title), score)


def pixel_table(pixels: Sequence[Result], titles: Mapping[str, str]) -> str:
    """What evaluations say of looks at the pixels: a row for each evaluation and label set, a column for each look.

    Args:
        pixels: results, in which the look stands in the place of the level.
        titles: of the evaluations, by name.
    """
    shown = primary(pixels)
    looks = dict.fromkeys(str(result.level) for result in shown)
    rows: dict[str, dict[str, str]] = {}
    for result in shown:
        name = f"{titles.get(result.evaluation, result.evaluation)} {result.column}"
        rows.setdefault(name, {})[str(result.level)] = _number(result.value)
    return _aligned(
        [["", *looks], *([name, *(cells.get(look, "–") for look in looks)] for name, cells in rows.items())]
    )


def monitor_table(monitors: Mapping[str, Mapping[str, float]]) -> str:
    """The collapse monitors, a row per level and a column per monitor; below them CKA, which is of pairs of levels.

    Args:
        monitors: by monitor and level. `up`, `down` and `side` are errors as shares of those against another video's
            target.
    """
    shown = {name: monitors[name] for name in MONITORS if monitors.get(name) and name != "cka"}
    levels = dict.fromkeys(level for by_level in shown.values() for level in by_level)
    rows = [["level", *(MONITORS[name].title for name in shown)]]
    for level in levels:
        values = (by_level.get(level) for by_level in shown.values())
        rows.append([level, *("–" if value is None else f"{value:.3g}" for value in values)])
    pairs = "  ".join(f"{pair} {value:.2f}" for pair, value in monitors.get("cka", {}).items())
    return _aligned(rows) + (f"\n  CKA: {pairs}" if pairs else "")


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join("  " + line for line in lines)
