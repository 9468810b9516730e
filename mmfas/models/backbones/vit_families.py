"""How transformers of several families are taken apart: embedding, blocks, norms.

Legend: M modalities, N leading entries, L tokens, A tokens before the patches, P patches, C token width, H heads,
E width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from mmfas.models.backbones.stream_embedding import EmbeddingParts
from mmfas.models.backbones.vit_block import ViTBlock
from mmfas.models.backbones.vit_layers import BEiTBlock, EVA02Block, TimmBlock
from mmfas.registry import MODELS
from mmfas.utils.errors import InputError

#: What to take instead of a network that cannot be fused block by block.
REMEDY = 'use mmpretrain.VisionTransformer or a subclass of it, or MultiStreamCNN for a network of feature maps'


class ViTFamily:
    """mmpretrain's VisionTransformer and what is built like it; it holds no weights and no state."""

    #: What the streams take from a transformer and from its layers.
    parts: tuple[str, ...] = (
        'patch_embed', 'cls_token', 'pos_embed', 'drop_after_pos', 'pre_norm', 'layers', 'interpolate_mode',
        'img_size', 'embed_dims', 'final_norm',
    )  # fmt: skip
    layer_parts: tuple[str, ...] = (
        'ln1', 'ln2', 'ffn', 'attn.qkv', 'attn.num_heads', 'attn.proj', 'attn.proj_drop', 'attn.gamma1',
        'attn.out_drop',
    )  # fmt: skip
    #: Whether there are absolute positions always.
    needs_positions = True
    #: Argument that says what the network yields, and our poolings in its words; the trunk sets it.
    pooling_argument: str | None = 'out_type'
    #: Whether a config may add register tokens.
    takes_registers = True
    #: Prefix of the weights within the trunk, and names of a file -> those of the embedding.
    prefix = 'vit.'
    embedding_names = {
        'patch_embed.projection.weight': 'embedding.patch_weight',
        'patch_embed.projection.bias': 'embedding.patch_bias',
        'cls_token': 'embedding.cls_token',
        'dist_token': 'embedding.dist_token',
        'register_tokens': 'embedding.registers',
        'pos_embed': 'embedding.pos_embed',
    }
    #: Names of a file that belong to no trunk.
    ignored: tuple[str, ...] = ()

    def problems(self, vit: Any, pooling: str) -> Iterator[str]:
        """Say why a transformer cannot be fused block by block; the first reason counts."""
        missing = [name for name in self.parts if not hasattr(vit, name)]
        layers = (
            []
            if 'layers' in missing
            else list(vit.layers)
            if isinstance(vit.layers, nn.ModuleList | nn.Sequential)
            else []
        )
        if not layers and 'layers' not in missing:
            missing.append('encoder layers')
        for name in self.layer_parts if layers else ():
            part: Any = layers[0]
            for step in name.split('.'):
                part = getattr(part, step, None)
            if part is None:
                missing.append(f'layers.{name}')
        if self.needs_positions and 'pos_embed' not in missing and vit.pos_embed is None:
            missing.append('absolute positions (pos_embed)')
        if missing:
            yield f'has no {", ".join(missing)}, which the streams need; {REMEDY}'
        elif getattr(vit, 'num_extra_tokens', 0) > self.num_read(vit):
            yield f'has more than a class token before its patches; {REMEDY}'

    def num_read(self, vit: Any) -> int:
        """Return how many tokens make up the class token: their mean is read."""
        return 1

    def embedding(self, vit: Any) -> EmbeddingParts:
        """Return what turns images into tokens."""
        tokens = {name: getattr(vit, name, None) for name in ('cls_token', 'dist_token')}
        prefix = {name: token for name, token in tokens.items() if token is not None}
        return EmbeddingParts(
            conv=vit.patch_embed.projection,
            norm=vit.patch_embed.norm,
            base_grid=tuple(vit.patch_embed.init_out_size),
            prefix=prefix,
            num_positioned=len(prefix),
            pos_embed=vit.pos_embed,
            pad_to_stride=vit.patch_embed.adaptive_padding is not None,
            mode=vit.interpolate_mode,
        )

    def strip(self, vit: Any) -> None:
        """Take out what the embedding has copies of: tensors that no gradient would reach."""
        vit.patch_embed = vit.cls_token = vit.pos_embed = None
        _forget_distillation(vit)

    def layers(self, vit: Any) -> Sequence[nn.Module]:
        """Return the encoder layers."""
        return vit.layers

    def blocks(self, vit: Any, embedding: Any) -> list[ViTBlock]:
        """Return views of the encoder layers."""
        return [ViTBlock(layer) for layer in vit.layers]

    def width(self, vit: Any) -> int:
        """Return the token width C."""
        return vit.embed_dims

    def image_size(self, vit: Any) -> tuple[int, int]:
        """Return rows and columns of the images it was made for."""
        rows, columns = vit.img_size
        return rows, columns

    def fixes_size(self, vit: Any) -> bool:
        """Tell whether images must have that size."""
        return False

    def positions(self, vit: Any) -> list[nn.Module]:
        """Return what else holds positions, of all blocks."""
        return []

    def before(self, vit: Any) -> tuple[nn.Module, nn.Module]:
        """Return dropout and norm before the first block."""
        return vit.drop_after_pos, vit.pre_norm

    def norms(self, vit: Any) -> tuple[nn.Module, nn.Module]:
        """Return the norm of the tokens that are read, and the norm after pooling."""
        return vit.ln1 if vit.final_norm else nn.Identity(), getattr(vit, 'ln2', nn.Identity())


