"""Compiling the blocks of a network, one by one: the same code serves all blocks of a level, and their names stay."""

from __future__ import annotations

from torch import nn

from architecture.blocks import Block


def compile_blocks(network: nn.Module, backend: str = "inductor") -> int:
    """Has every transformer block of a network compiled when it is first used.

    Block by block rather than as a whole ("regional compilation"): blocks of one level share what is compiled, which
    takes a fraction of the time; and what stands between levels stays as it is, so that isolation needs no proof anew.

    Args:
        network: changed in place; its state_dict stays.
        backend: of `torch.compile`.

    Returns:
        The number of blocks.
    """
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    for block in blocks:
        block.compile(backend=backend)
    return len(blocks)
