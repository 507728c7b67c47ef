"""How long kNN takes, and in how much memory, from features that may lie in a file.

    python -m benchmarks.knn [--bank 9537] [--queries 3783] [--dim 512] [--k 20 200] [--in-file] [--threads N]

The default is the size of UCF101's first split (9,537 training and 3,783 test videos) with vectors of 512; Kinetics-400
is about `--bank 240000 --queries 20000 --dim 768 --in-file`. Features are random, of which none are easier than others.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import psutil
import torch

from protocols.encoded_split import FloatArray
from protocols.neighbours import BLOCK_BYTES, nearest
from runs.process.environment import device_name
from runs.process.memory import MemoryWatch

_ROWS = 8192  # that are made at once


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a row for every k: seconds (the best of three), and memory beyond what was taken before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=int, default=9537)
    parser.add_argument("--queries", type=int, default=3783)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--k", type=int, nargs="+", default=[20, 200])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--in-file", action="store_true", help="the bank is a memory map of a file")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bank.npy" if options.in_file else None
        bank, queries = features(options.bank, options.dim, 0, file), features(options.queries, options.dim, 1)
        print(
            f"{options.bank:,} x {options.queries:,} x {options.dim}, {device_name(device)}, "
            f"{options.threads} threads; blocks of {BLOCK_BYTES / 1e6:.0f} MB"
        )
        for k in options.k:
            seconds, memory_mb = measured(bank, queries, k, options.rounds, device)
            print(f"k {k:4}: {seconds:8.2f} s, {memory_mb:6.0f} MB more")


def features(count: int, dim: int, seed: int, file: Path | None = None) -> FloatArray:
    """Random vectors, [count, dim], in memory or in a file."""
    if file is None:
        made: FloatArray = np.empty((count, dim), np.float32)
    else:
        made = np.lib.format.open_memmap(file, "w+", np.float32, (count, dim))
    generator = np.random.default_rng(seed)
    for start in range(0, count, _ROWS):
        made[start : start + _ROWS] = generator.standard_normal((min(_ROWS, count - start), dim), np.float32)
    return made


def measured(
    bank_ND: FloatArray, queries_MD: FloatArray, k: int, rounds: int, device: torch.device
) -> tuple[float, float]:
    """Seconds of the quickest of some rounds, and the most memory that was taken beyond what there was, in MB.

    Pages of a file that the system may drop at any time count as memory, too.
    """
    seconds = []
    before = psutil.Process().memory_full_info().pss / 1e6
    with MemoryWatch(0.05) as memory:
        for _ in range(rounds):
            began = perf_counter()
            nearest(bank_ND, np.arange(len(bank_ND)), queries_MD, np.arange(len(queries_MD)), k, device)
            seconds.append(perf_counter() - began)
        return min(seconds), memory.peak_mb - before


if __name__ == "__main__":
    main()
