import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from runs.memory import MemoryWatch, _bytes_of

SIZE = 200_000_000


@contextmanager
def child_with_memory(size: int) -> Iterator[None]:
    """A forked process that holds `size` bytes of its own."""
    ready, says = os.pipe()
    pid = os.fork()
    if not pid:
        held = b"x" * size
        os.write(says, held[:1])
        time.sleep(60)
        os._exit(0)
    os.read(ready, 1)
    yield
    os.kill(pid, 9)
    os.waitpid(pid, 0)


def test_peaks_between_two_questions_are_seen() -> None:
    with MemoryWatch(seconds=0.01) as watch:
        before = watch.peak_mb
        held = b"x" * SIZE
        for _ in range(1000):
            time.sleep(0.01)
            if watch._peak / 1e6 > before + 190:
                break
        del held
        assert 190 < watch.peak_mb - before < 260


def test_children_count_and_what_they_share_with_their_parent_counts_once() -> None:
    shared = b"x" * SIZE
    with MemoryWatch(seconds=3600) as watch:
        before = watch.peak_mb
        with child_with_memory(1), child_with_memory(1):
            assert watch.peak_mb - before < 100, "shared pages count once"
        with child_with_memory(SIZE), child_with_memory(SIZE):
            assert 380 < watch.peak_mb - before < 480
        assert watch.peak_mb - before > 380, "the peak stays"
    del shared


def test_a_process_that_has_ended_counts_nothing() -> None:
    with child_with_memory(1):
        child = psutil.Process().children()[-1]
        assert _bytes_of(child) > 0
    assert _bytes_of(child) == 0
