"""The fusion protocol carries what the methods to come need: one joint sequence, state from block to block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmfas.models import BaseFusionNeck
from mmfas.models.necks import State
from mmfas.models.specs import Block, FeatureSpec
from mmfas.registry import FUSION_NECKS
from mmfas.structures import FusedFeatures, FusionContext
from test_models.helpers import build, images

pytestmark = pytest.mark.engine


@FUSION_NECKS.register_module(name='JointSequenceNeck')
class _JointSequenceNeck(BaseFusionNeck):
    """One sequence over all modalities through every block, beside it a prompt that travels as state."""

    needs_tokens = True

    def __init__(self, *, spec: Any, init_cfg: Any = None) -> None:
        super().__init__(spec=spec, init_cfg=init_cfg)
        self.prompt = nn.Conv2d(3, self.spec.token_dims, 4, 4)

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        return dict(type='JointSequenceNeck')

    @property
    def out_dims(self) -> int:
        return self.spec.embed_dims

    @property
    def feature_spec(self) -> FeatureSpec:
        return FeatureSpec(self.modalities, self.out_dims, modality_dims=None, neck='JointSequenceNeck')

    def begin(self, streams: Tensor, ctx: FusionContext) -> tuple[Tensor, State]:
        num, _, length, _ = streams.shape
        cls = streams[:1, :, :1]
        patches = streams[:, :, ctx.num_prefix :].transpose(0, 1).flatten(1, 2)[None]
        mask = ctx.present.repeat_interleave(length - ctx.num_prefix, dim=1)
        mask = torch.cat([mask.new_ones(len(mask), 1), mask], dim=1)[None]
        visible = torch.where(ctx.present.t()[..., None, None, None], ctx.images, torch.zeros(()))
        prompt = self.prompt(visible.flatten(0, 1)).mean((2, 3)).unflatten(0, (num, -1)).sum(0)
        return torch.cat([cls * 0, patches], dim=2), {'mask': mask, 'prompt': prompt}

    def block(self, index: int, block: Block, streams: Tensor, state: State) -> tuple[Tensor, State]:
        x = streams + block.attn(block.norm1(streams), key_mask=state['mask'])
        delta = block.mlp(block.norm2(x)) + state['prompt'][None, :, None]
        return x + delta, {**state, 'prompt': torch.tanh(state['prompt'])}

    def finish(self, streams: Tensor, state: State, readout: Callable[[Tensor], Tensor]) -> FusedFeatures:
        return FusedFeatures(fused=readout(streams)[0], maps={'prompt': state['prompt'].detach()})


def test_joint_sequence_over_all_modalities() -> None:
    model = build(neck=dict(type='JointSequenceNeck')).double().eval()
    inputs = {m: x.double() for m, x in images(3).items()}
    present = torch.tensor([[True, True, True], [True, False, True], [False, False, True]])
    given = {**inputs, 'present': present}
    logits = model(given)
    assert logits.shape == (3, 2) and model.extract_feat(given).maps['prompt'].shape == (3, 16)
    changed = dict(given)
    for i, m in enumerate(('rgb', 'depth', 'ir')):
        changed[m] = torch.where(present[:, i, None, None, None], given[m], torch.randn_like(given[m]))
    torch.testing.assert_close(model(changed), logits, rtol=0, atol=1e-9)
    alone = torch.cat([model({k: v[i : i + 1] for k, v in given.items()}) for i in range(3)])
    torch.testing.assert_close(alone, logits, rtol=0, atol=1e-9)
    logits.sum().backward()
    assert model.neck.prompt.weight.grad.abs().sum() > 0


def test_joint_sequence_refuses_heads_that_need_modality_features() -> None:
    head = dict(type='LinearFASHead', modality_loss_weight=1.0)
    with pytest.raises(ValueError, match='LinearFASHead needs per-modality features .* JointSequenceNeck yields'):
        build(neck=dict(type='JointSequenceNeck'), head=head)


def test_state_survives_activation_checkpointing() -> None:
    model = build(neck=dict(type='AMANeck', adapter_dims=4))
    plain_block = model.neck.block
    inputs = images(2)
    grads = []
    for wrap in (False, True):
        model.zero_grad()
        if wrap:
            model.neck.block = lambda *args: checkpoint(plain_block, *args, use_reentrant=False)
        model(inputs).square().sum().backward()
        grads.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)
