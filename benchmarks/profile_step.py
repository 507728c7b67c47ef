"""Profiles a training step: where its time and its memory go, by level and by kind of operation.

    python benchmarks/profile_step.py CONFIG [--steps 2] [--threads 1] [--trace profile_trace.json] [key=value ...]

Steps are whole ones of the trainer, augmentation included, on windows of noise that lie in memory. Prints what a step
takes, how much of the measured rate of a large matrix product it reaches, the time of each level (from the end of one
level's backward to that of the next) and the time and memory of each kind of operation; the trace file opens in
https://ui.perfetto.dev or chrome://tracing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

if not __package__:  # started as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from config.errors import InputError
from config.load import load_config

KINDS = {
    "matrix product": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
    "attention": ("attention",),
    "convolution": ("conv",),
    "normalisation": ("layer_norm", "batch_norm"),
    "pooling": ("pool",),
    "activation": ("gelu", "threshold", "relu", "dropout", "clamp_min"),
    "copying": ("copy_", "aten::cat", "clone", "contiguous", "aten::index", "gather", "scatter", "fill_", "zero_"),
    "optimizer": ("_foreach", "Optimizer", "_fused"),
}
"""Parts of the names of operations; the first kind that fits counts."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables and writes the trace; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--steps", type=int, default=2, help="that are profiled, after one that warms up")
    parser.add_argument("--threads", type=int, default=1, help="threads of a CPU that compute")
    parser.add_argument("--trace", type=Path, default=Path("profile_trace.json"))
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    options = parser.parse_intermixed_args(arguments)
    try:
        _profile(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _profile(options: argparse.Namespace) -> None:
    """See the head of this file."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    from benchmarks.step.measuring import ceiling, measured, start_of_memory, timing_levels
    from benchmarks.views import NoiseLoader
    from runs.precision import autocast_dtype, set_tf32
    from runs.process.seeds import seed_everything
    from tasks.hierarchical import HierarchicalTask
    from train import Trainer

    config = load_config(options.config, options.overrides).config
    if config.task != "hierarchical":
        raise InputError(f"task: {config.task} has no levels to be profiled; this is for task=hierarchical")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(options.threads)
    set_tf32(config)
    seed_everything(config.seed)
    before = start_of_memory(device)
    task = HierarchicalTask(config).to(device)
    batches = 2 * options.steps + 3
    trainer = Trainer(task, config, batches, device)
    reports = trainer.epoch(NoiseLoader(config, batches), 0, 0, lambda _: None)  # type: ignore[arg-type]
    cost = measured(partial(next, reports), options.steps, device, before)
    with timing_levels(task, device) as by_level:
        next(reports)
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with profile(activities=activities, profile_memory=True) as profiled:
        for _ in range(options.steps):
            next(reports)
    profiled.export_chrome_trace(str(options.trace))
    on_gpu = device.type == "cuda"
    top = ceiling(device, autocast_dtype(config, device) or torch.float32, 8192 if on_gpu else 1024)
    taken = cost.seconds if on_gpu else cost.cpu_seconds
    print(f"a step of {config.batch_size} windows: {cost.seconds:.3g} s, {cost.cpu_seconds:.3g} CPU s")
    print(f"memory: {cost.peak_mb:.0f} MB beyond what the process had, {cost.peak_mb / config.batch_size:.3g} a window")
    print(
        f"{cost.flops / 1e9:.4g} GFLOP: {cost.flops / taken / 1e9:.3g} GFLOP/s, {100 * cost.flops / taken / top:.0f} %"
    )
    print(f"of the {top / 1e9:.4g} GFLOP/s of a large matrix product\n")
    print("| level | ms | % of the step |\n|---|---|---|")
    levels = by_level | {"the rest": max(0.0, taken - sum(by_level.values()))}
    for name, seconds in levels.items():
        print(f"| {name} | {1000 * seconds:.1f} | {100 * seconds / taken:.0f} |")
    print("\n| operations | ms a step | % | MB allocated a step | calls a step |\n|---|---|---|---|---|")
    _print_kinds(profiled.key_averages(), options.steps, on_gpu)
    print(f"\ntrace: {options.trace}")


def _print_kinds(events: Any, steps: int, on_gpu: bool) -> None:
    """A line for each kind of operation: its own time, and what it allocated."""
    sums: dict[str, list[float]] = {}
    for event in events:
        microseconds = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        allocated = event.self_device_memory_usage if on_gpu else event.self_cpu_memory_usage
        found = sums.setdefault(kind_of(event.key), [0.0, 0.0, 0.0])
        for place, number in enumerate((microseconds / 1000, max(0, allocated) / 2**20, event.count)):
            found[place] += number / steps
    total = sum(numbers[0] for numbers in sums.values()) or 1.0
    for name, (milliseconds, mb, calls) in sorted(sums.items(), key=lambda item: -item[1][0]):
        print(f"| {name} | {milliseconds:.1f} | {100 * milliseconds / total:.0f} | {mb:.0f} | {calls:.0f} |")


def kind_of(operation: str) -> str:
    """The kind of an operation of the profiler."""
    for kind, parts in KINDS.items():
        if any(part in operation for part in parts):
            return kind
    return "everything else"


if __name__ == "__main__":
    sys.exit(main())
