"""Two processes with half of each batch train as one with the whole: every task, and whatever compares windows."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from config.schema import Config
from data_utils.catalog.annotations.classes import UNKNOWN, LabelSet
from data_utils.catalog.catalog import Catalog
from tasks.regularizers import REGULARIZERS
from tasks.table import TASKS
from tests.parallel.two_processes import STEPS, Trained, in_double_precision, start, train

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
    found = {f"task {name}": (f"task={name}", AUGMENTED) for name in TASKS}
    for kind in REGULARIZERS:
        name = kind.model_fields["name"].annotation.__args__[0]  # type: ignore[union-attr]
        keys = f"regularizer={{name: {name}, {REGULARIZER_KEYS[name]}}}"
        found[f"regulariser {name}"] = (AUGMENTED, *(VIEWS if name != "none" else ()), keys)
    return found | {f"loss {name}": (f"hierarchical.loss={keys}",) for name, keys in LOSSES.items()} | EXTRA


def with_gaps(labels: LabelSet) -> LabelSet:
    """The labels without those of every third video, so that processes have more and less of them."""
    values = labels.values.copy()
    values[::3] = UNKNOWN
    return replace(labels, values=values)


@pytest.fixture(scope="module")
def in_two(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_config: Callable[..., Config],
    tiny_catalogs: dict[str, Catalog],
    tiny_dataset: Path,
) -> tuple[dict[str, tuple[Config, Catalog]], dict[str, Trained]]:
    """All cases, and what two processes made of them: started once, as starting takes longer than training."""
    folder = tmp_path_factory.mktemp("two")
    given = {}
    for name, overrides in cases().items():
        catalog = tiny_catalogs["train"]
        if name == "fewer windows than processes":
            catalog = catalog.sample(1, seed=0)
        if name == "task supervised":  # more labels are with one process than with the other
            labels = {column: with_gaps(labels) for column, labels in catalog.labels.items()}
            catalog = replace(catalog, labels=labels)
        given[name] = tiny_config(SGD, *overrides, root=tiny_dataset), catalog
    written = {name: (config.model_dump(), catalog) for name, (config, catalog) in given.items()}
    (folder / "cases").write_bytes(pickle.dumps(written))
    command = ["-m", "tests.parallel.two_processes", str(folder / "cases"), str(folder / "found")]
    processes = start([command, command], folder)
    statuses = [process.wait() for process in processes]
    assert statuses == [0, 0], (folder / "err0").read_text() + (folder / "err1").read_text()
    return given, pickle.loads((folder / "found").read_bytes())


@pytest.mark.parametrize("name", cases())
def test_two_processes_train_as_one(
    in_two: tuple[dict[str, tuple[Config, Catalog]], dict[str, Trained]], name: str
) -> None:
    given, found = in_two
    with in_double_precision():
        alone = train(*given[name])
    together = found[name]
    assert len(together.reports) == len(alone.reports) == (1 if name == "fewer windows than processes" else STEPS)
    for one, other in zip(alone.reports, together.reports, strict=True):
        assert (one.step, one.batch, one.windows, one.skipped) == (other.step, other.batch, other.windows, False)
        assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-5)
        for level, terms in one.loss.items():
            assert other.loss[level] == pytest.approx(terms, rel=1e-6, abs=1e-9), level
    for tensor_name, value in alone.state.items():
        torch.testing.assert_close(together.state[tensor_name], value, rtol=1e-5, atol=1e-7, msg=tensor_name)
