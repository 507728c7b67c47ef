"""Adds what main.py does not compute: linear probes on the validation videos, and how much a run looked at.

`python -m benchmarks.quality.score RUN_FOLDER OUT.json [--skip-val-probes]` writes them to OUT.json.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from config.load import load_config
from config.schema import Config
from data_utils.batches.opening import open_bad_videos, open_catalogs
from main import initial_task
from protocols.encoding import encode_split
from protocols.linear_probe import LinearProbeSettings, probe_scores
from runs.completing import complete
from runs.process.atomic import write_json


def main() -> None:
    """Writes OUT.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--skip-val-probes", action="store_true")
    options = parser.parse_args()
    config = complete(load_config(str(options.run / "config.yaml"))).config
    encoder = options.run / "checkpoints/encoder.safetensors"
    write_json(options.out, score(config, encoder, probes=not options.skip_val_probes))


def score(config: Config, encoder: Path, *, probes: bool) -> dict[str, Any]:
    """Linear probes of a run's encoder, fitted on all training videos.

    Args:
        config: the run's.
        encoder: its encoder.safetensors.
        probes: whether to fit them.

    Returns:
        `batch_size`, `views` (looks at each window in training), `videos` (by split), and `linear_probe` (accuracy on
        the validation videos in percent by level and label set; None without probes).
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        list_of_bad = Path(folder) / "bad_videos.csv"
        catalogs = open_catalogs(config, config.groups, list_of_bad)
        bad_videos = open_bad_videos(config, catalogs, list_of_bad)
        task = initial_task(config, catalogs, device, pretrained=False)
        scores: dict[str, dict[str, float]] | None = None
        if probes:
            task.encoder.load_state_dict(load_file(encoder))
            known, asked = (
                encode_split(task.encoder, catalogs[split], config, device, bad_videos) for split in ("train", "val")
            )
            labels = {str(level): list(known.labels) for level in config.levels}
            scores = {level: {} for level in labels}
            for score in probe_scores(known, asked, labels, LinearProbeSettings()):
                scores[str(score.level)][str(score.labels)] = score.value
    return {
        "batch_size": config.batch_size,
        "views": len(task.views),
        "videos": {split: len(catalog.table) for split, catalog in catalogs.items()},
        "linear_probe": scores,
    }


if __name__ == "__main__":
    main()
