"""U-Adapters: what each modality learns from its partners, weighted with the confidence in them.

Legend: M modalities (canonical order), N blocks, B batch, L tokens, C token width, D fused width, h x w patches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmfas.models.layers.typed import modules_of
from mmfas.models.layers.uncertainty import TokenConfidence
from mmfas.models.necks.base import BaseFusionNeck, State, concat_streams, grid_of, zero_absent
from mmfas.models.necks.grouped_u_adapter import GroupedUAdapter
from mmfas.models.specs import Block, OwnedParameter, StreamSpec
from mmfas.registry import FUSION_NECKS
from mmfas.structures import FusedFeatures, FusionContext
from mmfas.utils.errors import InputError


@FUSION_NECKS.register_module()
class UAdapterNeck(BaseFusionNeck):
    """Uncertainty-guided cross-adapters in every block; readouts are concatenated (MMDG).

    From "Suppress and Rebalance: Towards Generalized Multi-Modal Face Anti-Spoofing" (arXiv 2402.19298), Eq. 1-4.
    In each block, with y the output of the attention, a = x + y and h = norm2(a):
    `x_m = a_m + mlp(h_m) + sum over partners p of m of adapter_mp(u(y_p); query h_p, key and value h_m)`. The up
    projections start at zero, so step 0 equals the plain trunk. All adapters of a block run as one computation.

    An absent modality gives nothing to its partners, and its feature is zero.

    Differs from the paper: the residual is a, the stream, as released (Eq. 1-3 have h); u is the mean over
    channels of `exp(-2.25 std)` in closed form (the paper: the variance of drawn samples; see `TokenConfidence`).
    Differs from the released code, each by an argument: the uncertainty is deterministic (`uncertainty`), the
    class token bypasses the convolution (`convolve_cls`), absent modalities are masked (`mask_absent`).

    If only the class token is read out, the last block skips the patch tokens (no MLP, no adapters); its
    convolution is then unused and frozen unless `convolve_cls`.

    Args:
        adapter_dims: Width r of the adapters.
        num_heads: Attention heads in an adapter; divides r.
        theta: Weight theta of the central-difference term, in [0, 1].
        dropout: Dropout probability in an adapter, in [0, 1).
        partners: Modality -> modalities it learns from. None: the first modality learns from all others, and they
            from it (rgb <-> depth, rgb <-> ir).
        uncertainty: Arguments of `TokenConfidence`.
        convolve_cls: Send the class token through the convolution, as a map of 1 x 1.
        mask_absent: Ignore absent modalities; if False, their black images are seen like any other.
        spec: What the trunk yields; the model gives it.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If the trunk has no tokens, there is one modality only, or `partners` does not fit.
    """

    needs_tokens = True
    mixes_modalities = True
    gives_confidence = True
    min_modalities = 2

    def __init__(
        self,
        adapter_dims: int = 8,
        *,
        num_heads: int = 8,
        theta: float = 0.5,
        dropout: float = 0.2,
        partners: Mapping[str, Sequence[str]] | None = None,
        uncertainty: Mapping[str, Any] | None = None,
        convolve_cls: bool = False,
        mask_absent: bool = True,
        spec: StreamSpec | Mapping[str, Any],
        init_cfg: Any = None,
    ) -> None:
        super().__init__(spec=spec, init_cfg=init_cfg)
        self.edges = _edges(partners, self.modalities)
        self.uncertainty = TokenConfidence(**(uncertainty or {}))
        self.mask_absent = mask_absent
        numbers = [(self.modalities.index(own), self.modalities.index(partner)) for own, partner in self.edges]
        self.adapters = nn.ModuleList(
            GroupedUAdapter(
                numbers,
                num_streams=len(self.modalities),
                token_dims=self.spec.require_tokens(type(self).__name__),
                adapter_dims=adapter_dims,
                num_heads=num_heads,
                theta=theta,
                dropout=dropout,
                convolve_prefix=convolve_cls,
            )
            for _ in range(self.spec.num_blocks)
        )
        if self.spec.reads_prefix_only and not convolve_cls:
            self.adapters[-1].conv.requires_grad_(False)

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config of a tiny neck."""
        return dict(type='UAdapterNeck', adapter_dims=4, num_heads=2, dropout=0.0)

    @property
    def out_dims(self) -> int:
        """Width D = M*C of the joint feature."""
        return len(self.modalities) * self.spec.embed_dims

    def begin(self, streams: Tensor, ctx: FusionContext) -> tuple[Tensor, State]:
        """Start a batch; `confidence` (blocks so far, M, B, L) of the state is empty."""
        streams, state = super().begin(streams, ctx)
        present = ctx.present if self.mask_absent else torch.ones_like(ctx.present)
        return streams, {**state, 'present': present, 'confidence': streams.new_empty((0, *streams.shape[:3]))}

    def block(self, index: int, block: Block, streams: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one block with its adapters; the last one yields only the tokens (M, B, A, C) that are read."""
        attended = block.attn(block.norm1(streams))
        confidence = self.uncertainty(attended)
        after_attention = streams + attended
        hidden = block.norm2(after_attention)
        reads_prefix = self.spec.reads_prefix_only and index == self.spec.num_blocks - 1
        delta = self.adapters[index](
            hidden, confidence, present=state['present'], grid=grid_of(state), prefix_only=reads_prefix
        )
        read = slice(self.spec.num_prefix if reads_prefix else None)
        streams = after_attention[..., read, :] + block.mlp(hidden[..., read, :]) + delta
        blocks = torch.cat([state['confidence'], confidence[None].to(streams.dtype)])
        return streams, {**state, 'confidence': blocks}

    def finish(self, streams: Tensor, state: State, readout: Callable[[Tensor], Tensor]) -> FusedFeatures:
        """Read out, blank absent modalities, concatenate.

        Args:
            streams: Streams (M, B, L, C), or those of their tokens that are read.
            state: What the last block returned.
            readout: Readout of the trunk.

        Returns:
            Features; `confidence` is u of what is read in the last block: the class token, or the mean over the
            patches. `maps['confidence']` is u of the patches in every block (N, M, B, h, w), near 1 for sure and
            near 0 for unsure ones; for one release it also goes by its former name `maps['uncertainty']`.
        """
        per_modality = zero_absent(readout(streams), state['present'])
        confidence, prefix = state['confidence'], self.spec.num_prefix
        patches = confidence[..., prefix:]
        maps = patches.unflatten(-1, grid_of(state))
        return FusedFeatures(
            fused=concat_streams(per_modality),
            per_modality=per_modality,
            confidence=(confidence[-1, ..., :prefix] if self.spec.reads_prefix_only else patches[-1]).mean(-1),
            maps={'confidence': maps, 'uncertainty': maps},
        )

    def modality_parameters(self) -> dict[str, list[OwnedParameter]]:
        """Return the slices of the stacked adapters: an adapter belongs to the stream that it adds to."""
        owned: dict[str, list[OwnedParameter]] = {m: [] for m in self.modalities}
        for adapter in modules_of(self.adapters, GroupedUAdapter):
            for edge, (own, _) in enumerate(self.edges):
                owned[own] += adapter.tensors_of(edge)
        return owned


def _edges(
    partners: Mapping[str, Sequence[str]] | None, modalities: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Return the (own, partner) pairs of a graph, own modality first in canonical order."""
    if partners is None:
        hub, *others = modalities
        partners = {hub: tuple(others), **dict.fromkeys(others, (hub,))}
    edges = [(m, p) for m in modalities for p in modalities if p in partners.get(m, ())]
    wanted = [(m, p) for m, names in partners.items() for p in names]
    wrong = sorted(f'{m} <- {p}' for m, p in wanted if (m, p) not in edges or m == p or wanted.count((m, p)) > 1)
    if wrong or not edges:
        raise InputError(
            f'partners must map modalities out of {modalities} to other ones of them, each once and at least one, '
            f'but {"wrong is " + ", ".join(wrong) if wrong else "there is none"}'
        )
    return tuple(edges)
