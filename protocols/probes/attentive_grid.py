"""Attentive classifiers on the same tokens, one for each entry of a grid, trained at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protocols.probes.entries import Entry
from protocols.probes.probe import Inputs
from protocols.probes.targets import Targets
from runs.process.seeds import torch_generator
from schedules import half_cosine

WARMUP = 0.1
"""Share of the training over which learning rates rise."""
_STD = 0.02  # of weights before training
_INIT, _DROPOUT = 8, 9  # keep these streams of numbers apart from others with the same seed
_MATRICES = ("key", "value", "out", "expand", "contract")


class Form(NamedTuple):
    """The form of an attentive classifier."""

    units: int
    """U, whose order it learns."""
    dim: int
    """D of a token."""
    heads: int
    queries: int
    mlp_ratio: float
    dropout: float

    @property
    def head_dim(self) -> int:
        """Width of a head; rounded up, so that any number of heads fits any width."""
        return -(-self.dim // self.heads)

    @property
    def hidden(self) -> int:
        """Width inside the MLP; 0: there is none."""
        return round(self.mlp_ratio * self.dim)

    def shapes(self, targets: Targets) -> dict[str, tuple[int, ...]]:
        """The parameters of one classifier by name."""
        dim, inner, pooled = self.dim, self.heads * self.head_dim, self.queries * self.dim
        shapes: dict[str, tuple[int, ...]] = {
            "position": (self.units, dim),
            "query": (self.queries, self.heads, self.head_dim),
            "key": (self.heads, dim, self.head_dim),
            "value": (self.heads, dim, self.head_dim),
            "out": (inner, dim),
            "out_bias": (dim,),
        }
        if self.hidden:
            shapes |= {
                "norm": (dim,),
                "norm_bias": (dim,),
                "expand": (dim, self.hidden),
                "expand_bias": (self.hidden,),
                "contract": (self.hidden, dim),
                "contract_bias": (dim,),
            }
        head = targets.parts, pooled, targets.outputs
        return shapes | {"head": head, "head_bias": (targets.parts, targets.outputs)}

    def bytes(self, targets: Targets, batch_size: int, tokens: int) -> int:
        """What training one classifier takes: parameters, gradient and two moments; attention and MLP of a batch."""
        parameters = sum(math.prod(shape) for shape in self.shapes(targets).values())
        rows = batch_size * targets.parts * self.queries
        of_batch = rows * (4 * self.heads * (tokens + self.dim) + 4 * self.hidden + 8 * self.dim)
        return 4 * (4 * parameters + of_batch + 3 * batch_size * targets.parts * targets.outputs)


class AttentiveGrid:
    """G attentive classifiers of N tokens, each of them trained by AdamW with its own learning rate and weight decay.

    As frozen video models are judged (V-JEPA, Bardes et al., 2024, arXiv 2404.08471; before it for pictures CAE,
    2202.03026, and CoCa, 2205.01917): learned queries look at the tokens by multi-head cross-attention, an MLP with a
    residual connection follows, and a linear classifier. Tokens are normalised each (LayerNorm), and get the learned
    position of their unit, so that the classifier knows the order of frames and clips.

    A query is the same for all videos. That makes two products cheap, without changing the result: its product with the
    keys' weights comes first, so that a token meets one vector per head instead of a matrix, and values are projected
    after tokens are averaged. Tokens are read once for all G classifiers.

    Args:
        targets: what is learned.
        entries: learning rates and weight decays.
        form: of every classifier.
        seed: of the first weights, the same for every entry, and of dropout.
    """

    def __init__(self, targets: Targets, entries: Sequence[Entry], form: Form, seed: int) -> None:
        self.targets, self.entries, self.form, self._seed = targets, list(entries), form, seed
        self.parameters = {
            name: self._first(number, name, shape) for number, (name, shape) in enumerate(form.shapes(targets).items())
        }
        # The optimizer knows nothing of grids: it gets the parameters of each entry, parts of the same memory.
        self._of_entries = [
            {name: values.detach()[number] for name, values in self.parameters.items()}
            for number in range(len(self.entries))
        ]
        self._optimizer = self._make_optimizer()
        self._steps = 0

    def logits(self, inputs: Inputs) -> Tensor:
        """[G, B, K, S], without dropout.

        Args:
            inputs: tokens [B, N, D]; and the share [B, K, U] of each unit in each part of the video.
        """
        return self._logits(inputs, None)

    def step(self, inputs: Inputs, target_BKS: Tensor, weight_BK: Tensor, progress: float) -> None:
        """One step of all entries.

        Args:
            inputs: see `logits`.
            target_BKS: in [0, 1].
            weight_BK: of each sample and part in the mean over the batch.
            progress: of the training, from 0 to 1.
        """
        dropout = torch_generator(self._seed, self._steps, _DROPOUT) if self.form.dropout else None
        self._steps += 1
        with torch.enable_grad():
            # Each loss has parameters of its own: the gradient of the sum is that of each.
            loss = self.targets.losses(self._logits(inputs, dropout), target_BKS, weight_BK).sum()
            gradients = torch.autograd.grad(loss, list(self.parameters.values()))
        factor = min(1.0, progress / WARMUP) * half_cosine(1.0, 0.0, progress)
        for group in self._optimizer.param_groups:
            group["lr"] = factor * group["highest_lr"]
        by_name = dict(zip(self.parameters, gradients, strict=True))
        for number, of_entry in enumerate(self._of_entries):
            for name, values in of_entry.items():
                values.grad = by_name[name][number]
        self._optimizer.step()

    def only(self, number: int) -> AttentiveGrid:
        """The classifier of one entry."""
        one = AttentiveGrid(self.targets, self.entries[number : number + 1], self.form, self._seed)
        with torch.no_grad():
            for name, values in one.parameters.items():
                values.copy_(self.parameters[name][number : number + 1])
        return one

    def _first(self, number: int, name: str, shape: tuple[int, ...]) -> Tensor:
        """A parameter before training, [G, *shape], the same for every entry."""
        values = torch.zeros(shape)
        if name == "norm":
            values.fill_(1.0)
        elif name in ("position", "query", *_MATRICES):
            std = shape[-2] ** -0.5 if name in _MATRICES else _STD
            nn.init.trunc_normal_(
                values, std=std, a=-2 * std, b=2 * std, generator=torch_generator(self._seed, number, _INIT)
            )
        return values.to(self.targets.device).repeat(len(self.entries), *[1] * len(shape)).requires_grad_()

    def _make_optimizer(self) -> torch.optim.AdamW:
        groups = []
        for entry, of_entry in zip(self.entries, self._of_entries, strict=True):
            for penalised in (True, False):
                values = [value for name, value in of_entry.items() if (name in (*_MATRICES, "head")) == penalised]
                decay = entry.weight_decay if penalised else 0.0
                groups.append({"params": values, "weight_decay": decay, "highest_lr": entry.lr})
        return torch.optim.AdamW(groups, lr=0.0)

    def _logits(self, inputs: Inputs, dropout: torch.Generator | None) -> Tensor:
        tokens_BND, share_BKU = inputs
        pooled_BKGQD = self._attend(F.layer_norm(tokens_BND, tokens_BND.shape[-1:]), share_BKU)
        if self.form.hidden:
            pooled_BKGQD = pooled_BKGQD + self._mlp(pooled_BKGQD)
        flat_BKGP = pooled_BKGQD.flatten(3)
        if dropout is not None:  # the same for every entry, so that it does not matter how many there are
            batch, parts, _, width = flat_BKGP.shape
            kept = torch.rand(batch, parts, 1, width, generator=dropout) >= self.form.dropout
            flat_BKGP = flat_BKGP * (kept.to(flat_BKGP.device) / (1 - self.form.dropout))
        logits_GBKS = torch.einsum("bkgp,gkps->gbks", flat_BKGP, self.parameters["head"])
        return logits_GBKS + self.parameters["head_bias"][:, None]

    def _attend(self, tokens_BND: Tensor, share_BKU: Tensor) -> Tensor:
        """What each query finds in the tokens of each part: [B, K, G, Q, D]."""
        position_GUD, key_GHDE = self.parameters["position"], self.parameters["key"]
        units, per_unit = self.form.units, tokens_BND.shape[1] // self.form.units
        query_GQHD = torch.einsum("gqhe,ghde->gqhd", self.parameters["query"], key_GHDE) / self.form.head_dim**0.5
        seen_BNJ = tokens_BND @ query_GQHD.flatten(0, 2).T
        score_BGQHN = seen_BNJ.transpose(1, 2).unflatten(1, query_GQHD.shape[:3])
        of_unit_GQHU = torch.einsum("gqhd,gud->gqhu", query_GQHD, position_GUD)
        score_BGQHN = score_BGQHN + of_unit_GQHU.repeat_interleave(per_unit, dim=-1)
        attention_BKGQHN = (score_BGQHN[:, None] + _mask(share_BKU, per_unit)).softmax(dim=-1)
        found = (attention_BKGQHN.flatten(1, 4) @ tokens_BND).unflatten(1, attention_BKGQHN.shape[1:5])
        of_units_BKGQHU = attention_BKGQHN.unflatten(-1, (units, per_unit)).sum(dim=-1)
        found = found + torch.einsum("bkgqhu,gud->bkgqhd", of_units_BKGQHU, position_GUD)
        values = torch.einsum("bkgqhd,ghde->bkgqhe", found, self.parameters["value"]).flatten(4)
        return torch.einsum("bkgqi,gid->bkgqd", values, self.parameters["out"]) + self._for_queries("out_bias")

    def _mlp(self, pooled_BKGQD: Tensor) -> Tensor:
        normed = F.layer_norm(pooled_BKGQD, pooled_BKGQD.shape[-1:])
        normed = normed * self._for_queries("norm") + self._for_queries("norm_bias")
        hidden = torch.einsum("bkgqd,gdm->bkgqm", normed, self.parameters["expand"])
        hidden = F.gelu(hidden + self._for_queries("expand_bias"))
        return torch.einsum("bkgqm,gmd->bkgqd", hidden, self.parameters["contract"]) + self._for_queries(
            "contract_bias"
        )

    def _for_queries(self, name: str) -> Tensor:
        """A vector of each entry, for [B, K, G, Q, D]."""
        return self.parameters[name][:, None]


def _mask(share_BKU: Tensor, per_unit: int) -> Tensor:
    """[B, K, 1, 1, 1, N] added to scores: a unit that is half in a part counts half for it, one outside does not."""
    nowhere_BK1 = share_BKU.sum(dim=2, keepdim=True) == 0  # what the view says of that part is not used
    log_BKU = torch.where(nowhere_BK1, 1.0, share_BKU).log()
    return log_BKU.repeat_interleave(per_unit, dim=2)[:, :, None, None, None]
