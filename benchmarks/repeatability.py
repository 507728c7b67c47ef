"""Measures what `deterministic: true` costs, and what repeats: from training to training, and for numbers of threads.

    python -m benchmarks.repeatability [--steps 10] [--threads 1 2] [config] [key=value ...]

Trains the model of a config (quickstart.yaml) on windows of noise, on the GPU where there is one, with and without
`deterministic`, in turns. Prints the median step of each with their ratio, of CPU seconds on a CPU (so that other
programs on the machine do not count), and for each number of threads a digest of the weights after two trainings: equal
digests are weights that are equal bit by bit.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from time import perf_counter, process_time
from typing import cast

import torch

from config.load import load_config
from config.schema import Config
from data_utils.batches.loader import Batch, Loader
from data_utils.catalog.catalog import Catalog
from runs.checkpoint import weights_digest
from runs.process.determinism import deterministic
from runs.process.seeds import seed_everything, torch_generator
from tasks import build_task
from train import Trainer

ROUNDS = 3  # trainings of each kind for the times
CHOICES = (False, True)


class Noise:
    """A loader of batches of noise: the same for the same config."""

    def __init__(self, config: Config, batches: int) -> None:
        self._config, self._batches = config, batches

    def epoch(self, epoch: int, _first_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch."""
        size, length = self._config.batch_size, self._config.window.length
        shape = (size, length, 3, *self._config.read_size)
        for number in range(self._batches):
            generator = torch_generator(epoch, number)
            videos = [torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8) for _ in range(2)]
            frames_BT = torch.arange(length).expand(size, -1)
            own, other = (Batch(video, torch.arange(size), frames_BT, []) for video in videos)
            yield Batch(own.video_BTCHW, own.row_B, frames_BT, [], other, number)


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="quickstart.yaml")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--steps", type=int, default=10, help="of a training")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of the CPU; of a GPU one is enough")
    options = parser.parse_args()
    mean = ["mean=[0.5, 0.5, 0.5]", "std=[0.25, 0.25, 0.25]"]
    config = load_config(options.config, [*mean, *options.overrides]).config
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(options.threads[0])
    seconds: dict[bool, list[float]] = {choice: [] for choice in CHOICES}
    for _ in range(ROUNDS):
        for choice in CHOICES:
            seconds[choice] += trained(config, device, options.steps, choice)[0]
    plain, exact = (1000 * median(seconds[choice]) for choice in CHOICES)
    clock = "CPU ms" if device.type == "cpu" else "ms"
    print(f"{device.type}, {options.threads[0]} threads, batch {config.batch_size}: a step takes {plain:.1f} {clock},")
    print(f"with deterministic=true {exact:.1f} {clock}: {exact / plain:.3f} of it")
    print("threads  deterministic  weights after one training, and another")
    for threads in options.threads:
        torch.set_num_threads(threads)
        for choice in CHOICES:
            digests = [trained(config, device, options.steps, choice)[1][:12] for _ in range(2)]
            print(f"{threads:7d}  {str(choice).lower():13}  {'  '.join(digests)}")


def trained(config: Config, device: torch.device, steps: int, exact: bool) -> tuple[list[float], str]:
    """Seconds of each step but the first, and a digest of the weights at the end."""
    clock = process_time if device.type == "cpu" else perf_counter
    with deterministic(exact):
        seed_everything(config.seed)
        # The catalog tells a task its classes: tasks without labels need none.
        task = build_task(config, cast("Catalog", None)).to(device)
        trainer = Trainer(task, config, steps, device)
        moments = []
        for _ in trainer.epoch(cast("Loader", Noise(config, steps)), 0, 0, lambda _: None):
            if device.type == "cuda":
                torch.cuda.synchronize()
            moments.append(clock())
    weights = {name: tensor.cpu() for name, tensor in task.state_dict().items()}
    return [after - before for before, after in pairwise(moments)], weights_digest(weights)


if __name__ == "__main__":
    main()
