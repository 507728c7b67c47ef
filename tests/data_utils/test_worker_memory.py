"""Freed arrays stay with the process that will want them again."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import numpy as np
import psutil
from data_utils.worker_memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
array = np.ones(20 << 20, np.uint8)
with_array = psutil.Process().memory_info().rss
del array
print(with_array - psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
@pytest.mark.parametrize(("mode", "gives_back"), [("kept", False), ("default", True)])
def test_freed_arrays_are_kept_where_asked_for(mode: str, gives_back: bool) -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM, mode], check=True, capture_output=True, text=True)
    assert (int(ended.stdout) > 10 << 20) == gives_back
