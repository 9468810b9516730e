"""Mutual masks in every block: what two modalities make of each other's patches, fed back by adapters.

Legend: M modalities (canonical order), P pairs of them, S = 2*P sides, B batch, L tokens of which the first A are
no patches, C token width, r adapter width, h x w patches, N blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from mmengine.dist import all_reduce_params, get_world_size
from torch import Tensor, nn

from mmfas.models.layers.activations import quick_gelu
from mmfas.models.layers.central_difference import CentralDifferenceConv
from mmfas.models.layers.mutual_mask import GroupBatchNorm, MutualMask
from mmfas.models.layers.stacked import StackedLinear
from mmfas.models.layers.typed import modules_of
from mmfas.models.losses.information import InformationLoss
from mmfas.models.necks.base import BaseFusionNeck, State, concat_streams, grid_of, zero_absent
from mmfas.models.specs import Block, OwnedParameter, StreamSpec, owned_slices
from mmfas.registry import FUSION_NECKS
from mmfas.structures import FusedFeatures, FusionContext
from mmfas.utils.errors import InputError


@dataclass(frozen=True)
class InformationOptions:
    """What the mutual-information term of `MutualMaskNeck` is, and whose loss it is.

    Args:
        weight: Factor of the term, at least 0; 0 for none.
        kind: `'additive'`, `'infonce'` or `'mine'`, see `InformationLoss`.
        temperature: Divisor of the cosines of `'infonce'`.
        hidden_dims: Width between the layers of `'mine'`.
        attach: `'partners'`: the loss of a modality is the mean of its pairs. `'numbered'`: pair i belongs to
            modality i, as released, so that depth carries the pair of rgb and ir.
    """

    weight: float = 0.1
    kind: str = 'additive'
    temperature: float = 0.07
    hidden_dims: int = 128
    attach: str = 'partners'

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float('inf') or self.attach not in ('partners', 'numbered'):
            raise InputError(
                'mutual_information: weight must be a number of at least 0 and attach one of '
                f"('partners', 'numbered'), but got {self.weight} and {self.attach!r}"
            )


class ConvolutionalAdapter(nn.Module):
    """M bottlenecks with a central difference convolution, from what `down` makes of the tokens on.

    Args:
        num_streams: Number of modalities M.
        token_dims: Token width C.
        adapter_dims: Bottleneck width r.
        theta: Weight theta of the central-difference term, in [0, 1].
        dropout: Dropout probability before `up`.
        convolve_prefix: Send tokens that are no patches through the convolution, as maps of 1 x 1.
    """

    def __init__(
        self,
        num_streams: int,
        *,
        token_dims: int,
        adapter_dims: int,
        theta: float,
        dropout: float,
        convolve_prefix: bool,
    ) -> None:
        super().__init__()
        self.down = StackedLinear(num_streams, in_features=token_dims, out_features=adapter_dims)
        self.conv = CentralDifferenceConv(adapter_dims, adapter_dims, num_copies=num_streams, theta=theta)
        self.dropout = nn.Dropout(dropout)
        self.up = StackedLinear(num_streams, in_features=adapter_dims, out_features=token_dims).zero_()
        self.convolve_prefix = convolve_prefix

    def forward(self, z: Tensor, num_prefix: int, grid: tuple[int, int]) -> Tensor:
        """Turn tokens (M, B, L, r) of `down` into what is added to the streams (M, B, L, C)."""
        z = quick_gelu(z)
        prefix, patches = z[:, :, :num_prefix], z[:, :, num_prefix:]
        if patches.shape[2]:
            patches = self.conv(patches.transpose(2, 3).unflatten(3, grid)).flatten(3).transpose(2, 3)
        if self.convolve_prefix:
            prefix = self.conv(prefix.flatten(1, 2)[..., None, None]).view_as(prefix)
        return self.up(self.dropout(quick_gelu(torch.cat([prefix, patches], dim=2))))


@FUSION_NECKS.register_module()
class MutualMaskNeck(BaseFusionNeck):
    r"""Mutual-information masks in every block; readouts are concatenated (DADM).

    From "DADM: Dual Alignment of Domain and Modality for Face Anti-spoofing" (arXiv 2503.00429, ICCV 2025). In
    each block, with y the output of the attention and a = x + y, every pair of modalities masks each other's y
    (`MutualMask`); with out_mp what modality m gets from the pair with p, `x_m = a_m + mlp(norm2(a_m)) +
    adapter_m(mean over partners p of out_mp)`. The up projections start at zero, so step 0 equals the plain trunk.
    All pairs of a block run as one grouped computation.

    In training, the info tokens (means of the masked tokens) give the mutual-information term of each modality,
    summed over the blocks, and its confidence for gradient rules: their mean over channels, blocks and partners.
    Neither reaches the score, so both are left out at test; then, if only the class token is read out, the last
    block needs no masks.

    An absent modality is in no pair: its partners take the mean over the others, one without any present partner
    has its own y in their place, its own feature is zero, and pairs that a sample lacks enter neither batch norm
    nor the mutual-information term.

    Differs from the released code, each by an argument: batch norm is trained (`train_norm`), the class token
    bypasses the convolution of the adapter (`convolve_cls`), absent modalities are masked (`mask_absent`), a
    modality has the mutual-information terms of its own pairs (`mutual_information.attach`). Statistics of batch
    norm are averaged over processes after every step.

    Args:
        interaction_dims: Width of the interaction in a pair, even.
        adapter_dims: Width r of the adapters.
        theta: Weight theta of the central-difference term in the adapters, in [0, 1].
        dropout: Dropout probability in an adapter, in [0, 1).
        train_norm: Normalise with the statistics of the batch in training; if False, with those that are there.
        convolve_cls: Send the class token through the convolution, as a map of 1 x 1.
        mask_absent: Ignore absent modalities; if False, their black images are seen like any other.
        mutual_information: Arguments of `InformationOptions`.
        spec: What the trunk yields; the model gives it.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If the trunk has no tokens, there is one modality only, or an argument is out of range.
    """

    #: Hooks without which this part cannot train.
    needs_hooks = ('AfterStepHook',)
    needs_tokens = True
    mixes_modalities = True
    gives_confidence = True
    min_modalities = 2
    sides: Tensor

    def __init__(
        self,
        interaction_dims: int = 256,
        *,
        adapter_dims: int = 8,
        theta: float = 0.7,
        dropout: float = 0.1,
        train_norm: bool = True,
        convolve_cls: bool = False,
        mask_absent: bool = True,
        mutual_information: Mapping[str, Any] | None = None,
        spec: StreamSpec | Mapping[str, Any],
        init_cfg: Any = None,
    ) -> None:
        super().__init__(spec=spec, init_cfg=init_cfg)
        num, width = len(self.modalities), self.spec.require_tokens(type(self).__name__)
        self.pairs = tuple(combinations(range(num), 2))
        self.information = InformationOptions(**(mutual_information or {}))
        self.mask_absent, self.train_norm = mask_absent, train_norm
        if self.information.attach == 'numbered' and len(self.pairs) != num:
            raise InputError(
                f"mutual_information.attach='numbered' gives pair i to modality i, but there are "
                f"{len(self.pairs)} pairs of the modalities {self.modalities}; take 'partners'"
            )
        self.register_buffer('sides', _sides(self.pairs, num), persistent=False)
        self.masks, self.adapters, self.terms = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for _ in range(self.spec.num_blocks):
            options: dict[str, Any] = dict(
                interaction_dims=interaction_dims, num_prefix=self.spec.num_prefix, train_norm=train_norm
            )
            self.masks.append(MutualMask(self.pairs, token_dims=width, **options))
            adapter: dict[str, Any] = dict(
                adapter_dims=adapter_dims, theta=theta, dropout=dropout, convolve_prefix=convolve_cls
            )
            self.adapters.append(ConvolutionalAdapter(num, token_dims=width, **adapter))
            self.terms.append(self._information_loss(width))
        self._freeze_unused(convolve_cls)

    def _information_loss(self, width: int) -> InformationLoss:
        """Make the mutual-information term of a block."""
        own = self.information
        return InformationLoss(
            own.kind,
            num_pairs=len(self.pairs),
            width=width,
            temperature=own.temperature,
            hidden_dims=own.hidden_dims,
        ).requires_grad_(own.weight > 0)

    def _freeze_unused(self, convolve_cls: bool) -> None:
        """Do not train what reaches no loss where only the tokens before the patches are read."""
        if not self.spec.reads_prefix_only:
            return
        if not convolve_cls:
            self.adapters[-1].conv.requires_grad_(False)
        if self.information.weight == 0:  # the last masks touch patches and info tokens only
            self.masks[-1].convs.requires_grad_(False)
            self.masks[-1].norms.requires_grad_(False)

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config of a tiny neck."""
        return dict(type='MutualMaskNeck', interaction_dims=4, adapter_dims=4, dropout=0.0)

    @property
    def out_dims(self) -> int:
        """Width D = M*C of the joint feature."""
        return len(self.modalities) * self.spec.embed_dims

    @property
    def modality_losses(self) -> tuple[str, ...]:
        """All modalities, or none without a mutual-information term."""
        return self.modalities if self.information.weight else ()

    def begin(self, streams: Tensor, ctx: FusionContext) -> tuple[Tensor, State]:
        """Start a batch.

        The state also holds `pairs` (B, P), which pairs a sample has; `masks` (blocks so far, P, 2, B, h, w); in
        training `confidence` (M, B) and `information` (P,), sums over the blocks so far; and `rows` (B, P), only
        if a sample lacks a pair and batch norm must know.
        """
        streams, state = super().begin(streams, ctx)
        present = ctx.present if self.mask_absent else torch.ones_like(ctx.present)
        pairs = self._pairs_of(present)
        masks = streams.new_empty((0, len(self.pairs), 2, present.shape[0], *grid_of(state)))
        state = {**state, 'present': present, 'pairs': pairs, 'masks': masks}
        if self.training:
            exact = torch.promote_types(streams.dtype, torch.float32)
            state['confidence'] = streams.new_zeros(streams.shape[:2], dtype=exact)
            state['information'] = streams.new_zeros(len(self.pairs), dtype=exact)
            # read from the host's mask: asking a device would wait for all that it has still to do
            if self.mask_absent and self.train_norm and not self._pairs_of(ctx.readable_present).all():
                state['rows'] = pairs
        return streams, state

    def _pairs_of(self, present: Tensor) -> Tensor:
        """Say which pairs (B, P) samples with the modalities `present` (B, M) have."""
        return torch.stack([present[:, a] & present[:, b] for a, b in self.pairs], dim=1)

    def block(self, index: int, block: Block, streams: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one block with its masks; the last one yields only the tokens (M, B, A, C) that are read."""
        attended = block.attn(block.norm1(streams))
        reads_prefix = self.spec.reads_prefix_only and index == self.spec.num_blocks - 1
        delta, state = self._adapt(index, attended, state, reads_prefix)
        read = slice(self.spec.num_prefix if reads_prefix else None)
        after_attention = (streams + attended)[..., read, :]
        return after_attention + block.mlp(block.norm2(after_attention)) + delta, state

    def _adapt(self, index: int, y: Tensor, state: State, prefix_only: bool) -> tuple[Tensor, State]:
        """Mask the tokens (M, B, L, C) and run the adapters on what comes of it: (M, B, L or A, C)."""
        mask: Any = self.masks[index]
        adapter: Any = self.adapters[index]
        down, grid = adapter.down, grid_of(state)
        masked = mask(
            y,
            down.weight[mask.streams],
            grid=grid,
            rows=state.get('rows'),
            prefix_only=prefix_only,
            with_info=self.training,
        )
        weight = self._weights(state['pairs'])  # (M, S, B)
        has_pair = _of_sides(state['pairs'])
        sides = torch.where(has_pair[..., None, None], masked.sides, masked.sides.new_zeros(()))
        z = torch.einsum('msb,sblr->mblr', weight.to(sides.dtype), sides) + down.required_bias[:, None, None]
        if self.mask_absent:  # without any partner the tokens are taken as they are
            is_alone = (weight.sum(1) == 0)[..., None, None]
            read = y[:, :, : self.spec.num_prefix] if prefix_only else y
            own = torch.bmm(read.flatten(1, 2), down.weight.transpose(1, 2)).view_as(z)
            z = z + torch.where(is_alone, own, own.new_zeros(()))
        state = dict(state)
        if masked.masks is not None:
            state['masks'] = torch.cat([state['masks'], masked.masks[None].to(state['masks'].dtype)])
        if masked.info is not None:
            self._take_note(index, state, info=masked.info, weight=weight, y=y)
        return adapter(z, self.spec.num_prefix, grid), state

    def _weights(self, pairs: Tensor) -> Tensor:
        """Say with which weight each side of the pairs (B, P) goes to each modality: (M, S, B)."""
        takes = self.sides[..., None] * _of_sides(pairs)
        return takes / takes.sum(1, keepdim=True).clamp(min=1)

    def _take_note(self, index: int, state: State, *, info: Tensor, weight: Tensor, y: Tensor) -> None:
        """Add confidence and mutual-information term of a block to a state that is new already."""
        exact = state['confidence'].dtype
        level = info.detach().to(exact).mean(-1)  # (S, B)
        partners = torch.einsum('msb,sb->mb', weight.to(exact), level)
        alone = torch.where(weight.sum(1) == 0, y.detach().to(exact).mean((-2, -1)), 0.0)
        state['confidence'] = state['confidence'] + partners + alone
        if self.information.weight:
            state['information'] = state['information'] + self.terms[index](info, state['pairs'])

    def finish(self, streams: Tensor, state: State, readout: Callable[[Tensor], Tensor]) -> FusedFeatures:
        """Read out, blank absent modalities, concatenate.

        Args:
            streams: Streams (M, B, A, C) of the tokens that are read, or all.
            state: What the last block returned.
            readout: Readout of the trunk.

        Returns:
            Joint and per-modality features; `maps` has `mask` (N, P, 2, B, h, w), means over channels of the masks
            that were made. In training also confidence (M, B) and mutual-information losses.
        """
        per_modality = zero_absent(readout(streams), state['present'])
        confidence = None
        if 'confidence' in state:
            confidence = zero_absent(state['confidence'], state['present']) / max(self.spec.num_blocks, 1)
        return FusedFeatures(
            fused=concat_streams(per_modality),
            per_modality=per_modality,
            confidence=confidence,
            modality_losses=self._information_of(state) if self.training and self.information.weight else {},
            maps={'mask': state['masks']},
        )

    def _information_of(self, state: State) -> dict[str, Tensor]:
        """Return the mutual-information loss of each modality."""
        loss = self.information.weight * state['information']  # (P,)
        if self.information.attach == 'partners':
            takes = self.sides.unflatten(1, (-1, 2)).sum(-1) * state['pairs'].any(0)  # (M, P)
            loss = (takes * loss).sum(1) / takes.sum(1).clamp(min=1)
        return dict(zip(self.modalities, loss.unbind(), strict=True))

    @torch.no_grad()
    def after_step(self, epoch: int) -> None:
        """Average the statistics of batch norm over the processes, so that all of them score alike."""
        if get_world_size() > 1 and self.train_norm:
            norms = [module for module in self.modules() if isinstance(module, GroupBatchNorm)]
            statistics = [value for norm in norms for value in (norm.running_mean, norm.running_var)]
            all_reduce_params(statistics, coalesce=True, op='mean')

    def modality_parameters(self) -> dict[str, list[OwnedParameter]]:
        """Return the slices of the adapters, and those of the layers behind the masks; the masks belong to two."""
        adapters = modules_of(self.adapters, ConvolutionalAdapter)
        parts = [part for adapter in adapters for part in (adapter.down, adapter.conv, adapter.up)]
        owned = owned_slices(self.modalities, *(p for part in parts for p in part.parameters()))
        streams = [number for pair in self.pairs for number in pair]
        for mask in modules_of(self.masks, MutualMask):
            for parameter in mask.out.parameters():
                for side, number in enumerate(streams):
                    owned[self.modalities[number]].append((parameter, side))
        return owned


def _sides(pairs: tuple[tuple[int, int], ...], num: int) -> Tensor:
    """Say which sides of the pairs belong to which modality: (M, S), 1 or 0."""
    streams = torch.tensor([number for pair in pairs for number in pair])
    return (streams == torch.arange(num)[:, None]).float()


def _of_sides(pairs: Tensor) -> Tensor:
    """Repeat what holds for pairs (B, P) for both of their sides: (S, B)."""
    return pairs.t()[:, None].expand(-1, 2, -1).flatten(0, 1)
