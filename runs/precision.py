"""The number format that a run computes in."""

from __future__ import annotations

import torch

from config.schema import Config


def set_tf32(config: Config) -> None:
    """Has products of float32 matrices and float32 convolutions computed as `tf32` says; for a GPU alone."""
    torch.backends.cuda.matmul.allow_tf32 = config.tf32
    torch.backends.cudnn.allow_tf32 = config.tf32


def autocast_dtype(config: Config, device: torch.device) -> torch.dtype | None:
    """The dtype that `mixed_precision` computes in on `device`; None: float32."""
    if not config.use_mixed_precision:
        return None
    if config.mixed_precision == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else None
    return torch.bfloat16 if config.mixed_precision == "bfloat16" else torch.float16
