"""One joint sequence over all modalities, and in every block experts whose gate is isolated from them (BIG-MoE).

Legend: M modalities (canonical order), N blocks, B batch, p prefix tokens (class token), P = h*w positions, L' =
p + M*P tokens of the joint sequence, C token width, V prompt width, H heads, T experts per head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.layers.product_key_experts import Routing, balance_loss, router_z_loss
from mmfas.models.layers.typed import modules_of
from mmfas.models.necks.base import BaseFusionNeck, State, grid_of, zero_absent
from mmfas.models.necks.isolated_gating_adapter import IsolatedGatingAdapter, ReleasedBlockOptions
from mmfas.models.necks.prompt import PromptGenerator, PromptOptions
from mmfas.models.specs import Block, StreamSpec
from mmfas.registry import FUSION_NECKS
from mmfas.structures import FusedFeatures, FusionContext
from mmfas.utils.errors import InputError

#: Losses of the router that can be added to the model's.
ROUTER_LOSSES: dict[str, Callable[[Routing], Tensor]] = {'balance': balance_loss, 'router_z': router_z_loss}


@FUSION_NECKS.register_module()
class IsolatedGatingMoENeck(BaseFusionNeck):
    """Joint sequence of all modalities with product-key experts beside the MLP of every block (BIG-MoE).

    From "BIG-MoE: Bypass Isolated Gating MoE for Generalized Multimodal Face Anti-Spoofing" (arXiv 2412.18065).
    The sequence is the class token of the first modality, then the patch tokens of all; attention runs over all of
    them. In each block, with a the stream after attention: `x = a + mlp(norm2 a) + up(experts(c; gate(c, P)))`,
    see `IsolatedGatingAdapter`; the class token gets nothing from the experts. The prompt P is made of the images
    and of the missing modalities, and changes from block to block beside the transformer. The up projections start
    at zero, so step 0 equals the plain trunk on the joint sequence.

    An absent modality is masked in the attention, zero for gate, experts and prompt, and left out of the result;
    its code bit is set. For modality dropout put `RandomModalityDropout` into the pipeline.

    The joint feature is the readout of the class token. With a trunk that reads the mean of its patches, it is the
    mean of these readouts over the present modalities. Per-modality features, which the paper does not have, are
    the readout of the mean patch token of each. Where the class token is read and no head looks at per-modality
    features, the experts of the last block change nothing, in the released model too.

    Differs from the released code, each by an argument: see `PromptOptions`, `ReleasedBlockOptions`, the start of
    the experts (`experts.std`), `mask_absent`; the final norm and the start of class token and positions are the
    trunk's. We had the paper's figure but not its text; the defaults follow the figure.

    Args:
        adapter_dims: Width r that tokens are projected down to.
        experts: Arguments of `ProductKeyExperts`: number, heads, top k, key width, start.
        losses: Weights of router losses, out of `'balance'` and `'router_z'`; each is averaged over the blocks.
        prompt: Arguments of `PromptOptions`.
        isolated_gate: Keep the prompt from the experts (ablation: False).
        dropout: Dropout probability before the up projection and in the bypass, in [0, 1).
        mask_absent: Ignore absent modalities; if False, their filled images are seen like any other.
        arithmetic: Arguments of `ReleasedBlockOptions`.
        spec: What the trunk yields; the model gives it.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If the trunk has no tokens, or an option is unknown or out of range.
    """

    needs_tokens = True
    mixes_modalities = True
    gives_confidence = False

    def __init__(
        self,
        adapter_dims: int = 8,
        *,
        experts: Mapping[str, Any] | None = None,
        losses: Mapping[str, float] | None = None,
        prompt: Mapping[str, Any] | None = None,
        isolated_gate: bool = True,
        dropout: float = 0.1,
        mask_absent: bool = True,
        arithmetic: Mapping[str, Any] | None = None,
        spec: StreamSpec | Mapping[str, Any],
        init_cfg: Any = None,
    ) -> None:
        super().__init__(spec=spec, init_cfg=init_cfg)
        self.losses = {name: weight for name, weight in (losses or {}).items() if weight}
        unknown = sorted(set(losses or {}) - set(ROUTER_LOSSES))
        if unknown:
            raise InputError(f'losses may weight {tuple(ROUTER_LOSSES)}, but got {unknown}')
        self.prompt = PromptOptions(**(prompt or {}))
        self.arithmetic = ReleasedBlockOptions(**(arithmetic or {}))
        self.mask_absent = mask_absent
        self.generator = PromptGenerator(self.spec, self.prompt)
        num_bypasses = self.spec.num_blocks - (not self.prompt.last_bypass) if self.prompt.bypass else 0
        self.adapters = nn.ModuleList(
            IsolatedGatingAdapter(
                self.spec,
                adapter_dims=adapter_dims,
                experts=experts or {},
                prompt=self.prompt,
                arithmetic=self.arithmetic,
                isolated=isolated_gate,
                dropout=dropout,
                makes_prompt=i < num_bypasses,
            )
            for i in range(self.spec.num_blocks)
        )

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config of a tiny neck with both router losses."""
        return dict(
            type='IsolatedGatingMoENeck',
            adapter_dims=4,
            experts=dict(num_experts=16, key_dims=4),
            losses=dict(balance=0.01, router_z=0.001),
            prompt=dict(dims=6),
            dropout=0.0,
        )

    @property
    def out_dims(self) -> int:
        """Width D = C of the joint feature."""
        return self.spec.embed_dims

    @property
    def num_experts(self) -> int:
        """Number E of experts in each block; `maps['expert_index']` holds numbers below it."""
        return len(modules_of(self.adapters, IsolatedGatingAdapter)[0].experts.table.up)

    def begin(self, streams: Tensor, ctx: FusionContext) -> tuple[Tensor, State]:
        """Join the streams (M, B, p + P, C) to one sequence (1, B, L', C) and make the prompt.

        The state also holds `prompt` (B, P, V), the sums of the router losses and, where absent modalities are
        masked, `key_mask` (1, B, L'); each block adds the experts taken to `expert_index` and `expert_weight`
        (blocks, B, P, H, T).
        """
        _, state = super().begin(streams, ctx)
        prefix = self.spec.num_prefix
        patches = streams[:, :, prefix:].transpose(0, 1)  # (B, M, P, C)
        sequence = torch.cat([streams[0, :, :prefix], patches.flatten(1, 2)], dim=1)[None]
        missing, images = ~ctx.present, ctx.images
        if self.mask_absent:
            images = zero_absent(images, ctx.present)
            keys = ctx.present.repeat_interleave(patches.shape[2], dim=1)
            state['key_mask'] = torch.cat([keys.new_ones(keys.shape[0], prefix), keys], dim=1)[None]
        else:
            state['present'] = torch.ones_like(ctx.present)
        bits = 2 ** torch.arange(missing.shape[1], device=missing.device)
        code = (missing * bits).sum(1) * int(self.training or self.prompt.code_at_test)
        state['prompt'] = self.generator(images, code, grid_of(state))
        for name in self.losses:
            state[name] = streams.new_zeros(())
        return sequence, state

    def block(self, index: int, block: Block, streams: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one block with its experts."""
        options, prefix = self.arithmetic, self.spec.num_prefix
        if options.post_norm:
            hidden = block.norm1(streams)
            hidden = x = block.norm2(hidden + block.attn(hidden, key_mask=state.get('key_mask')))
        else:
            x = streams + block.attn(block.norm1(streams), key_mask=state.get('key_mask'))
            hidden = block.norm2(x)
        sums, prompt, routing = self.adapters[index](
            x[0], (x + block.mlp(hidden))[0], state['prompt'], present=state['present'], grid=grid_of(state)
        )
        out = sums[None]
        if options.adapter_residual:
            out = out + x
        if options.double_cls:
            out = out + functional.pad(x[:, :, :prefix], (0, 0, 0, x.shape[2] - prefix))
        return out, {**state, 'prompt': prompt, **self._note(routing, state)}

    def _note(self, routing: Routing, state: State) -> State:
        """Add the experts taken in a block, and its router losses, to those of the blocks before."""
        taken = {'expert_index': routing.index[None], 'expert_weight': routing.weight.detach()[None]}
        if 'expert_index' in state:
            taken = {name: torch.cat([state[name], value]) for name, value in taken.items()}
        return {**taken, **{name: state[name] + ROUTER_LOSSES[name](routing) for name in self.losses}}

    def finish(self, streams: Tensor, state: State, readout: Callable[[Tensor], Tensor]) -> FusedFeatures:
        """Read the joint sequence out.

        Args:
            streams: Joint sequence (1, B, L', C).
            state: What the last block returned.
            readout: Readout of the trunk.

        Returns:
            Features; `maps` holds `expert_index` and `expert_weight` (N, B, h, w, H, T) of every block, and the
            last `prompt` (B, h, w, V).
        """
        prefix, present, grid = self.spec.num_prefix, state['present'], grid_of(state)
        patches = streams[0, :, prefix:].unflatten(1, (len(self.modalities), -1)).transpose(0, 1)
        cls = streams[:, :, :prefix].expand(len(patches), -1, -1, -1)
        features = zero_absent(readout(torch.cat([cls, patches], dim=2)), present)
        # a sequence of nothing but the mean token: whatever the trunk pools, it reads that one
        mean = patches.mean(2, keepdim=True).expand(-1, -1, prefix + 1, -1)
        maps = {name: state[name].unflatten(2, grid) for name in ('expert_index', 'expert_weight')}
        return FusedFeatures(
            fused=features.sum(0) / present.sum(1, keepdim=True).clamp(min=1),
            per_modality=zero_absent(readout(mean), present),
            aux_losses={name: weight * state[name] / len(self.adapters) for name, weight in self.losses.items()},
            maps={**maps, 'prompt': state['prompt'].detach().unflatten(1, grid)},
        )
