"""Masks that two modalities make for each other, all pairs of modalities as one grouped computation.

Legend: M modalities, P pairs of them, S = 2*P sides (of pair p: 2p and 2p + 1), B batch, L tokens of which the
first A are no patches, h x w patches, C token width, I interaction width, r width of what is made of a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.layers.stacked import StackedLinear
from mmfas.models.layers.typed import modules_of
from mmfas.utils.errors import InputError


class GroupBatchNorm(nn.BatchNorm2d):
    """Batch norm of P groups of channels, each over the rows that count for it.

    With all rows it is `nn.BatchNorm2d`. A group without any row is normalised with its running statistics, which
    then stay as they are. Statistics are those of one process.

    Args:
        num_groups: Number P of groups.
        channels: Channels K of one group.
        train_statistics: Normalise with the statistics of the batch in training; if False, always with the running
            ones, which never move: 0 and 1 from the start.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def __init__(self, num_groups: int, *, channels: int, train_statistics: bool = True) -> None:
        super().__init__(num_groups * channels)
        self.channels = channels
        self.train_statistics = train_statistics

    def forward(self, input: Tensor, rows: Tensor | None = None) -> Tensor:  # noqa: A002  as torch names it
        """Normalise maps (B, P*K, h, w); of group p, rows that are False in `rows` (B, P) do not count."""
        if not self.training or not self.train_statistics:
            statistics = self.running_mean, self.running_var
            return functional.batch_norm(input, *statistics, self.weight, self.bias, eps=self.eps)
        return super().forward(input) if rows is None else self._over(input, rows)

    def _over(self, x: Tensor, rows: Tensor) -> Tensor:
        """Normalise with the statistics of some rows."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        counts = rows.repeat_interleave(self.channels, dim=1)[..., None, None].to(wide.dtype)  # (B, P*K, 1, 1)
        num = counts.sum((0, 2, 3)) * x.shape[-2] * x.shape[-1]
        has_rows = num > 0
        mean = torch.where(has_rows, (wide * counts).sum((0, 2, 3)) / num.clamp(min=1), self.running_mean)
        centred = wide - mean[:, None, None]
        var = (centred.square() * counts).sum((0, 2, 3)) / num.clamp(min=1)
        var = torch.where(has_rows, var, self.running_var)
        with torch.no_grad():
            step = self.momentum * has_rows
            unbiased = torch.where(has_rows, var * num / (num - 1).clamp(min=1), var)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), step.to(self.running_mean.dtype))
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), step.to(self.running_var.dtype))
            self.num_batches_tracked += 1
        scale = self.weight * (var + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class Masked(NamedTuple):
    """What the masks make of the tokens.

    Args:
        sides: Each side of each pair, projected, (S, B, L, r); with `prefix_only` (S, B, A, r).
        info: Mean of the masked tokens of each side (S, B, C); None if it was not asked for.
        masks: Masks in (0, 1), mean over channels, (P, 2, B, h, w), without gradient; None if none were made.
    """

    sides: Tensor
    info: Tensor | None
    masks: Tensor | None


class MutualMask(nn.Module):
    r"""Let the modalities of each pair mask each other's patches (DADM).

    With Y the patches of a and b as maps, for every pair :math:`I = f([Y_a; Y_b])`, :math:`[M_a; M_b] =
    \mathrm{sigmoid}(g(I))`, and `out_a = W_a [M_a * Y_a; first half of I]`, `out_b` likewise with the other half;
    f and g are three convolutions each with batch norm. Tokens that are no patches are not masked; a linear layer
    on both of them takes the place of I.

    All pairs run as one grouped computation. What is asked for is a linear map of `out`, so the map and W are
    multiplied with each other first: with a map to r = 8 that spares 30 % of all products of ViT-B/16.

    Args:
        pairs: Numbers of the two modalities of each pair.
        token_dims: Token width C.
        interaction_dims: Interaction width I, even.
        num_prefix: Tokens A that are no patches.
        train_norm: Whether batch norm uses the statistics of the batch in training.

    Raises:
        ValueError: If `interaction_dims` is odd or below 2.
    """

    streams: Tensor

    def __init__(
        self,
        pairs: Sequence[tuple[int, int]],
        *,
        token_dims: int,
        interaction_dims: int = 256,
        num_prefix: int = 1,
        train_norm: bool = True,
    ) -> None:
        super().__init__()
        if interaction_dims < 2 or interaction_dims % 2:
            raise InputError(f'interaction_dims must be even and at least 2, got {interaction_dims}')
        num, both, half = len(pairs), 2 * token_dims, interaction_dims // 2
        self.num_prefix = num_prefix
        widths = (both, both, interaction_dims, interaction_dims, half, half, both)
        kernels, groups = (3, 1, 3, 3, 3, 3), (num * both, num, num, num, num, num)
        self.convs = nn.ModuleList(
            nn.Conv2d(num * before, num * after, kernel, padding=kernel // 2, groups=group)
            for (before, after), kernel, group in zip(pairwise(widths), kernels, groups, strict=True)
        )
        self.norms = nn.ModuleList(
            GroupBatchNorm(num, channels=width, train_statistics=train_norm) for width in widths[1:]
        )
        self.mix_prefix = (
            StackedLinear(num, in_features=both, out_features=interaction_dims) if num_prefix else None
        )
        self.out = StackedLinear(2 * num, in_features=token_dims + half, out_features=token_dims)
        self.register_buffer('streams', torch.tensor(pairs).flatten(), persistent=False)

    def forward(
        self,
        y: Tensor,
        project: Tensor,
        *,
        grid: tuple[int, int],
        rows: Tensor | None = None,
        prefix_only: bool = False,
        with_info: bool = False,
    ) -> Masked:
        """Mask the tokens of every pair.

        Args:
            y: Tokens (M, B, L, C), patches last.
            project: Linear maps (S, r, C), one for each side.
            grid: Rows and columns of the patches.
            rows: Boolean mask (B, P) of what enters the statistics of batch norm in training; None for all.
            prefix_only: Return the first A tokens only; without `with_info` no mask is needed for that.
            with_info: Return the means of the masked tokens too.
        """
        weight, bias = torch.bmm(project, self.out.weight), torch.bmm(project, self.out.required_bias[..., None])
        own, mixed = weight.transpose(1, 2).split([y.shape[-1], weight.shape[-1] - y.shape[-1]], dim=1)
        prefix = y[:, :, : self.num_prefix][self.streams]  # (S, B, A, C)
        parts, info, masks = [], None, None
        if self.mix_prefix is not None:
            parts.append(_product(prefix, own) + _product(self._prefix_interaction(prefix), mixed))
        if with_info or not prefix_only:
            patches = y.permute(1, 2, 0, 3)[:, self.num_prefix :].index_select(2, self.streams)  # (B, h*w, S, C)
            interaction, mask = self.interact(patches, grid, rows)
            masked = (mask * patches).permute(2, 0, 1, 3)  # (S, B, h*w, C)
            masks = mask.detach().mean(-1).permute(2, 0, 1).unflatten(2, grid).unflatten(0, (-1, 2))
            if with_info:
                info = (masked.sum(2) + prefix.sum(2)) / y.shape[2]
            if not prefix_only:
                parts.append(_product(masked, own) + _product(interaction.permute(2, 0, 1, 3), mixed))
        return Masked(torch.cat(parts, dim=2) + bias.transpose(1, 2)[:, None], info, masks)

    def interact(
        self, patches: Tensor, grid: tuple[int, int], rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute interaction (B, h*w, S, I/2) and masks (B, h*w, S, C) of patches (B, h*w, S, C)."""
        # tokens are maps with their channels last already: no copy here, nor in the convolutions
        x = patches.unflatten(1, grid).flatten(3).permute(0, 3, 1, 2)
        interaction = x
        convs = modules_of(self.convs, nn.Conv2d)
        for number, (conv, norm) in enumerate(zip(convs, self.norms, strict=True)):
            x = norm(_convolve(conv, x, len(self.streams) // 2), rows)
            x = torch.sigmoid(x) if number == 5 else functional.relu(x)
            interaction = x if number == 2 else interaction
        return self._tokens(interaction), self._tokens(x)

    def _tokens(self, maps: Tensor) -> Tensor:
        """Turn maps (B, S*K, h, w) into tokens (B, h*w, S, K)."""
        return maps.permute(0, 2, 3, 1).flatten(1, 2).unflatten(2, (len(self.streams), -1))

    def _prefix_interaction(self, prefix: Tensor) -> Tensor:
        """Compute the interaction (S, B, A, I/2) of the tokens (S, B, A, C) that are no patches."""
        assert self.mix_prefix is not None
        both = prefix.unflatten(0, (-1, 2)).permute(0, 2, 3, 1, 4).flatten(3)  # (P, B, A, 2C)
        return self.mix_prefix(both).unflatten(3, (2, -1)).permute(0, 3, 1, 2, 4).flatten(0, 1)


def _convolve(conv: nn.Conv2d, x: Tensor, num_pairs: int) -> Tensor:
    """Convolve maps (B, P*K, h, w), each pair with its own kernels."""
    if x.device.type != 'cpu' or conv.groups != num_pairs or conv.bias is None:
        return conv(x)
    # a CPU reorders the kernels of a grouped convolution in every call: longer than a small batch takes
    parts = zip(x.chunk(num_pairs, 1), conv.weight.chunk(num_pairs), conv.bias.chunk(num_pairs), strict=True)
    padding = conv.kernel_size[0] // 2
    return torch.cat([functional.conv2d(*part, padding=padding) for part in parts], dim=1)


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """Multiply (S, B, L, K) with (S, K, r)."""
    return torch.bmm(x.flatten(1, 2), weight).unflatten(1, x.shape[1:3])
