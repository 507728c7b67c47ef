"""What an interruption costs a run: nothing. Kills small runs at many moments, has them go on, and compares.

    python -m benchmarks.kill_and_resume [--kills 20] [--seed 0] [--only random|named|signals] [--out FOLDER]

An uninterrupted run is measured first. Then runs are killed by SIGKILL at random moments of that duration, and at
moments by name; others get the signals that ask a run to end, or lose their loader processes. Each goes on by the same
command. Weights, every checkpoint (optimizers, scaler, teacher), metrics.jsonl but for its times, scores, the order of
the data and the files that are left have to be those of the uninterrupted run, and nothing may be left behind:
processes, shared memory, temporary files. Prints a row for each; the exit status is 1 where one is not as it should be.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.interruptions.cases import Outcome, delays, importing, interrupted, uninterrupted
from benchmarks.interruptions.moments import KILLS, SIGNALS

_KINDS = ("random", "named", "signals")


def outcomes(folder: Path, kills: int, seed: int, kinds: tuple[str, ...] = _KINDS) -> Iterator[Outcome]:
    """Interrupts one run after the other.

    Args:
        folder: for the runs; they are removed.
        kills: random moments.
        seed: of the random moments.
        kinds: which of the three kinds.
    """
    whole, seconds = uninterrupted(folder / "run")
    if "random" in kinds:
        imports = importing()
        for delay in delays(kills, imports + seconds, seed):
            # Past its imports, a process is as well forked from this one, which has them behind it.
            anew = delay < imports
            name = f"killed after {delay:.1f} of {imports + seconds:.1f} s"
            yield interrupted(folder / "run", name, whole, delay if anew else delay - imports, anew=anew)
    names = [*(KILLS if "named" in kinds else ()), *(SIGNALS if "signals" in kinds else ())]
    for name in names:
        yield interrupted(folder / "run", name, whole)


def row(outcome: Outcome) -> str:
    """The outcome as a row of the table."""
    same = "identical" if not outcome.differs else f"other {', '.join(outcome.differs)}"
    behind = ", ".join(outcome.left_behind) or "nothing"
    cells = (
        outcome.name,
        outcome.hit.replace("|", "/")[:70],
        outcome.went_on,
        same,
        behind,
        f"{outcome.seconds:.0f} s",
    )
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    """Prints the table. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="random moments")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--only", choices=_KINDS, help="one kind of interruption")
    parser.add_argument("--out", type=Path, help="folder for the runs; default: a temporary one")
    options = parser.parse_args()
    folder = options.out or Path(tempfile.mkdtemp(prefix="kill_and_resume-"))
    print("| interrupted | last line before | went on from | weights, metrics, order, scores | left behind | took |")
    print("|---|---|---|---|---|---|", flush=True)
    good = True
    for outcome in outcomes(folder, options.kills, options.seed, (options.only,) if options.only else _KINDS):
        print(row(outcome), flush=True)
        good = good and outcome.is_good
    if options.out is None:
        shutil.rmtree(folder)
    print("all as if nothing had happened" if good else "NOT all as if nothing had happened")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