class DistilledFamily(ViTFamily):
    """mmpretrain's DeiT with a distillation token: the mean of both tokens is read, as its head averages."""

    takes_registers = False

    def num_read(self, vit: Any) -> int:
        """Return 2: class and distillation token."""
        return 2


class DeiT3Family(ViTFamily):
    """mmpretrain's DeiT III, whose layers never run their second norm."""

    def problems(self, vit: Any, pooling: str) -> Iterator[str]:
        """Refuse it: weights of DeiT III would not give its features."""
        yield (
            'never runs the second norm of its layers, so weights of DeiT III do not give its features; '
            "take dict(type='mmpretrain.TIMMBackbone', model_name='deit3_small_patch16_224')"
        )


class BEiTFamily(ViTFamily):
    """mmpretrain's BEiT: relative positions in the attention, for images of one size."""

    parts = tuple(name for name in ViTFamily.parts if name != 'pre_norm')
    layer_parts = (
        'ln1', 'ln2', 'ffn', 'attn.qkv', 'attn.num_heads', 'attn.proj', 'attn.proj_drop', 'drop_path',
    )  # fmt: skip
    needs_positions = False
    takes_registers = False

    def problems(self, vit: Any, pooling: str) -> Iterator[str]:
        """Say why a transformer cannot be fused block by block."""
        yield from super().problems(vit, pooling)
        if self.fixes_size(vit) and vit.cls_token is None:
            yield 'has relative positions that include a class token; leave with_cls_token out'

    def blocks(self, vit: Any, embedding: Any) -> list[ViTBlock]:
        """Return views of the encoder layers; a table of positions that they share goes to each."""
        shared, number = vit.rel_pos_bias, embedding.num_prefix
        return [BEiTBlock(layer, shared=shared, num_prefix=number) for layer in vit.layers]

    def fixes_size(self, vit: Any) -> bool:
        """Tell whether there are relative positions."""
        return bool(vit.use_rel_pos_bias) or vit.rel_pos_bias is not None

    def positions(self, vit: Any) -> list[nn.Module]:
        """Return the table of relative positions that all blocks share, if there is one."""
        return [] if vit.rel_pos_bias is None else [vit.rel_pos_bias]

    def before(self, vit: Any) -> tuple[nn.Module, nn.Module]:
        """Return the dropout; there is no norm."""
        return vit.drop_after_pos, nn.Identity()


class EVA02Family(ViTFamily):
    """mmpretrain's EVA-02: queries and keys of patches are turned by their positions."""

    layer_parts = (
        'norm1', 'norm2', 'mlp', 'attn.qkv', 'attn.num_heads', 'attn.proj', 'attn.proj_drop', 'drop_path',
    )  # fmt: skip
    takes_registers = False

    def blocks(self, vit: Any, embedding: Any) -> list[ViTBlock]:
        """Return views of the encoder layers."""
        return [EVA02Block(layer, rope=vit.rope, num_prefix=embedding.num_prefix) for layer in vit.layers]

    def fixes_size(self, vit: Any) -> bool:
        """Return True: the angles belong to one grid."""
        return True


