"""Two runs of one config on one GPU end in other weights: sums there are added in whatever order threads come.

`deterministic: true` asks torch for operations that have one order. On the CPU all that training uses has one already,
for a given number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_ENOUGH = (":4096:8", ":16:8")  # with which cuBLAS has one order, by its manual
_COMPLAINT = " does not have a deterministic implementation"  # of torch


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Inside, torch computes the same bits each time, or raises RuntimeError; afterwards all is as it was.

    To be entered before the first computation on a GPU, where cuBLAS reads its environment variable.

    Args:
        wanted: False changes nothing.
    """
    if not wanted:
        yield
        return
    cudnn, variable = torch.backends.cudnn, os.environ.get(_CUBLAS)
    before = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    if variable not in _ENOUGH:
        os.environ[_CUBLAS] = _ENOUGH[0]
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False  # benchmark: the fastest kernel may be another one next time
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.deterministic, cudnn.benchmark = before[1:]
        if variable is None:
            del os.environ[_CUBLAS]
        else:
            os.environ[_CUBLAS] = variable


def without_deterministic_form(error: BaseException) -> str | None:
    """The name of the operation that `deterministic` has refused; None where the error is another one."""
    if not isinstance(error, RuntimeError) or _COMPLAINT not in str(error):
        return None
    return str(error).partition(_COMPLAINT)[0].split()[-1]
