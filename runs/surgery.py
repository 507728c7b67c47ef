"""Weights under other names: what is left out of a file, and what its tensors are called in the network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from architecture.tubelets import to_tubelets
from config.errors import InputError
from config.surgery import CheckpointRule

_NAMED = 3


def operated(
    weights: Mapping[str, Tensor], rules: Sequence[CheckpointRule], path: Path, key: str
) -> tuple[dict[str, Tensor], list[str]]:
    """The weights after all rules, one after another, and what each rule has found.

    Args:
        weights: by name.
        rules: those of `inside` are done already.
        path: where the weights come from, for messages.
        key: what asked for them, for messages.

    Returns:
        The weights by their new names, and a line for each rule.

    Raises:
        InputError: a rule matches no tensor, or gives two tensors one name, or flattens what is no convolution, or
            nothing is left.
    """
    left, report = dict(weights), []
    for rule in rules:
        if rule.inside is not None:
            continue
        renamed = _renamed(rule, left)
        if rule.flatten is not None:
            matched = [name for name in left if _pattern(rule.flatten).fullmatch(name)]
        else:
            matched = [name for name in left if (renamed[name] == name) == (rule.keep is not None)]
        if not matched:
            raise InputError(
                f"{key}_rules: {rule}: no tensor of {path} matches; it has {_named(list(left))}; correct the pattern"
            )
        flattened = matched if rule.flatten is not None else []
        new: dict[str, Tensor] = {}
        for name, tensor in left.items():
            target = renamed[name]
            if target in new:
                raise InputError(f"{key}_rules: {rule}: two tensors of {path} would be called {target}; rename one")
            if target is not None:
                new[target] = _flattened(name, tensor, rule, f"{key}_rules") if name in flattened else tensor
        report.append(f"{rule}: {len(matched)} of {len(left)} tensors, {_named(matched)}")
        left = new
    if not left:
        raise InputError(f"{key}_rules: nothing is left of {path}; take a rule out")
    return left, report


def _renamed(rule: CheckpointRule, names: Mapping[str, Tensor]) -> dict[str, str | None]:
    """The new name of each tensor; None: it is left out."""
    if rule.flatten is not None:
        return {name: name for name in names}
    if rule.prepend is not None:
        return {name: f"{rule.prepend}{name}" for name in names}
    if rule.drop is not None:
        pattern = _pattern(rule.drop)
        return {name: None if pattern.fullmatch(name) else name for name in names}
    if rule.keep is not None:
        pattern = _pattern(rule.keep)
        return {name: name if pattern.fullmatch(name) else None for name in names}
    pattern, to = _pattern(rule.rename), str(rule.to)
    found: dict[str, str | None] = {}
    for name in names:
        match = pattern.fullmatch(name)
        parts = iter(match.groups()) if match else iter(())
        found[name] = re.sub(r"\*", lambda _, parts=parts: str(next(parts)), to) if match else name  # type: ignore[misc]
    return found


def _flattened(name: str, kernel: Tensor, rule: CheckpointRule, key: str) -> Tensor:
    """The weights [D, numbers of a tubelet] of the linear layer that does what a convolution of that stride does."""
    if kernel.ndim not in (4, 5) or kernel.shape[-1] != kernel.shape[-2]:
        raise InputError(
            f"{key}: {rule}: {name} has the shape {list(kernel.shape)}, which is no kernel [D, C, T, H, W] or "
            "[D, C, H, W] of square patches; correct the pattern"
        )
    kernel_DCTHW = kernel if kernel.ndim == 5 else kernel[:, :, None]
    tubelet, side = kernel_DCTHW.shape[2], kernel_DCTHW.shape[-1]
    # Cut as the windows are: each kernel is one tubelet.
    return to_tubelets(kernel_DCTHW.transpose(1, 2), tubelet, side)[:, 0].clone()


def _pattern(text: str | None) -> re.Pattern[str]:
    """A pattern of a rule; every `*` is a group, which takes as much as it can."""
    return re.compile("(.*)".join(map(re.escape, str(text).split("*"))))


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
