"""Errors of the machine that computes, by what they mean: its memory is full, or the GPU has failed."""

from __future__ import annotations

import torch

# What allocators say who raise a plain RuntimeError: torch's on the CPU, OpenCV's, cuBLAS's.
_FULL = ("can't allocate memory", "not enough memory", "Insufficient memory", "CUBLAS_STATUS_ALLOC_FAILED")
# What errors of a GPU that has gone, or whose driver has given it up, begin with.
_FAILED = ("CUDA error", "CUDA driver error", "cuDNN error", "CUBLAS_STATUS", "cuDNN Frontend error")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was asked for that there is not, on the device or beside it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _FULL)


def failure_of_the_gpu(error: BaseException) -> str | None:
    """What a GPU that computes no more has said, in one line; None where the error is another one."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return None
    text = str(error).strip()
    if isinstance(error, torch.AcceleratorError) or text.startswith(_FAILED):
        return text.partition("\n")[0] or type(error).__name__
    return None
