"""From block to block: the neck decides, something may watch, and memory can be saved."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from mmfas.models.fas.watch import Watch
from mmfas.models.necks.base import BaseFusionNeck, State
from mmfas.models.specs import Block
from mmfas.utils.errors import InputError


def run_blocks(
    neck: BaseFusionNeck,
    blocks: Sequence[Block],
    begun: tuple[Tensor, State],
    *,
    watch: Watch | None,
    recompute: bool,
) -> tuple[Tensor, State]:
    """Run the blocks of a trunk in the hands of a neck.

    Args:
        neck: The neck.
        blocks: Views of the blocks.
        begun: Streams (M, B, *feat) and state that `neck.begin` returned.
        watch: Sees the streams between the blocks.
        recompute: Keep only what goes from block to block, and compute the inside of a block again in every
            backward pass (gradient checkpointing). Random draws are those of the first time.

    Returns:
        Streams and state after the last block.
    """
    streams, state = begun
    for index, block in enumerate(blocks):
        if watch is not None:
            block, streams = watch.enter(index, block, streams)
        if recompute and torch.is_grad_enabled():
            streams, state = checkpoint(neck.block, index, block, streams, state, use_reentrant=False)
        else:
            streams, state = neck.block(index, block, streams, state)
    return (streams if watch is None else watch.leave(streams)), state


def require_recomputable(*parts: nn.Module) -> bool:
    """Refuse parts whose blocks must not run twice.

    Args:
        *parts: Trunk and neck.

    Returns:
        True.

    Raises:
        ValueError: If one has batch norm, whose statistics would take every batch in twice.
    """
    for part in parts:
        if any(isinstance(module, _BatchNorm) for module in part.modules()):
            raise InputError(
                f'recompute=True runs every block twice, but {type(part).__name__} has batch norm, whose '
                'statistics would take every batch in twice; leave it out'
            )
    return True
