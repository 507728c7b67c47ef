"""A folder as the Hugging Face Hub has them: weights, config, and a model card that says what the scores are worth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import PyTorchModelHubMixin

from config.errors import InputError
from config.load import restore_config
from evaluation.encoders import ScoredEncoder
from runs.folder import RunFolder
from runs.process.atomic import write_text
from runs.results import Result, primary, results_of
from tasks.encoder import build_network
from tasks.pretrained import TrainedEncoder

_CARD = """\
---
library_name: hierarchical-video-transformer
license: {licence}
pipeline_tag: video-classification
tags: [video, self-supervised, feature-extraction]
---

# {name}

An encoder of video, trained by `task: {task}` on {dataset}.
It gives a vector for every unit of each level: {levels}.

## How to load it

With the code of the Hierarchical Video Transformer on the path:

```python
from exporting.huggingface import HubEncoder

encoder = HubEncoder.from_pretrained("THIS_FOLDER_OR_REPOSITORY").eval()
features = encoder(video)  # [B, {frames}, 3, H, W] uint8 RGB -> {{level: [B, units, width]}}
```

Windows have {frames} frames ({sampling}). Frames are scaled to cover {read_size}, cut to {frame_size}, and normalised
inside.

## Scores

{scores}

## Data

{dataset}. Whoever publishes this folder sees to it that the licence above fits the data.

## Config

The whole configuration is in `config.json`.
"""


class HubEncoder(TrainedEncoder, PyTorchModelHubMixin):
    """A trained encoder that `from_pretrained` loads and `save_pretrained` writes.

    Args:
        config: the run's whole config, plain values.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        restored = restore_config(config, "config.json")
        super().__init__(build_network(restored), restored)


def export_huggingface(encoder: ScoredEncoder, folder: Path, licence: str) -> Path:
    """Writes the folder; nothing is sent anywhere.

    Args:
        encoder: of a run.
        folder: new or empty.
        licence: as the Hub spells it, for the card.

    Raises:
        InputError: the folder is not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--huggingface {folder}: it exists and is not an empty folder")
    module = HubEncoder(json.loads(encoder.config.model_dump_json()))
    module.network.load_state_dict(encoder.network.state_dict())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        module.save_pretrained(folder)
    except OSError as error:
        raise InputError(f"--huggingface: cannot write {folder}: {error.strerror or error}") from None
    write_text(folder / "README.md", card(encoder, licence))
    return folder


def card(encoder: ScoredEncoder, licence: str) -> str:
    """The model card, Markdown."""
    config = encoder.config
    frequency = config.window.frequency_fps
    samplings = {
        "dense": f"{frequency:g} a second" if frequency else f"each {config.window.frequency} frames after the last",
        "uniform": "one from each of as many equal segments of the video",
        "states": "of five from its beginning to its end",
    }
    return _CARD.format(
        licence=licence,
        name=encoder.name,
        task=config.task,
        dataset=config.dataset.name if config.dataset.name != "catalog" else Path(config.dataset.root).name,
        levels=", ".join(f"`{level}`" for level in config.levels),
        frames=config.window.length,
        sampling=samplings[config.window.sampling],
        read_size=" x ".join(map(str, config.read_size)),
        frame_size=" x ".join(map(str, config.frame_size)),
        scores=_scores(encoder),
    )


def _scores(encoder: ScoredEncoder) -> str:
    """The run's own results, each beside its floors."""
    file = RunFolder(encoder.folder).summary if encoder.folder else None
    if file is None or not file.is_file():
        return "The run has left none."
    summary: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    lines = ["| evaluation | level | labels | metric | value | random init | chance |", "|---|---|---|---|---|---|---|"]
    for result in primary(results_of(summary, summary.get("own_labels"))):
        names = [result.evaluation, result.level or "–", result.labels or "–", result.metric]
        lines.append("| " + " | ".join(name.replace("|", "\\|") for name in names) + f" | {_numbers(result)} |")
    return "\n".join(lines) + "\n\nOn test videos; ± is half of the 95 % interval."


def _numbers(result: Result) -> str:
    value = "–" if result.value is None else f"{result.value:.1f}"
    interval = "" if result.interval is None else f" ± {result.interval:.1f}"
    floors = ("–" if floor is None else f"{floor:.1f}" for floor in (result.random_init, result.chance))
    return f"{value}{interval} | {' | '.join(floors)}"
