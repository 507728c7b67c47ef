"""Whether `compile: true` can work here, and what it compiles."""

from __future__ import annotations

import logging
import os
import shutil

import torch
from torch import nn

from architecture.compiling import compile_blocks
from config.errors import InputError

logger = logging.getLogger(__name__)
_COMPILERS = ("g++", "clang++", "c++")


def compile_task(task: nn.Module, device: torch.device) -> None:
    """Has the blocks of a task compiled when they are first used.

    Raises:
        InputError: on a CPU, there is no C++ compiler, or the task has no blocks of ours.
    """
    wanted = (os.environ["CXX"],) if "CXX" in os.environ else _COMPILERS
    if device.type == "cpu" and not any(map(shutil.which, wanted)):
        raise InputError(
            f"compile: on a CPU it needs a C++ compiler, and there is no {' or '.join(wanted)} on the PATH; install "
            "one, or set compile=false"
        )
    count = compile_blocks(task)
    if not count:
        raise InputError("compile: there are no transformer blocks to compile; set compile=false")
    logger.info("compile: %d blocks are compiled when they are first used, which takes a minute or more", count)
