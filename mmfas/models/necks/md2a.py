"""MD2A: fusion of the readouts by attention from which the noise of the domain is subtracted.

Legend: M modalities (canonical order), B batch, C readout width, A heads, E experts, R references.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmfas.models.layers.differential_attention import DifferentialAttention
from mmfas.models.layers.experts import ExpertMixture
from mmfas.models.necks.base import BaseFusionNeck, State, concat_streams, zero_absent
from mmfas.models.specs import StreamSpec
from mmfas.registry import FUSION_NECKS
from mmfas.structures import FusedFeatures
from mmfas.utils.errors import InputError

REFERENCES = ('partner', 'bank', 'first')


@FUSION_NECKS.register_module()
class MD2ANeck(BaseFusionNeck):
    """Fuse the M readouts of a sample by differential attention and a mixture of experts (MMDA).

    From "Denoising and Alignment" (arXiv 2505.09484). With X (M, C) the readouts of a sample and R those of
    another one of its domain: `x1 = X + attention(norm1 X; norm1 R)`, `x2 = experts(norm2 x1)`, and the joint
    feature is `W [X + x1 + x2]`, all modalities side by side. What the sample attends to is denoised by what its
    domain attends to anyway.

    In training, R is drawn in every step among the other samples of the domain in the batch (of this
    process); a sample without one, and one of unknown domain, is its own reference, and so is every sample at
    test: a score never depends on other samples. A modality that the partner lacks is taken from the sample
    itself. An absent modality is masked in the attention, its feature is zero.

    Differs from the released code, each by an argument: the reference (`reference`), absent modalities are masked
    (`mask_absent`), routing is deterministic and balanced over the batch (`experts`).

    Args:
        num_heads: Number A of attention heads; divides C.
        dropout: Dropout probability on the attention maps, in [0, 1).
        fixed_lambda: Weight of the noise that is not learned, or None.
        shared_projections: Use one projection for sample and reference, as the paper's text says.
        reference: `'partner'`, as above, or `'first'` as released: the first sample of the batch that has the same
            domain, at test the first of all; then scores depend on the batch. With `'bank'`, training is as with
            `'partner'`, and at test the references are R stored readouts of training samples: the noise is the
            mean over the source domains. `mmfas weights bank` stores them in a checkpoint.
        bank_size: Number R of readouts in the bank.
        mask_absent: Ignore absent modalities; if False, their black images are seen like any other.
        experts: Arguments of `ExpertMixture`.
        spec: What the trunk yields; the model gives it.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If there is one modality only, `num_heads` does not divide C, `reference` is unknown or
            `bank_size` is below 1.
    """

    min_modalities = 2
    mixes_modalities = False
    gives_confidence = False
    bank: Tensor

    def __init__(
        self,
        num_heads: int = 16,
        *,
        dropout: float = 0.1,
        fixed_lambda: float | None = None,
        shared_projections: bool = False,
        reference: str = 'partner',
        bank_size: int = 64,
        mask_absent: bool = True,
        experts: Mapping[str, Any] | None = None,
        spec: StreamSpec | Mapping[str, Any],
        init_cfg: Any = None,
    ) -> None:
        super().__init__(spec=spec, init_cfg=init_cfg)
        if reference not in REFERENCES:
            raise InputError(f'reference must be one of {REFERENCES}, but got {reference!r}')
        if bank_size < 1:
            raise InputError(f'bank_size must be at least 1, but got {bank_size}')
        width = self.spec.embed_dims
        self.reference = reference
        self.bank_size = bank_size
        self.mask_absent = mask_absent
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = DifferentialAttention(
            width,
            num_heads=num_heads,
            dropout=dropout,
            fixed_lambda=fixed_lambda,
            shared_projections=shared_projections,
        )
        self.experts = ExpertMixture(width, **(experts or {}))
        self.project = nn.Linear(len(self.modalities) * width, width)
        if reference == 'bank':
            # zeros attend to everything alike: until the bank is filled, no modality counts as noisier
            self.register_buffer('bank', torch.zeros(bank_size, len(self.modalities), width))

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config of a tiny neck."""
        return dict(type='MD2ANeck', num_heads=2, dropout=0.0, experts=dict(num_ffn=2, num_constant=1))

    @property
    def out_dims(self) -> int:
        """Width C of the joint feature."""
        return self.spec.embed_dims

    def finish(self, streams: Tensor, state: State, readout: Callable[[Tensor], Tensor]) -> FusedFeatures:
        """Read out, denoise, mix, project.

        Args:
            streams: Streams (M, B, *feat).
            state: What the last block returned.
            readout: Readout of the trunk.

        Returns:
            Features; `maps` has `attention`, that of the sample and of its reference (2, B, A, M, M), `lambda`
            (scalar) and `experts`, the weight of each (B, M, E). While training, `aux_losses` has `router`.
        """
        present = state['present'] if self.mask_absent else torch.ones_like(state['present'])
        per_modality = zero_absent(readout(streams), present)
        x = per_modality.transpose(0, 1)  # (B, M, C)
        denoised = self.attention(self.norm1(x), self.norm1(self._reference(x, present, state)), present)
        x1 = x + denoised.out
        mixed = self.experts(self.norm2(x1))
        joint = zero_absent((x + x1 + mixed.out).transpose(0, 1), present)
        maps = {'attention': denoised.maps, 'lambda': denoised.noise_weight, 'experts': mixed.gates}
        return FusedFeatures(
            fused=self.project(concat_streams(joint)),
            per_modality=per_modality,
            aux_losses={'router': self.experts.router_loss(mixed.logits, present)} if self.training else {},
            maps={name: value.detach() for name, value in maps.items()},
        )

    def _reference(self, x: Tensor, present: Tensor, state: State) -> Tensor:
        """Return the readouts that represent noise: one of each sample (B, M, C), or the bank (1, R, M, C)."""
        if self.reference == 'bank' and not self.training:
            return self.bank[None]
        rows = self._references(present, state.get('domain'))
        return torch.where(present[rows][..., None], x[rows], x)

    def _references(self, present: Tensor, domain: Tensor | None) -> Tensor:
        """Choose the row (B,) of the reference of each sample."""
        own = torch.arange(present.shape[0], device=present.device)
        if self.reference == 'first':
            return own * 0 if domain is None else (domain[:, None] == domain).int().argmax(1)
        if domain is None or not self.training:
            return own
        is_partner = (domain[:, None] == domain) & (own[:, None] != own)
        # a draw in [1, 2) for every partner, 0 for all other samples
        drawn = (1 + torch.rand(is_partner.shape, device=present.device)) * is_partner
        return torch.where(is_partner.any(1), drawn.argmax(1), own)
