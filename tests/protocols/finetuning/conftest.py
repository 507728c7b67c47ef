"""Subjects of a fine-tuning: a small encoder with the small real dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from config.schema import Config
from data_utils.catalog.annotations.multi import MultiLabelSet
from data_utils.catalog.bad_videos import BadVideos
from data_utils.catalog.catalog import Catalog
from protocols.encoded import EncodedData
from protocols.finetune import FinetuneSettings
from protocols.finetuning.training import fine_tuned
from protocols.predictions import MultiPredictions, Predictions
from protocols.protocol import Subject
from protocols.window_memory import WindowMemory
from tasks.encoder import build_hierarchy

MakeConfig = Callable[..., Config]
MakeSubject = Callable[..., Subject]


@pytest.fixture
def make_subject(tiny_config: MakeConfig, tiny_catalogs: dict[str, Catalog], tmp_path: Path) -> MakeSubject:
    """`make_subject("key=value", ..., split="test", seed=0, catalogs=...)`."""

    def make(
        *overrides: str, split: str = "test", seed: int = 0, catalogs: dict[str, Catalog] | None = None
    ) -> Subject:
        config = tiny_config(*overrides)
        torch.manual_seed(0)
        encoder = build_hierarchy(config, "strict").eval()
        bad = BadVideos(tmp_path / "bad_videos.csv", total=48, max_share=0.5, dataset="digits")
        known, memory = catalogs or tiny_catalogs, WindowMemory(100)
        data = EncodedData(encoder, "digits", known, config, torch.device("cpu"), bad, memory)
        return Subject(data, split, {"clip": ["program"]}, {"clip": "program"}, seed=seed)

    return make


def with_several(catalogs: dict[str, Catalog]) -> dict[str, Catalog]:
    """The catalogs with a set of several classes at once: the motions of both halves. One video is not annotated."""
    changed: dict[str, Catalog] = {}
    for split, catalog in catalogs.items():
        motions = catalog.labels["motion"]
        shows = np.zeros((len(motions.values), len(motions.classes)), np.bool_)
        np.put_along_axis(shows, motions.values, True, axis=1)
        known = np.arange(len(shows)) > 0
        annotations: dict[str, Any] = {"motions": MultiLabelSet("motions", motions.classes, shows, known)}
        changed[split] = replace(catalog, annotations=annotations)
    return changed


def settings_of(**changed: Any) -> FinetuneSettings:
    return FinetuneSettings(**{"epochs": 1, "augment": "none", "choose": "last", **changed})


def said_of(subject: Subject, name: str = "program", level: str = "clip", **changed: Any) -> Any:
    """What the classifier says of each video."""
    kept: list[Predictions | MultiPredictions] = []
    fine_tuned(replace(subject, keep=kept.append), level, name, settings_of(**changed))
    (said,) = kept
    return said
