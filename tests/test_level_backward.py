"""Backward level by level: the same gradients as by one backward through all losses, in less memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from config.schema import Config
from tests.fake_training import DROPOUT, FakeLoader, make_trainer, run
from train import Trainer

MakeConfig = Callable[..., Config]
TWO_VIEWS = (
    "views={backbone: [strong, strong], space: [weak, weak], time: [weak, strong], clip: [strong, strong]}",
    "loss_weights={space: {invariance: 1}, time: {invariance: 1}, clip: {invariance: 1}}",
)
PATCHES = "groups=[backbone,space,time,clip]"
# With what divides by a small spread, float16 overflows here for some steps, which are skipped.
PLAIN = (
    "mixed_precision=float16",
    "regularizer={name: none}",
    "hierarchical.standardize_predictors=false",
    "hierarchical.target_norm=layer",
)
BFLOAT16 = "mixed_precision=bfloat16"
APART = {
    "three levels": (),
    "patches, a teacher": (PATCHES, "targets=ema", "output_batchnorm=true"),
    "causal, views, dropout, accumulated": (
        "architecture_time.causal_mask=true",
        *TWO_VIEWS,
        *DROPOUT,
        "num_iters_grad_accum=2",
    ),
    "turns": (PATCHES, "alternating_interval=30"),
    "turns, frozen and logged": ("alternating_interval=30", "explicit_freeze=true", "always_compute_loss=true"),
    "bfloat16": (*TWO_VIEWS, BFLOAT16, "down_target=stem"),
    "float16, scaled": (*PLAIN, "use_single_optimizer=true"),
    "checkpointing, dropout": (*DROPOUT, *(f"architecture_{level}.checkpointing=true" for level in ("space", "time"))),
}
SHARED = {
    f"{isolation}, {name}": (f"isolation={isolation}", *options)
    for isolation in ("overlap", "end2end")
    for name, options in {
        "patches, views": (PATCHES, *TWO_VIEWS),
        "turns, accumulated": (
            "alternating_interval=30",
            "explicit_freeze=true",
            "always_compute_loss=true",
            "num_iters_grad_accum=2",
        ),
    }.items()
}
SHARED["targets with gradient"] = ("detach_targets=false",)


def trained(tiny_config: MakeConfig, *options: str) -> tuple[Trainer, dict[str, Tensor]]:
    """A trainer after three steps, and all that its task has."""
    trainer = make_trainer(tiny_config(*options))
    assert [report.skipped for report in run(trainer, FakeLoader([4] * 6), steps=3)] == [False] * 3
    return trainer, trainer.task.state_dict()


@pytest.mark.parametrize("options", APART.values(), ids=APART)
def test_where_levels_share_no_graph_every_bit_is_the_same(tiny_config: MakeConfig, options: tuple[str, ...]) -> None:
    early, weights = trained(tiny_config, *options, "level_backward=early")
    single, expected = trained(tiny_config, *options, "level_backward=sum")
    assert not early.task.levels_share_graph
    assert (early._early, single._early) == (len(early.groups) > 1, False)
    for name, value in weights.items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("options", SHARED.values(), ids=SHARED)
def test_where_they_share_one_gradients_are_the_same(tiny_config: MakeConfig, options: tuple[str, ...]) -> None:
    found = {}
    for key in ("early", "sum"):
        trainer = make_trainer(tiny_config(*options, f"level_backward={key}"))
        run(trainer, FakeLoader([4] * 6), steps=1)
        assert trainer._early == (key == "early")
        assert trainer.task.levels_share_graph
        found[key] = {name: p.grad for name, p in trainer.task.named_parameters() if p.grad is not None}
    assert len(found["sum"]) > 20
    assert all(bool(gradient.any()) for gradient in found["sum"].values())
    assert found["early"].keys() == found["sum"].keys()
    for name, gradient in found["sum"].items():
        assert (found["early"][name] - gradient).norm() < 1e-3 * gradient.norm() + 1e-5, name


@pytest.mark.parametrize(("option", "early"), [("isolation=strict", True), ("isolation=end2end", False)])
def test_auto_is_early_where_levels_share_no_graph(tiny_config: MakeConfig, option: str, early: bool) -> None:
    assert make_trainer(tiny_config(option))._early == early
    assert make_trainer(tiny_config("task=vicreg"))._early is False


class Held:
    """A tensor that a graph keeps."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class Saved:
    """Counts the bytes that graphs keep for backward."""

    def __init__(self) -> None:
        self.now = self.peak = 0
        self._known: dict[int, int] = {}

    def pack(self, tensor: Tensor) -> Held:
        held = Held(tensor)
        storage = tensor.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        self._change(key, size, 1)
        weakref.finalize(held, self._change, key, size, -1)
        return held

    def unpack(self, held: Held) -> Tensor:
        return held.tensor

    def _change(self, key: int, size: int, by: int) -> None:
        count = self._known.get(key, 0)
        self._known[key] = count + by
        if (count, by) in ((0, 1), (1, -1)):
            self.now += by * size
            self.peak = max(self.peak, self.now)


def peak_of(tiny_config: MakeConfig, *options: str) -> int:
    """The most bytes that one step keeps for backward, at a time."""
    trainer, saved = make_trainer(tiny_config(*options)), Saved()
    with torch.autograd.graph.saved_tensors_hooks(saved.pack, saved.unpack):
        run(trainer, FakeLoader([16]), steps=1)
    assert saved.now < saved.peak / 100  # all is freed
    return saved.peak


def test_what_a_level_has_computed_is_freed_before_the_next_but_one_is_computed(tiny_config: MakeConfig) -> None:
    # `clip` has fewer tokens than `space`, and is made as large by its width.
    large = ["architecture_space={layers: 3, mlp_dim: 200}", "architecture_clip={layers: 3, mlp_dim: 3000}"]
    early, single = (peak_of(tiny_config, *large, f"level_backward={key}") for key in ("early", "sum"))
    assert early < 0.7 * single
    checkpointed = [f"architecture_{level}.checkpointing=true" for level in ("space", "time", "clip")]
    assert peak_of(tiny_config, *large, *checkpointed) < 0.5 * early


def test_blocks_that_are_computed_once_more_have_every_bit_of_their_gradients_dropout_included(
    tiny_config: MakeConfig,
) -> None:
    again = [f"architecture_{level}.checkpointing=true" for level in ("space", "time", "clip")]
    noisy = (*DROPOUT, "architecture_space.stochastic_depth=0.3", "interlevel_noise=0.1")
    _, expected = trained(tiny_config, *noisy)
    _, weights = trained(tiny_config, *noisy, *again)
    assert all(torch.equal(value, expected[name]) for name, value in weights.items())
