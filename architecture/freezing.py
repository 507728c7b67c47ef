"""Parameters without gradient for a while, and the modules that are made of some parameters alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Inside, `parameters` require no gradient; afterwards those that did before do again."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def modules_of(task: nn.Module, parameters: Iterable[nn.Parameter]) -> list[nn.Module]:
    """The modules of `task` all of whose parameters are among these, those without any left out."""
    known = {id(parameter) for parameter in parameters}
    found = []
    for module in task.modules():
        own = [id(parameter) in known for parameter in module.parameters()]
        if own and all(own):
            found.append(module)
    return found
