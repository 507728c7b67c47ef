from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_clock_runs_from_before_the_imports() -> None:
    program = (
        "import time\n"
        "time.sleep(2)\n"  # as imports would take
        "before = time.perf_counter()\n"
        "from runs.process.clock import seconds_since_start\n"
        "print(seconds_since_start() - (time.perf_counter() - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    # The system notes the start to a hundredth of a second, and the boot to a second.
    assert float(done.stdout) > 1
