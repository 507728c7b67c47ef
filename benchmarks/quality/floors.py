"""How far the pixels go without any learning: kNN and linear probe on them, for any dataset.

    python -m benchmarks.quality.floors CONFIG OUT.json [key=value ...]

These are the floors that runs have beside their scores (`protocols/pixel_floors.py`), on validation videos, too.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from config.load import load_config
from config.schema import Config
from data_utils.batches.opening import open_bad_videos, open_catalogs
from protocols.evaluation import EvaluationData
from protocols.knn import KNN, knn_settings
from protocols.linear_probe import LinearProbe, LinearProbeSettings
from protocols.metrics import chance
from protocols.pixel_floors import COMPONENTS, looks_at, pixel_encoder
from protocols.protocol import Score, Subject
from runs.completing import complete
from runs.process.atomic import write_json
from runs.process.environment import describe_environment
from runs.process.memory import MemoryWatch


def main() -> None:
    """Writes OUT.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("out", type=Path)
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    began = perf_counter()
    config = complete(load_config(options.config, options.overrides)).config
    with MemoryWatch() as memory:
        found = measure_floors(config)
        cost = {"seconds": perf_counter() - began, "peak_memory_mb": memory.peak_mb}
    write_json(options.out, found | cost | {"environment": describe_environment("cpu")})


def measure_floors(config: Config) -> dict[str, Any]:
    """Scores the pixels of a dataset.

    Returns:
        `val` and `test`, each with `chance` by label set, and `knn` and `linear_probe` (accuracy in percent by look
        and label set); `videos` by split; `averaged`, the side of the squares of pixels that were averaged;
        `components` of each frame.
    """
    device = torch.device("cpu")
    with tempfile.TemporaryDirectory() as folder:
        list_of_bad = Path(folder) / "bad_videos.csv"
        catalogs = open_catalogs(config, config.groups, list_of_bad)
        data = EvaluationData.of(catalogs, config, open_bad_videos(config, catalogs, list_of_bad))
        encoder = pixel_encoder(data, device)
        seen = data.seen_by(encoder, device)
        splits = {split: seen.split(split) for split in catalogs}
    names = list(splits["train"].labels)
    labels = dict.fromkeys(looks_at(config), names)
    # All training videos, in validation, too.
    knn = KNN(knn_settings(config.evaluations).model_copy(update={"bank": len(splits["train"].rows)}))
    probe = LinearProbe(LinearProbeSettings())
    found: dict[str, Any] = {}
    for split in ("val", "test"):
        subject = Subject(seen, split, labels, {}, seed=config.seed)
        found[split] = {
            "chance": {name: chance(known) for name, known in splits[split].labels.items()},
            "knn": _by_label(knn.score(subject)),
            "linear_probe": _by_label(probe.score(subject)),
        }
    return found | {
        "videos": {split: len(encoded.rows) for split, encoded in splits.items()},
        "averaged": encoder.side,
        "components": COMPONENTS,
    }


def _by_label(scores: Sequence[Score]) -> dict[str, dict[str, float]]:
    """Accuracies by level (here: the look at the pixels) and label set."""
    found: dict[str, dict[str, float]] = {}
    for score in scores:
        if score.metric == "top1":
            found.setdefault(str(score.level), {})[str(score.labels)] = score.value
    return found


if __name__ == "__main__":
    main()
