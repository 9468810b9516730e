"""Looking into a model between its blocks, while it runs."""

from __future__ import annotations

from torch import Tensor

from mmfas.models.specs import Block


class Watch:
    """What sees, and may exchange, what goes into each block of the trunk; this one changes nothing."""

    def enter(self, index: int, block: Block, streams: Tensor) -> tuple[Block, Tensor]:
        """Return what the neck is given for a block.

        Args:
            index: Number of the block, from 0.
            block: View of the block.
            streams: Streams that enter it (M, B, *feat), or what the neck made of them.

        Returns:
            View and streams to use instead.
        """
        return block, streams

    def leave(self, streams: Tensor) -> Tensor:
        """Return what the neck fuses.

        Args:
            streams: Streams after the last block (M, B, *feat).

        Returns:
            Streams to use instead.
        """
        return streams
