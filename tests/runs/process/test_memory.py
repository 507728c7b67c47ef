import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
PROGRAM = """
import json, os, time
from contextlib import contextmanager
import psutil
from runs.process.memory import MemoryWatch, bytes_of

SIZE = 200_000_000
found = {}

@contextmanager
def child_with_memory(size):
    ready, says = os.pipe()
    pid = os.fork()
    if not pid:
        held = b"x" * size
        os.write(says, held[:1])
        time.sleep(3600)
        os._exit(0)
    os.read(ready, 1)
    yield psutil.Process(pid)
    os.kill(pid, 9)
    os.waitpid(pid, 0)

with MemoryWatch(seconds=0.01) as watch:
    before = watch.peak_mb
    held = b"x" * SIZE
    until = time.monotonic() + 300
    while watch._peak / 1e6 < before + 190 and time.monotonic() < until:
        time.sleep(0.01)
    del held
    found["seen between two questions"] = watch.peak_mb - before

held = b"x" * SIZE
with MemoryWatch(seconds=3600) as watch:
    before = watch.peak_mb
    with child_with_memory(1), child_with_memory(1):
        found["shared"] = watch.peak_mb - before
    with child_with_memory(SIZE), child_with_memory(SIZE) as child:
        found["own"] = watch.peak_mb - before
    found["stays"] = watch.peak_mb - before
found["ended"] = bytes_of(child)
print(json.dumps(found))
"""


def test_all_processes_count_once_and_peaks_stay() -> None:
    # In a process of its own: children of earlier tests would count, too.
    answer = subprocess.run([sys.executable, "-c", PROGRAM], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    found = json.loads(answer.stdout)
    assert 190 < found["seen between two questions"] < 260
    assert found["shared"] < 50, "pages that processes share count once"
    assert 380 < found["own"] < 450
    assert found["stays"] == found["own"]
    assert found["ended"] == 0
