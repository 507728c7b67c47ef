"""Small configs of the tasks that read captions, and batches without files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from config.schema import Config
from data_utils.catalog.annotations.captions import Captions
from data_utils.catalog.catalog import Catalog
from data_utils.views.views import TrainingViews
from tasks import build_task
from tasks.task import StepContext, Task

MakeConfig = Callable[..., Config]
FRAMES = {"language_masked": 1, "dual": 2, "generative": 2, "r3m": 5}
TEXTS = ["a small 7 moves left, then up", "a large 3 moves down, then right", "", "a cup falls off the table"]
DECODER = "{dim: 16, layers: 1, heads: 2, mlp_dim: 24, positions: 2d, norm: rms, mlp: swiglu, layer_scale: 0.1}"
JOINT = "{tubelet: 1, positions: 2d, norm: rms, mlp: swiglu, layer_scale: 0.1}"


def overrides(task: str, cache: Path, *more: str) -> list[str]:
    """What makes a config of a task."""
    text = f"{{encoder: tiny, dim: 64, max_tokens: 12, cache: '{cache}'}}"
    own = {
        "language_masked": [f"language_masked.decoder={DECODER}"],
        "dual": [f"dual.decoder={DECODER}"],
        "generative": [f"generative.decoder={DECODER}", "generative.vocabulary=286"],
        "r3m": ["r3m.hidden_dim=12"],
    }[task]
    window = f"window={{sampling: states, length: {FRAMES[task]}}}"
    return [f"task={task}", "encoder=joint", f"joint={JOINT}", window, f"{task}.text={text}", *own, *more]


def catalog(texts: list[str] | None = None) -> Catalog:
    """As many videos as captions."""
    texts = TEXTS if texts is None else texts
    table = pd.DataFrame({"path": [f"{n}.mp4" for n in range(len(texts))], "frames": 16, "fps": 8.0})
    captions = Captions("caption", np.array(texts, object))
    return Catalog("train", Path(), table, {}, len(texts), annotations={"caption": captions})


def make_task(make: MakeConfig, task: str, cache: Path, *more: str, texts: list[str] | None = None) -> Task:
    """A task with the weights of a seed, in training mode."""
    config = make(*overrides(task, cache, *more))
    torch.manual_seed(0)
    return build_task(config, catalog(texts)).train()


def make_batch(frames: int, rows: tuple[int, ...] = (0, 1, 2, 3), seed: int = 1) -> TrainingViews:
    """Windows of some videos of `catalog`."""
    generator = torch.Generator().manual_seed(seed)
    video: Tensor = torch.randn(len(rows), frames, 3, 16, 24, generator=generator)
    return TrainingViews((video,), (torch.arange(frames).expand(len(rows), -1),), torch.tensor(rows))


def step(seed: int = 0) -> StepContext:
    """The context of a step."""
    return StepContext(torch.Generator().manual_seed(seed))
