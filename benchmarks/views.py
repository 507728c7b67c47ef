"""Measures what views cost: the time of a training step for one view, two, and views of different strength per level.

    python -m benchmarks.views [--steps 10] [--rounds 3] [--config quickstart.yaml] [key=value ...]

Steps are whole ones of the trainer, augmentation included, on windows of noise that lie in memory. The settings take
turns in each round, so that a machine that changes its speed changes it for all; the table has medians over all steps.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from statistics import median

import torch

from config.load import load_config
from config.schema import Config
from data_utils.batches.loader import Batch
from runs.process.seeds import seed_everything
from tasks.hierarchical import HierarchicalTask
from train import Trainer

SETTINGS: dict[str, tuple[str, ...]] = {
    "one, as it is": ("none",),
    "one, augmented": ("strong",),
    "two strong": ("strong", "strong"),
    "`space` two weak, above one weak and one strong": ("weak", "weak", "weak", "strong"),
    "`space` two weak, above two strong": ("weak", "weak", "strong", "strong"),
}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10, help="steps of a setting in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--config", default="quickstart.yaml")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    configs = {
        name: load_config(options.config, [*options.overrides, *with_views(views)]).config
        for name, views in SETTINGS.items()
    }
    tasks = {}
    for name, config in configs.items():
        seed_everything(config.seed)
        tasks[name] = HierarchicalTask(config).to(device)
    seconds: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for _ in range(options.rounds):
        for name, config in configs.items():
            trainer = Trainer(tasks[name], config, options.steps + 1, device)
            reports = trainer.epoch(NoiseLoader(config, options.steps + 1), 0, 0, lambda _: None)  # type: ignore[arg-type]
            next(reports)  # warms up
            seconds[name] += [report.seconds for report in reports]
    first = median(seconds[next(iter(SETTINGS))])
    print("| views | looks encoded | ms per step | times one view |\n|---|---|---|---|")
    for name, taken in seconds.items():
        looks = len(tasks[name].views)
        print(f"| {name} | {looks} | {1000 * median(taken):.0f} | {median(taken) / first:.2f} |")


def with_views(views: tuple[str, ...]) -> list[str]:
    """Overrides: the first two views are those of `space`, the others those of the levels above."""
    below, above = (views[:2], views[2:]) if len(views) > 2 else (views, views)
    chosen = {"backbone": below, "space": below, "time": above, "clip": above}
    overrides = ["mean=[0.3,0.3,0.3]", "std=[0.15,0.15,0.15]", "augmentation.flip=0.0"]
    overrides += [f"hierarchical.views.{level}=[{','.join(names)}]" for level, names in chosen.items()]
    if len(views) == 1:
        overrides += [f"hierarchical.loss_weights.{level}.invariance=0" for level in chosen]
    return overrides


class NoiseLoader:
    """Batches of noise, the same windows in each."""

    def __init__(self, config: Config, batches: int) -> None:
        shape = (config.batch_size, config.window.length, 3, *config.read_size)
        video = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        frames = torch.arange(config.window.length).expand(config.batch_size, -1)
        self._batch, self._batches = Batch(video, torch.arange(config.batch_size), frames, []), batches

    def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        """The same batch again and again."""
        for _ in range(first_batch, self._batches):
            yield self._batch


if __name__ == "__main__":
    main()
