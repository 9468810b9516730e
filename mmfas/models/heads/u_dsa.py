"""U-DSA: image feature and text anchors adapted side by side, down and up a U of shared blocks.

Legend: B batch, K anchors, C width, A heads, d levels, S = 2 d + 1 states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.layers.experts import ExpertMixture
from mmfas.utils.errors import InputError

UP_PATHS = ('chained', 'parallel')


class States(NamedTuple):
    """What image and anchors are at each state of the U: v_0 .. v_d, then v'_(d-1) .. v'_0.

    Args:
        image: States of the image (S, B, C); the last one is v'_0.
        anchors: Anchors that belong to each (S, K, C): those of the level on the way down.
        router_loss: Sum of the router losses of all blocks, scalar.
    """

    image: Tensor
    anchors: Tensor
    router_loss: Tensor


class SharedBlock(nn.Module):
    """One block for both spaces: `x1 = x + attention(norm1 x)`, `F(x) = x1 + experts(norm2 x1)`.

    Anchors attend to the anchors of their class. An image has one token, which can only attend to itself: then
    attention is its two linear maps, exactly; with `across_batch`, images attend to each other as released.

    Args:
        dims: Width C.
        num_heads: Number A of heads; divides C.
        across_batch: Let the images of a batch attend to each other.
        doubled_skip: Add the input once more, `F(x) = x + x1 + experts(norm2 x1)`, as released.
        experts: Arguments of `ExpertMixture`.
    """

    def __init__(
        self,
        dims: int,
        *,
        num_heads: int,
        across_batch: bool = False,
        doubled_skip: bool = False,
        experts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.across_batch = across_batch
        self.doubled_skip = doubled_skip
        self.norm1, self.norm2 = nn.LayerNorm(dims), nn.LayerNorm(dims)
        self.qkv = nn.Linear(dims, 3 * dims)
        self.project = nn.Linear(dims, dims)
        nn.init.xavier_uniform_(self.qkv.weight)  # the start of nn.MultiheadAttention
        for layer in (self.qkv, self.project):
            nn.init.zeros_(layer.bias)
        self.experts = ExpertMixture(dims, **(experts or {}))

    def forward(
        self, image: Tensor, anchors: Tensor | None = None, num_anchors: Sequence[int] = ()
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run the block on both spaces at once.

        Args:
            image: Features (B, C).
            anchors: Anchors (K, C), class by class, or None to leave them out.
            num_anchors: Number of anchors of each class, in sum K.

        Returns:
            Features (B, C), anchors (K, C), router loss (scalar, zero at test).
        """
        rows = image if anchors is None else torch.cat([image, anchors])
        sizes = [image.shape[0], *num_anchors]
        x1 = rows + self.project(self._attend(self.norm1(rows), sizes))
        mixed = self.experts(self.norm2(x1))
        out = x1 + mixed.out
        if self.doubled_skip:
            out = out + rows
        loss = out.new_zeros(())
        if self.training:
            # one token each: the images, and the anchors of each class, are batches of their own
            losses = [self.experts.router_loss(part[:, None]) for part in mixed.logits.split(sizes)]
            loss = torch.stack(losses).sum()
        return out[: sizes[0]], out[sizes[0] :], loss

    def _attend(self, x: Tensor, sizes: Sequence[int]) -> Tensor:
        """Let the rows (N, C) of every set but the first attend to their set: (N, C)."""
        if self.across_batch:
            return torch.cat([self._attend_set(part) for part in self.qkv(x).split(sizes)])
        image, anchors = x.split([sizes[0], sum(sizes[1:])])
        weight, bias = (value.chunk(3)[2] for value in (self.qkv.weight, self.qkv.bias))
        attended = [functional.linear(image, weight, bias)]
        if len(anchors):
            attended += [self._attend_set(part) for part in self.qkv(anchors).split(sizes[1:])]
        return torch.cat(attended)

    def _attend_set(self, qkv: Tensor) -> Tensor:
        """Let rows attend to each other, given queries, keys and values (N, 3C): (N, C)."""
        query, key, value = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(1, 2, 0, 3)[:, None]
        return functional.scaled_dot_product_attention(query, key, value)[0].transpose(0, 1).flatten(1)


