"""A grid of attentive classifiers is what torch's attention gives, trains each entry alone, and can use order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from protocols.probes.attentive_grid import AttentiveGrid, Form
from protocols.probes.entries import Entry, grid
from protocols.probes.targets import Targets
from schedules import half_cosine
from tests.protocols.clouds import label_set, rng
from tests.protocols.probes.samples import CPU, multi_set

ENTRIES = grid([0.003, 0.03], [0.0, 0.5])
FORM = Form(units=3, dim=8, heads=2, queries=2, mlp_ratio=1.5, dropout=0.0)


def inputs(
    batch: int = 6, parts: int = 2, form: Form = FORM, per_unit: int = 2, seed: int = 0
) -> tuple[Tensor, Tensor]:
    tokens = rng(seed).normal(size=(batch, form.units * per_unit, form.dim)).astype(np.float32)
    share = torch.ones(batch, parts, form.units)
    if parts == 2:
        share[:, 0] = torch.tensor([1.0, 0.5, 0.0])
        share[:, 1] = torch.tensor([0.0, 0.5, 1.0])
    return torch.from_numpy(tokens), share


def shaken(learner: AttentiveGrid, seed: int = 0) -> AttentiveGrid:
    """With parameters all of which matter, another set for each entry."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in learner.parameters.values():
            values.copy_(0.5 * torch.randn(values.shape, generator=generator))
    return learner


def directly(learner: AttentiveGrid, number: int, tokens_BND: Tensor, share_BKU: Tensor) -> Tensor:
    """[B, K, S] by torch's own attention, with every key and value computed."""
    form, p = learner.form, {name: values[number] for name, values in learner.parameters.items()}
    per_unit = tokens_BND.shape[1] // form.units
    seen = F.layer_norm(tokens_BND, (form.dim,)) + p["position"].repeat_interleave(per_unit, dim=0)
    keys = torch.einsum("bnd,hde->bhne", seen, p["key"])
    values = torch.einsum("bnd,hde->bhne", seen, p["value"])
    found = []
    for part in range(share_BKU.shape[1]):
        mask = share_BKU[:, part].repeat_interleave(per_unit, dim=1).log()[:, None, None]
        query = p["query"].transpose(0, 1).expand(len(seen), -1, -1, -1)
        heads = F.scaled_dot_product_attention(
            query, keys, values, attn_mask=mask.expand(-1, form.heads, form.queries, -1)
        )
        pooled = heads.transpose(1, 2).flatten(2) @ p["out"] + p["out_bias"]
        normed = F.layer_norm(pooled, (form.dim,), p["norm"], p["norm_bias"])
        pooled = pooled + F.gelu(normed @ p["expand"] + p["expand_bias"]) @ p["contract"] + p["contract_bias"]
        found.append(pooled.flatten(1) @ p["head"][part] + p["head_bias"][part])
    return torch.stack(found, dim=1)


def test_it_is_multi_head_attention_over_the_tokens_of_each_part() -> None:
    targets = Targets(label_set(rng().integers(4, size=(30, 2))), CPU)
    learner = shaken(AttentiveGrid(targets, ENTRIES, FORM, seed=0))
    tokens_BND, share_BKU = inputs()
    logits_GBKS = learner.logits((tokens_BND, share_BKU))
    for number in range(len(ENTRIES)):
        expected = directly(learner, number, tokens_BND, share_BKU)
        torch.testing.assert_close(logits_GBKS[number], expected, rtol=1e-4, atol=1e-4)
    outside = tokens_BND.clone()
    outside[:, 4:] += 9.0  # of the unit that is not in the first part
    changed = learner.logits((outside, share_BKU))
    torch.testing.assert_close(changed[:, :, 0], logits_GBKS[:, :, 0])
    assert not torch.allclose(changed[:, :, 1], logits_GBKS[:, :, 1])