class TimmFamily(ViTFamily):
    """timm's VisionTransformer inside mmpretrain's `TIMMBackbone`: ViT, DeiT, DeiT III, DINOv2, CLIP, SigLIP."""

    pooling_argument = None
    takes_registers = False
    prefix = 'vit.timm_model.'
    embedding_names = {
        'patch_embed.proj.weight': 'embedding.patch_weight',
        'patch_embed.proj.bias': 'embedding.patch_bias',
        'cls_token': 'embedding.cls_token',
        'dist_token': 'embedding.dist_token',
        'reg_token': 'embedding.registers',
        'pos_embed': 'embedding.pos_embed',
    }
    ignored = ('head.', 'head_dist.', 'attn_pool.')

    def problems(self, vit: Any, pooling: str) -> Iterator[str]:
        """Say why a model of timm cannot be fused block by block."""
        from timm.layers import PatchEmbed
        from timm.models.deit import VisionTransformerDistilled
        from timm.models.vision_transformer import Attention, Block, VisionTransformer

        inner = vit.timm_model
        if type(inner) not in (VisionTransformer, VisionTransformerDistilled):
            yield (
                f'holds a {type(inner).__name__} of timm, of whose blocks the streams know nothing; take a timm '
                'VisionTransformer (vit_*, deit_*, deit3_*), mmpretrain.BEiTViT or mmpretrain.ViTEVA02, or '
                'MultiStreamCNN for a network of feature maps'
            )
            return
        first = inner.blocks[0]
        if type(first) is not Block or type(first.attn) is not Attention:
            name = type(first).__name__ if type(first) is not Block else type(first.attn).__name__
            yield f'has blocks of the kind {name}, which has no attention and MLP one after the other'
        elif type(inner.patch_embed) is not PatchEmbed or not isinstance(inner.patch_drop, nn.Identity):
            yield 'does not embed every patch by one convolution; leave embed_layer and patch_drop_rate out'
        elif inner.pos_embed is None:
            yield f'has no absolute positions (pos_embed), which the streams need; {REMEDY}'
        elif pooling == 'cls' and inner.cls_token is None:
            yield "has no class token; take pooling='mean'"
        elif pooling == 'mean' and getattr(inner, 'pool_include_prefix', False):
            yield 'pools over tokens before the patches too; leave pool_include_prefix out'

    def num_read(self, vit: Any) -> int:
        """Return 2 with a distillation token, else 1."""
        return 1 + (getattr(vit.timm_model, 'dist_token', None) is not None)

    def embedding(self, vit: Any) -> EmbeddingParts:
        """Return what turns images into tokens."""
        inner = vit.timm_model
        named = dict(cls_token='cls_token', dist_token='dist_token', registers='reg_token')
        found = {ours: getattr(inner, theirs, None) for ours, theirs in named.items()}
        prefix = {name: token for name, token in found.items() if token is not None}
        number = sum(token.shape[1] for token in prefix.values())
        patches = inner.patch_embed
        return EmbeddingParts(
            conv=patches.proj,
            norm=None if isinstance(patches.norm, nn.Identity) else patches.norm,
            base_grid=tuple(patches.grid_size),
            prefix=prefix,
            num_positioned=0 if getattr(inner, 'no_embed_class', False) else number,
            pos_embed=inner.pos_embed,
            pad_to_stride=patches.dynamic_img_pad,
            mode='bicubic',
            antialias=True,
        )

    def strip(self, vit: Any) -> None:
        """Take out what the embedding has copies of, and what comes after the features."""
        inner = vit.timm_model
        inner.patch_embed = inner.cls_token = inner.pos_embed = inner.reg_token = inner.attn_pool = None
        _forget_distillation(inner)

    def layers(self, vit: Any) -> Sequence[nn.Module]:
        """Return the encoder layers."""
        return vit.timm_model.blocks

    def blocks(self, vit: Any, embedding: Any) -> list[ViTBlock]:
        """Return views of the encoder layers."""
        return [TimmBlock(layer) for layer in vit.timm_model.blocks]

    def width(self, vit: Any) -> int:
        """Return the token width C."""
        return vit.timm_model.embed_dim

    def image_size(self, vit: Any) -> tuple[int, int]:
        """Return rows and columns of the images it was made for."""
        rows, columns = vit.timm_model.patch_embed.img_size
        return rows, columns

    def before(self, vit: Any) -> tuple[nn.Module, nn.Module]:
        """Return dropout and norm before the first block."""
        return vit.timm_model.pos_drop, getattr(vit.timm_model, 'norm_pre', nn.Identity())

    def norms(self, vit: Any) -> tuple[nn.Module, nn.Module]:
        """Return the norm of the tokens that are read, and the norm after pooling; timm has one of the two."""
        return vit.timm_model.norm, getattr(vit.timm_model, 'fc_norm', nn.Identity())


#: Network of mmpretrain -> its family; the first of which a network is an instance counts.
FAMILIES: dict[str, ViTFamily] = {
    'TIMMBackbone': TimmFamily(),
    'BEiTViT': BEiTFamily(),
    'ViTEVA02': EVA02Family(),
    'DeiT3': DeiT3Family(),
    'DistilledVisionTransformer': DistilledFamily(),
}
_PLAIN = ViTFamily()


def _forget_distillation(network: Any) -> None:
    """Take out the distillation token; networks that have one draw it anew when they initialise their weights."""
    if getattr(network, 'dist_token', None) is not None:
        del network.dist_token
        network.register_buffer('dist_token', torch.zeros(1, 1, 1), persistent=False)


def family_of_type(kind: type) -> ViTFamily:
    """Return how networks of a class are taken apart; a class of its own is taken for a VisionTransformer."""
    known = ((MODELS.get(f'mmpretrain.{name}'), family) for name, family in FAMILIES.items())
    return next((family for cls, family in known if cls is not None and issubclass(kind, cls)), _PLAIN)


def add_registers(parts: EmbeddingParts, number: int) -> EmbeddingParts:
    """Add register tokens behind the class token, without positions, as DINOv2 has them.

    Args:
        parts: What turns images into tokens.
        number: Number of register tokens, at least 1.

    Raises:
        ValueError: If the number is none.
    """
    if not isinstance(number, int) or number < 1:
        raise InputError(f'`vit.num_registers` must be an integer of at least 1, but got {number!r}')
    width = parts.conv.weight.shape[0]
    start = nn.init.trunc_normal_(torch.empty(1, number, width), std=0.02)
    return EmbeddingParts(**{**vars(parts), 'prefix': {**parts.prefix, 'registers': start}})