class UDSA(nn.Module):
    """Dual-space adaptation in a U (MMDA, arXiv 2505.09484).

    Down: `v_l = Adapt_l(v_(l-1))` for l = 1..d, image and anchors through the same blocks. Up, images only:
    `v'_d = v_d`, `v'_(l-1) = Remap_l(v'_l) + v_(l-1)`. The released code computes `Remap_l(v_l) + v_(l-1)`
    (`up='parallel'`): then v'_0 depends on Adapt_1 and Remap_1 alone, and the other levels matter in training
    only.

    A released block adds its input twice, which at least doubles it. That is harmless in parallel, where v'_0 is
    about 5 v_0. In a chain v'_0 would be about 4^d v_0: at d = 7 a block would change its input by one part in
    thousands, and the router of the classifier, which has no norm before it, would collapse onto a single expert,
    often a constant one. Here a block adds its input once; v'_0 is then about (d + 1) v_0.

    Args:
        dims: Width C.
        num_levels: Depth d; 0 for no adaptation at all.
        num_heads: Number A of heads of every block; divides C.
        up: `'chained'` as the paper's figure, or `'parallel'` as released.
        across_batch: Let the images of a batch attend to each other, as released; scores then depend on the batch.
        doubled_skip: Let every block add its input twice, as released; with `up='parallel'` only.
        experts: Arguments of `ExpertMixture`.

    Raises:
        ValueError: If `num_heads` does not divide the width, or an option is unknown or does not fit another.
    """

    def __init__(
        self,
        dims: int,
        *,
        num_levels: int = 7,
        num_heads: int = 16,
        up: str = 'chained',
        across_batch: bool = False,
        doubled_skip: bool = False,
        experts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if dims % num_heads or num_levels < 0:
            raise InputError(
                f'num_heads must divide the width {dims} and num_levels be at least 0, but got {num_heads} and '
                f'{num_levels}'
            )
        if up not in UP_PATHS:
            raise InputError(f'up must be one of {UP_PATHS}, but got {up!r}')
        if doubled_skip and up == 'chained':
            raise InputError("doubled_skip makes a chained U grow as 4^d; take up='parallel' or leave it out")
        self.up = up
        options: dict[str, Any] = dict(across_batch=across_batch, doubled_skip=doubled_skip, experts=experts)
        self.adapt, self.remap = (
            nn.ModuleList(SharedBlock(dims, num_heads=num_heads, **options) for _ in range(num_levels))
            for _ in range(2)
        )

    def forward(self, image: Tensor, anchors: Tensor, num_anchors: Sequence[int]) -> States:
        """Adapt images and anchors, and keep every state.

        Args:
            image: Features (B, C).
            anchors: Anchors (K, C), class by class.
            num_anchors: Number of anchors of each class, in sum K.

        Returns:
            All states.
        """
        images, texts, loss = [image], [anchors], image.new_zeros(())
        for adapt in self.adapt:
            image, anchors, part = adapt(image, anchors, num_anchors)
            images, texts, loss = [*images, image], [*texts, anchors], loss + part
        for level in reversed(range(len(self.remap))):
            below = image if self.up == 'chained' else images[level + 1]
            remapped, _, part = self.remap[level](below)
            image = remapped + images[level]
            images, texts, loss = [*images, image], [*texts, texts[level]], loss + part
        return States(torch.stack(images), torch.stack(texts), loss)

    def refine(self, image: Tensor) -> Tensor:
        """Adapt images (B, C) to v'_0 (B, C) by the blocks that reach it, without anchors: what a score needs."""
        depth = len(self.adapt) if self.up == 'chained' else min(len(self.adapt), 1)
        skips = []
        for adapt in self.adapt[:depth]:
            skips.append(image)
            image, _, _ = adapt(image)
        for remap in reversed(self.remap[:depth]):
            remapped, _, _ = remap(image)
            image = remapped + skips.pop()
        return image
