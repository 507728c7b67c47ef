"""Decodes every file once, in processes of their own: a file that crashes or hangs a decoder must not end the run."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

from data_utils.video_files.inspection import VideoFacts
from data_utils.video_files.inspector import COMMAND, Inspector
from data_utils.video_files.progress import VideoProgress

PATIENCE = 60.0


def verify_videos(
    paths: Sequence[Path], num_workers: int, patience: float = PATIENCE, command: Sequence[str] = COMMAND
) -> Iterator[tuple[int, VideoFacts | str]]:
    """Fully decodes videos, with a progress bar on a terminal and log lines elsewhere.

    Args:
        paths: the files.
        num_workers: processes that decode; at least one is used.
        patience: seconds without a decoded packet after which a decoder counts as hanging and is killed.
        command: starts a decoding process, which speaks like `data_utils.video_files.inspection`.

    Yields:
        (index of the path, its facts or the reason why it is bad), in the order of completion.

    Raises:
        FaultError: this program is at fault, and not a file.
        RuntimeError: the decoding process does not start.
    """
    tasks: SimpleQueue[int] = SimpleQueue()
    results: SimpleQueue[tuple[int, VideoFacts | str] | Exception] = SimpleQueue()
    for index in range(len(paths)):
        tasks.put(index)
    inspectors = [Inspector(patience, command) for _ in range(min(max(1, num_workers), len(paths)))]

    def serve(inspector: Inspector) -> None:
        try:
            while True:
                index = tasks.get_nowait()
                results.put((index, inspector.inspect(paths[index])))
        except Empty:
            return
        except Exception as error:  # raised where the results are read
            results.put(error)

    threads = [threading.Thread(target=serve, args=(inspector,), daemon=True) for inspector in inspectors]
    try:
        for thread in threads:
            thread.start()
        with VideoProgress("verifying videos", len(paths), "video") as progress:
            for _ in paths:
                result = results.get()
                if isinstance(result, Exception):
                    raise result
                yield result
                progress.add()
    finally:
        _empty(tasks)
        for inspector in inspectors:
            inspector.close()
        for thread in threads:
            thread.join()


def _empty(tasks: SimpleQueue[int]) -> None:
    try:
        while True:
            tasks.get_nowait()
    except Empty:
        return