def test_a_part_that_a_view_does_not_show_gives_numbers_all_the_same() -> None:
    targets = Targets(label_set(rng().integers(4, size=(30, 2))), CPU)
    learner = AttentiveGrid(targets, ENTRIES, FORM, seed=0)
    tokens_BND, share_BKU = inputs()
    share_BKU[:, 1] = 0
    assert learner.logits((tokens_BND, share_BKU)).isfinite().all()
    learner.step((tokens_BND, share_BKU), targets.of(np.arange(6)), torch.tensor([[1.0, 0.0]] * 6), progress=0.3)
    assert all(values.isfinite().all() for values in learner.parameters.values())


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("several", [True, False])
def test_every_entry_is_trained_as_if_it_were_alone(several: bool, dropout: float) -> None:
    labels = multi_set(rng().random((30, 5)) < 0.4) if several else label_set(rng().integers(4, size=(30, 2)))
    targets, form = Targets(labels, CPU), FORM._replace(dropout=dropout)

    def trained(entries: list[Entry]) -> AttentiveGrid:
        learner = AttentiveGrid(targets, entries, form, seed=3)
        for number in range(8):
            video_B = rng(number).integers(30, size=6)
            weight_BK = torch.ones(6, targets.parts)
            learner.step(inputs(6, targets.parts, seed=number), targets.of(video_B), weight_BK, progress=number / 8)
        return learner

    together = trained(ENTRIES)
    for number, entry in enumerate(ENTRIES):
        alone, chosen = trained([entry]), together.only(number)
        for name, values in alone.parameters.items():
            torch.testing.assert_close(values, chosen.parameters[name], rtol=1e-3, atol=1e-5, msg=name)
    assert not torch.allclose(together.parameters["head"][0], together.parameters["head"][2])


def test_steps_are_those_of_torchs_adamw_and_spare_what_is_not_a_weight() -> None:
    entry, targets = Entry(0.01, 0.5), Targets(label_set(rng().integers(4, size=(30, 2))), CPU)
    ours, theirs = (shaken(AttentiveGrid(targets, [entry], FORM, seed=0), seed=1) for _ in range(2))
    weights = {"key", "value", "out", "expand", "contract", "head"}
    groups = [
        {"params": [values for name, values in theirs.parameters.items() if (name in weights) == decayed]}
        | {"weight_decay": 0.5 if decayed else 0.0}
        for decayed in (True, False)
    ]
    optimizer = torch.optim.AdamW(groups, lr=entry.lr)
    for number in range(5):
        target_BKS, weight_BK, progress = targets.of(np.arange(6)), torch.ones(6, 2), number / 5
        ours.step(inputs(seed=number), target_BKS, weight_BK, progress)
        for group in optimizer.param_groups:
            group["lr"] = entry.lr * min(1.0, progress / 0.1) * half_cosine(1.0, 0.0, progress)
        optimizer.zero_grad()
        targets.losses(theirs.logits(inputs(seed=number)), target_BKS, weight_BK).sum().backward()
        optimizer.step()
    for name, values in ours.parameters.items():
        torch.testing.assert_close(values, theirs.parameters[name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("mlp_ratio", [0.0, 2.0])
def test_the_order_of_units_can_be_used(mlp_ratio: float) -> None:
    """The same units in both classes, in one order or in the other."""
    targets = Targets(label_set(np.arange(60)[:, None] % 2), CPU)
    one, other = rng(1).normal(size=(2, 8))
    order = np.where(np.arange(60)[:, None, None] % 2, np.stack([one, other]), np.stack([other, one]))
    tokens_BND = torch.from_numpy((order + 0.1 * rng(2).normal(size=order.shape)).astype(np.float32))
    share_BKU, everything = torch.ones(60, 1, 2), np.arange(60)
    learner = AttentiveGrid(targets, [Entry(0.01, 0.0)], Form(2, 8, 2, 1, mlp_ratio, 0.0), seed=0)
    for number in range(60):
        learner.step((tokens_BND, share_BKU), targets.of(everything), torch.ones(60, 1), progress=number / 60)
    named = learner.logits((tokens_BND, share_BKU))[0, :, 0].argmax(dim=1).numpy()
    np.testing.assert_array_equal(named, everything % 2)
    with torch.no_grad():
        learner.parameters["position"].zero_()  # without it both orders are the same set
    blind = learner.logits((tokens_BND.flip(1), share_BKU))
    torch.testing.assert_close(blind, learner.logits((tokens_BND, share_BKU)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("heads", [1, 3, 8, 16])
def test_any_number_of_heads_fits_any_width(heads: int) -> None:
    targets = Targets(label_set(rng().integers(4, size=(30, 1))), CPU)
    form = FORM._replace(heads=heads, mlp_ratio=0.0)
    learner = AttentiveGrid(targets, ENTRIES, form, seed=0)
    assert learner.logits(inputs(parts=1, form=form)).shape == (4, 6, 1, 4)
    parameters = sum(values[0].numel() for values in learner.parameters.values())
    assert form.bytes(targets, 6, 6) > 4 * 4 * parameters


def test_the_first_weights_are_a_function_of_the_seed() -> None:
    targets = Targets(label_set(rng().integers(4, size=(30, 1))), CPU)
    one, same, other = (AttentiveGrid(targets, ENTRIES, FORM, seed).parameters["value"] for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert all(torch.equal(one[0], values) for values in one)
