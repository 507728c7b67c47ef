"""Two processes with half of each batch train as one with the whole: every task, and whatever compares windows."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from config.schema import Config
from data_utils.batches.opening import open_catalogs
from data_utils.catalog.annotations.classes import UNKNOWN, LabelSet
from data_utils.catalog.catalog import Catalog
from protocols.encoded_split import EncodedSplit
from tasks.regularizers import REGULARIZERS
from tasks.table import TASKS
from tests.parallel.two_processes import STEPS, Trained, encoded, in_double_precision, start, train
from tests.tasks.language_cases import FRAMES, overrides

# Adam makes steps of equal length of gradients that are 0 but for rounding.
SGD = "optimizer={name: sgd, lr: 0.01, weight_decay: 0.1}"
# Noise, swapped pictures and all draws are those of the same windows in one process.
AUGMENTED = "augmentation={flip: 0.5, static_swap: {probability: 0.7}}"
VIEWS = (
    "views={space: [weak,weak], time: [weak,strong], clip: [strong,strong]}",
    "loss_weights={space: {invariance: 1}, time: {invariance: 1}, clip: {invariance: 1}}",
)
# Keys of a regulariser that stands in `REGULARIZERS`; 4 vectors would be few for the statistics of a test.
REGULARIZER_KEYS = {
    "vicreg": "variance: 1, covariance: 1, proj_dim: 18, min_vectors: 4",
    "sigreg": "weight: 1, num_slices: 256, proj_dim: 18, min_vectors: 4",
    "visreg": "scale: 1, shape: 1, centre: 1, num_slices: 256, proj_dim: 18, min_vectors: 4",
    "none": "",
}
LOSSES = {
    "barlow": "{name: barlow, redundancy: 0.01}",
    "vicreg": "{name: vicreg, invariance: 1, variance: 1, covariance: 1}",
    "ce": "{name: ce, prediction_temperature: 1, target_temperature: 0.5, centre_momentum: 0.9}",
}
EXTRA = {
    "few vectors, remembered ones": ("batch_size=2", *VIEWS, "regularizer.min_vectors=40"),
    "swap, in all windows": ("augmentation={static_swap: {probability: 1.0, mode: add}}", *VIEWS),
    "a shared position": ("positions=per_batch", "down_targets=sampled"),
    "one target of each": ("down_targets=sampled", "use_temporal_prediction=false"),
    "norms of units": ("output_batchnorm=true", "isolation=overlap"),
    "end to end": ("isolation=end2end", "detach_targets=false"),
    "causal": ("architecture_time.causal_mask=true", "groups=[backbone,space,time,clip]"),
    "mixed": ("task=supervised", "supervised.mixup=0.8", "batch_size=7"),
    "cut and mixed": ("task=supervised", "supervised.cutmix=1.0", "supervised.label_smoothing=0.1"),
    "convolutions": ("stem=cnn",),
    "teacher": ("targets=ema",),
    "parts and turns": (
        "num_iters_grad_accum=2",
        "batch_size=4",
        "alternating_interval=34",
        "always_compute_loss=true",
    ),
    "a batch that cannot be halved": ("batch_size=7",),
    "fewer windows than processes": ("window.max_seq_per_video=1",),
    "s3d": ("task=supervised", "encoder=s3d", "window.length=8"),
    "svt of patches": ("task=svt", "groups=[backbone,space,time]", "frames_per_clip=6", "stem=cnn", "patch_size=4"),
}


def cases() -> dict[str, tuple[str, ...]]:
    """Overrides by name: every task of the table, every regulariser, and what else looks across a batch."""
    found = {f"task {name}": (f"task={name}", AUGMENTED) for name in TASKS.keys() - FRAMES.keys()}
    for kind in REGULARIZERS:
        name = kind.model_fields["name"].annotation.__args__[0]  # type: ignore[union-attr]
        keys = f"regularizer={{name: {name}, {REGULARIZER_KEYS[name]}}}"
        found[f"regulariser {name}"] = (AUGMENTED, *(VIEWS if name != "none" else ()), keys)
    return found | {f"loss {name}": (f"hierarchical.loss={keys}",) for name, keys in LOSSES.items()} | EXTRA


def is_double(name: str) -> bool:
    """Whether a case is computed in double precision: not where stored captions are read, which are float32."""
    return name.removeprefix("task ") not in FRAMES


def with_gaps(labels: LabelSet) -> LabelSet:
    """The labels without those of every third video, so that processes have more and less of them."""
    values = labels.values.copy()
    values[::3] = UNKNOWN
    return replace(labels, values=values)


class InTwo(NamedTuple):
    """What was given to two processes, and what they made of it."""

    given: dict[str, tuple[Config, Catalog]]
    found: dict[str, Trained]
    encoding: tuple[dict[str, Any], Catalog]
    seen: list[EncodedSplit]


@pytest.fixture(scope="module")
def in_two(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_config: Callable[..., Config],
    tiny_catalogs: dict[str, Catalog],
    tiny_dataset: Path,
) -> InTwo:
    """All cases, and what two processes made of them: started once, as starting takes longer than training."""
    folder = tmp_path_factory.mktemp("two")
    given = {}
    captions = {name: tuple(overrides(name, folder / "captions", "batch_size=8")) for name in FRAMES}
    assert {f"task {name}" for name in TASKS} <= cases().keys() | {f"task {name}" for name in captions}
    captioned = tiny_config("dataset.annotations={caption: captions}", root=tiny_dataset)
    with_captions = open_catalogs(captioned, captioned.groups, folder / "bad_videos.csv")["train"]
    for name, changes in captions.items():
        given[f"task {name}"] = tiny_config(SGD, *changes, root=tiny_dataset), with_captions
    for name, changes in cases().items():
        catalog = tiny_catalogs["train"]
        if name == "fewer windows than processes":
            catalog = catalog.sample(1, seed=0)
        if name == "task supervised":  # more labels are with one process than with the other
            labels = {column: with_gaps(labels) for column, labels in catalog.labels.items()}
            catalog = replace(catalog, labels=labels)
        given[name] = tiny_config(SGD, *changes, root=tiny_dataset), catalog
    written = {name: (config.model_dump(), catalog, is_double(name)) for name, (config, catalog) in given.items()}
    # Batches of 5 views: three of them, the last one incomplete; one video cannot be read.
    values, val = tiny_config("batch_size=5", root=tiny_dataset).model_dump(), tiny_catalogs["val"]
    table = val.table.copy()
    table.loc[3, "path"] = "missing.mp4"
    encoding = values, replace(val, table=table)
    (folder / "cases").write_bytes(pickle.dumps((written, encoding)))
    command = ["-m", "tests.parallel.two_processes", str(folder / "cases"), str(folder / "found")]
    processes = start([command, command], folder)
    statuses = [process.wait() for process in processes]
    assert statuses == [0, 0], (folder / "err0").read_text() + (folder / "err1").read_text()
    found, seen = pickle.loads((folder / "found").read_bytes())
    return InTwo(given, found, encoding, seen)


@pytest.mark.parametrize("name", [*cases(), *(f"task {name}" for name in FRAMES)])
def test_two_processes_train_as_one(in_two: InTwo, name: str) -> None:
    given, found = in_two.given, in_two.found
    with in_double_precision() if is_double(name) else nullcontext():
        alone = train(*given[name])
    together, loose = found[name], 1 if is_double(name) else 100
    assert len(together.reports) == len(alone.reports) == (1 if name == "fewer windows than processes" else STEPS)
    for one, other in zip(alone.reports, together.reports, strict=True):
        assert (one.step, one.batch, one.windows, one.skipped) == (other.step, other.batch, other.windows, False)
        assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-5 * loose)
        for level, terms in one.loss.items():
            assert other.loss[level] == pytest.approx(terms, rel=1e-6 * loose, abs=1e-9), level
    for tensor_name, value in alone.state.items():
        torch.testing.assert_close(
            together.state[tensor_name], value, rtol=1e-5 * loose, atol=1e-7 * loose, msg=tensor_name
        )


def test_a_split_that_two_processes_encode_is_that_of_one_bit_by_bit(in_two: InTwo, tmp_path: Path) -> None:
    alone = encoded(*in_two.encoding, bad_videos=tmp_path / "bad_videos.csv")
    for seen in in_two.seen:  # read from files, and from memory
        assert seen.rows.tolist() == alone.rows.tolist() == [row for row in range(12) if row != 3]
        assert np.array_equal(seen.view_frames, alone.view_frames)
        for level, features in alone.features[1].items():
            assert np.array_equal(seen.features[1][level], features)
            assert np.array_equal(seen.singles.units[level], alone.singles.units[level])
