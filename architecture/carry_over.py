"""From one network to the next of a curriculum: every tensor of both is accounted for, or nothing is carried over.

Weights and statistics keep their values; tensors that stand for places are refitted (`architecture/layouts.py`); what
has nothing before it keeps its random init. Optimizers' states follow their parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from architecture.layouts import Grid, Layout


class CarryOverError(ValueError):
    """A tensor of the encoder cannot be carried over."""


@dataclass(frozen=True)
class Change:
    """A tensor that has become another one."""

    name: str
    old: list[int]
    """Its shape before."""
    new: list[int]
    how: str
    """Its layout, or why it begins anew."""


@dataclass
class CarryOver:
    """The account of all tensors, by name; `old_names` says where those come from that had another name."""

    carried: list[str] = field(default_factory=list)
    resampled: list[Change] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    """Tensors without a counterpart: random init."""
    reshaped: list[Change] = field(default_factory=list)
    """Tensors of another shape than before: random init."""
    left: list[str] = field(default_factory=list)
    """Tensors of the old network that the new one has no use for."""
    old_names: dict[str, str] = field(default_factory=dict)
    optimizer_carried: list[str] = field(default_factory=list)
    """Parameters whose optimizer state is carried, refitted as they are."""
    optimizer_new: list[str] = field(default_factory=list)
    """Parameters whose optimizer state begins anew."""


@dataclass(frozen=True)
class Networks:
    """What is known of two networks beside their tensors."""

    layouts: Mapping[str, Layout]
    """The layouts of the new one's tensors, by name."""
    grids: tuple[Grid, Grid]
    """Rows and columns of patches in a frame, before and now."""
    encoder: str
    """What the names of the encoder's tensors begin with."""
    copies: Mapping[str, str] = field(default_factory=dict)
    """What names of a copy begin with (a teacher's), and those of what it begins as where it had none before."""

    def source(self, name: str, old: Mapping[str, Tensor]) -> str | None:
        """The name of what tensor `name` comes from; None where there is nothing."""
        if name in old:
            return name
        for copy, original in self.copies.items():
            if name.startswith(copy) and (found := original + name.removeprefix(copy)) in old:
                return found
        return None


def plan_carry_over(old: Mapping[str, Tensor], new: Mapping[str, Tensor], networks: Networks) -> CarryOver:
    """Accounts for every tensor by its name and shape; their values do not matter.

    Raises:
        CarryOverError: a tensor of the encoder has no place in the new network, or another shape there.
    """
    plan = account_of(old, new, networks)
    for change in plan.reshaped:
        if change.name.startswith(networks.encoder):
            raise CarryOverError(
                f"{change.name} is {change.new} and was {change.old}: "
                "widths, heads and layers of a trained encoder stay"
            )
    lost = [name for name in plan.left if name.startswith(networks.encoder)]
    if lost:
        raise CarryOverError(
            f"{lost[0]} has no place any more: levels, layers, stem and positions of a trained encoder stay"
        )
    return plan


def account_of(old: Mapping[str, Tensor], new: Mapping[str, Tensor], networks: Networks) -> CarryOver:
    """What would become of every tensor, whether or not that may be; arguments as for `plan_carry_over`."""
    plan = CarryOver()
    for name, target in new.items():
        source = networks.source(name, old)
        if source is None:
            plan.new.append(name)
            continue
        plan.old_names[name] = source
        layout, before = networks.layouts.get(name), old[source]
        shapes = list(before.shape), list(target.shape)
        if layout is not None and layout.differs(before, target, networks.grids) and layout.fits(before, target):
            plan.resampled.append(Change(name, *shapes, layout.kind))
        elif before.shape == target.shape:
            plan.carried.append(name)
        else:
            plan.reshaped.append(Change(name, *shapes, "begins anew"))
    used = set(plan.old_names.values())
    plan.left = [name for name in old if name not in used]
    return plan


def carried_tensors(
    plan: CarryOver, old: Mapping[str, Tensor], new: Mapping[str, Tensor], networks: Networks
) -> dict[str, Tensor]:
    """The tensors of the new network: all of them, of the shapes of `new`."""
    refitted = {change.name for change in plan.resampled}
    tensors = dict(new)
    for name in [*plan.carried, *refitted]:
        before = old[plan.old_names[name]]
        target = new[name].cpu()
        tensors[name] = networks.layouts[name].refit(before, target, networks.grids) if name in refitted else before
    return tensors


def carried_moments(
    plan: CarryOver,
    old: Mapping[str, Mapping[str, Any]],
    new: Mapping[str, Tensor],
    networks: Networks,
) -> dict[str, dict[str, Any]]:
    """Optimizers' states by the name of the parameter; notes in `plan` whose are carried and whose begin anew.

    Args:
        plan: of the networks' tensors.
        old: by the name of the parameter: torch's state of it. What has the parameter's shape follows it, numbers
            that count steps stay.
        new: the parameters of the new network by name.
        networks: see `Networks`.
    """
    refitted = {change.name for change in plan.resampled}
    follows = refitted | set(plan.carried)
    states: dict[str, dict[str, Any]] = {}
    for name, parameter in new.items():
        if not old.get(name) or name not in follows:
            plan.optimizer_new.append(name)
            continue
        plan.optimizer_carried.append(name)
        states[name] = {}
        for key, value in old[name].items():
            if name in refitted and isinstance(value, Tensor) and value.ndim > 0:
                blank = torch.empty(parameter.shape, dtype=value.dtype)
                value = networks.layouts[name].refit_moments(value, blank, networks.grids)
            states[name][key] = value
    return states
