"""Measures training steps: ours with each option, the step as published, and other video encoders of the same size.

    python -m benchmarks.training_step [--size cnn60 vits] [--row strict published ...] [--frames 8 16 ...]
        [--batch 16] [--steps 3] [--rounds 1] [--threads 1] [--out FILE.jsonl] [key=value ...]

Every row is a process of its own, so that the peak of its memory is its own, and rows take turns in every round: a
machine that changes its speed changes it for all. What is compared are whole steps on windows of noise that lie in
memory: one view of each, not augmented, forward, backward and AdamW. Where other programs share the cores, believe the
CPU seconds. Sizes: tiny, quickstart (8 x 36 x 36), cnn60 (20 x 60 x 80, convolutional stem), vits and vitb (16 x 224 x
224; ViT-S or ViT-B of 12 blocks for `space`, 4 blocks for `time`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.step.sizes import SIZES

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; returns the exit status: 1 where a row failed."""
    options = _parser().parse_intermixed_args(arguments)
    if options.one:
        print(json.dumps(_one(options)))
        return 0
    from benchmarks.step.rows import ROWS

    rows = options.row or ROWS
    if unknown := set(rows) - set(ROWS):
        print(f"error: --row: no {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}", file=sys.stderr)
        return 2
    failed = False
    for size in options.size:
        for frames in options.frames or [SIZES[size][0]]:
            found: dict[str, list[dict[str, Any]]] = {row: [] for row in rows}
            for _ in range(options.rounds):
                for row in rows:
                    result = _in_a_process(options, row, size, frames)
                    failed |= "error" in result
                    found[row].append(result)
                    if options.out:
                        with options.out.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(result) + "\n")
            _print_table(size, frames, found)
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs="+", choices=list(SIZES), default=["cnn60", "vits"])
    parser.add_argument("--row", nargs="+", help="those of the table; left out: all")
    parser.add_argument("--frames", nargs="+", type=int, help="of a window, instead of the size's own")
    parser.add_argument("--batch", type=int, help="windows; left out: the size's own on a CPU, 32 on a GPU")
    parser.add_argument("--steps", type=int, default=3, help="steps of a row in a round, after one that warms up")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="threads of a CPU that compute")
    parser.add_argument("--seconds", type=float, default=600, help="that a row may take at most")
    parser.add_argument("--out", type=Path, help="file that gets the numbers, a line of JSON for each row")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    return parser


def _in_a_process(options: argparse.Namespace, row: str, size: str, frames: int) -> dict[str, Any]:
    """The numbers of one row, or why there are none."""
    command = [sys.executable, "-m", "benchmarks.training_step", "--one", "--size", size, "--frames", str(frames)]
    command += ["--row", row, "--steps", str(options.steps), "--threads", str(options.threads)]
    command += ["--batch", str(options.batch)] if options.batch else []
    command += ["--", *options.overrides]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=options.seconds)
    except subprocess.TimeoutExpired:
        return {"row": row, "size": size, "frames": frames, "error": f"longer than {options.seconds:g} s"}
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        return {"row": row, "size": size, "frames": frames, "error": last[0]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _one(options: argparse.Namespace) -> dict[str, Any]:
    """Measures the row in this process."""
    import torch

    from benchmarks.step.measuring import ceiling
    from benchmarks.step.rows import cost_of

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(options.threads)
    (row,), (size,), (frames,) = options.row, options.size, options.frames
    batch = options.batch or (SIZES[size][1] if device.type == "cpu" else 32)
    cost = cost_of(row, size, frames, batch, options.steps, device, *options.overrides)
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    top = ceiling(device, torch.bfloat16 if fast else torch.float32, 8192 if fast else 1024)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {options.threads} threads"
    known = {"row": row, "size": size, "frames": frames, "batch": batch, "device": name, "ceiling": top}
    return known | asdict(cost)


def _print_table(size: str, frames: int, found: dict[str, list[dict[str, Any]]]) -> None:
    """A line per row, medians over the rounds."""
    first = next((r for results in found.values() for r in results if "error" not in r), None)
    if first:
        top = first["ceiling"] / 1e12
        print(f"\n{size}, {frames} frames, batch {first['batch']}, {first['device']}; ceiling {top:.3g} TFLOP/s\n")
    print("| row | clips/s | CPU s a step | peak MB | GFLOP a clip | % of ceiling | s by level |")
    print("|---|---|---|---|---|---|---|")
    for row, results in found.items():
        good = [result for result in results if "error" not in result]
        if not good:
            print(f"| {row} | {results[0]['error']} | | | | | |")
            continue
        middle = {key: median(result[key] for result in good) for key in ("seconds", "cpu_seconds", "peak_mb", "flops")}
        batch, on_gpu = good[0]["batch"], not good[0]["device"].startswith("CPU")
        taken = middle["seconds"] if on_gpu else middle["cpu_seconds"]
        share = 100 * middle["flops"] / taken / median(result["ceiling"] for result in good)
        levels = ", ".join(f"{name} {seconds:.3g}" for name, seconds in good[0]["level_seconds"].items())
        numbers = (f"{batch / middle['seconds']:.3g}", f"{middle['cpu_seconds']:.3g}", f"{middle['peak_mb']:.0f}")
        print(f"| {row} | {' | '.join(numbers)} | {middle['flops'] / batch / 1e9:.3g} | {share:.0f} | {levels} |")


if __name__ == "__main__":
    sys.exit(main())
