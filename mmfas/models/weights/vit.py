"""Rename foreign weights of vision transformers to mmpretrain's names, which `MultiStreamViT` reads.

Legend: C token width, L tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mmfas.utils.errors import InputError

_BLOCK = r'layers.\1'


@dataclass(frozen=True)
class NameRules:
    """How the names of one source become ours.

    Args:
        renames: (pattern, replacement) pairs; the first pattern that matches a whole name holds.
        ignored: Pattern of names that are not part of the trunk, such as classifier and text tower.
        required: One of our names that every file of this source gives.
    """

    renames: tuple[tuple[str, str], ...]
    ignored: str
    required: str = 'cls_token'


def _linear(theirs: str, ours: str) -> tuple[str, str]:
    """Rename weight and bias of a layer."""
    return rf'{theirs}\.(weight|bias)', rf'{ours}.\{re.compile(theirs).groups + 1}'


_TORCHVISION_BLOCK = r'encoder\.layers\.encoder_layer_(\d+)\.'
_TIMM_BLOCK = r'blocks\.(\d+)\.'
_OPENAI_BLOCK = r'transformer\.resblocks\.(\d+)\.'
_DINO_BLOCK = r'blocks\.(?:\d+\.)?(\d+)\.'  # files of several processes have the number of a chunk before it
_HF_DINO_BLOCK = r'encoder\.layer\.(\d+)\.'
_HF_BLOCK = r'vision_model\.encoder\.layers\.(\d+)\.'


def _timm_names(block: str, prefix: str = '') -> tuple[tuple[str, str], ...]:
    """Return the renames of timm's names, which DINOv2 and MAE have as well."""
    return (
        (prefix + '(cls_token|pos_embed)', r'\1'),
        (prefix + 'reg(?:ister)?_tokens?', 'register_tokens'),
        _linear(prefix + r'patch_embed\.proj', 'patch_embed.projection'),
        _linear(prefix + 'norm_pre', 'pre_norm'),
        _linear(prefix + block + 'norm1', rf'{_BLOCK}.ln1'),
        _linear(prefix + block + 'norm2', rf'{_BLOCK}.ln2'),
        _linear(prefix + block + r'attn\.qkv', rf'{_BLOCK}.attn.qkv'),
        _linear(prefix + block + r'attn\.proj', rf'{_BLOCK}.attn.proj'),
        _linear(prefix + block + r'mlp\.fc1', rf'{_BLOCK}.ffn.layers.0.0'),
        _linear(prefix + block + r'mlp\.fc2', rf'{_BLOCK}.ffn.layers.1'),
        _linear(prefix + block + r'mlp\.(w12|w3)', rf'{_BLOCK}.ffn.\2'),
        (prefix + block + r'ls1\.gamma', rf'{_BLOCK}.attn.gamma1.weight'),
        (prefix + block + r'ls2\.gamma', rf'{_BLOCK}.ffn.gamma2.weight'),
        _linear(prefix + 'norm', 'ln1'),
        _linear(prefix + 'fc_norm', 'ln2'),
    )


def _hf_names() -> tuple[tuple[str, str], ...]:
    """Return the renames of the blocks of Hugging Face's CLIP and SigLIP."""
    return (
        (r'vision_model\.embeddings\.position_embedding\.weight', 'pos_embed'),
        _linear(r'vision_model\.embeddings\.patch_embedding', 'patch_embed.projection'),
        _linear(r'vision_model\.post_layernorm', 'ln1'),
        _linear(_HF_BLOCK + 'layer_norm1', rf'{_BLOCK}.ln1'),
        _linear(_HF_BLOCK + 'layer_norm2', rf'{_BLOCK}.ln2'),
        (_HF_BLOCK + r'self_attn\.([qkv])_proj\.(weight|bias)', rf'{_BLOCK}.attn.\2.\3'),
        _linear(_HF_BLOCK + r'self_attn\.out_proj', rf'{_BLOCK}.attn.proj'),
        _linear(_HF_BLOCK + r'mlp\.fc1', rf'{_BLOCK}.ffn.layers.0.0'),
        _linear(_HF_BLOCK + r'mlp\.fc2', rf'{_BLOCK}.ffn.layers.1'),
    )


def _hf_dinov2_names() -> tuple[tuple[str, str], ...]:
    """Return the renames of Hugging Face's DINOv2, with the name of a model before them or without."""
    prefix = r'(?:\w+\.)?'
    block = prefix + _HF_DINO_BLOCK
    return (
        (prefix + r'embeddings\.(cls_token|register_tokens)', r'\1'),
        (prefix + r'embeddings\.position_embeddings', 'pos_embed'),
        _linear(prefix + r'embeddings\.patch_embeddings\.projection', 'patch_embed.projection'),
        _linear(block + 'norm1', rf'{_BLOCK}.ln1'),
        _linear(block + 'norm2', rf'{_BLOCK}.ln2'),
        (block + r'attention\.attention\.([qkv])[a-z]+\.(weight|bias)', rf'{_BLOCK}.attn.\2.\3'),
        _linear(block + r'attention\.output\.dense', rf'{_BLOCK}.attn.proj'),
        _linear(block + r'mlp\.fc1', rf'{_BLOCK}.ffn.layers.0.0'),
        _linear(block + r'mlp\.fc2', rf'{_BLOCK}.ffn.layers.1'),
        _linear(block + r'mlp\.weights_in', rf'{_BLOCK}.ffn.w12'),
        _linear(block + r'mlp\.weights_out', rf'{_BLOCK}.ffn.w3'),
        (block + r'layer_scale1\.lambda1', rf'{_BLOCK}.attn.gamma1.weight'),
        (block + r'layer_scale2\.lambda1', rf'{_BLOCK}.ffn.gamma2.weight'),
        _linear(prefix + 'layernorm', 'ln1'),
    )


#: Source of weights -> how its names become ours.
SOURCE_RULES: dict[str, NameRules] = {
    'torchvision': NameRules(
        renames=(
            ('class_token', 'cls_token'),
            (r'encoder\.pos_embedding', 'pos_embed'),
            _linear('conv_proj', 'patch_embed.projection'),
            _linear(_TORCHVISION_BLOCK + 'ln_1', rf'{_BLOCK}.ln1'),
            _linear(_TORCHVISION_BLOCK + 'ln_2', rf'{_BLOCK}.ln2'),
            (_TORCHVISION_BLOCK + r'self_attention\.in_proj_(weight|bias)', rf'{_BLOCK}.attn.qkv.\2'),
            _linear(_TORCHVISION_BLOCK + r'self_attention\.out_proj', rf'{_BLOCK}.attn.proj'),
            # torchvision renamed the two layers of its MLP in version 0.13
            _linear(_TORCHVISION_BLOCK + r'mlp\.(?:0|linear_1)', rf'{_BLOCK}.ffn.layers.0.0'),
            _linear(_TORCHVISION_BLOCK + r'mlp\.(?:3|linear_2)', rf'{_BLOCK}.ffn.layers.1'),
            _linear(r'encoder\.ln', 'ln1'),
        ),
        ignored=r'heads\..*',
    ),
    'timm': NameRules(renames=_timm_names(_TIMM_BLOCK), ignored=r'(head|head_dist|pre_logits)\..*'),
    'dinov2': NameRules(renames=_timm_names(_DINO_BLOCK), ignored=r'mask_token|(head|ibot_head|dino_head)\..*'),
    # whatever is put on top: a classifier, or the decoder of a further task
    'hf_dinov2': NameRules(
        renames=_hf_dinov2_names(), ignored=r'.*embeddings\.mask_token|(classifier|head|decoder)\..*'
    ),
    'mae': NameRules(renames=_timm_names(_TIMM_BLOCK), ignored=r'mask_token|decoder_.*|head\..*'),
    'openai_clip': NameRules(
        renames=(
            (r'visual\.class_embedding', 'cls_token'),
            (r'visual\.positional_embedding', 'pos_embed'),
            (r'visual\.conv1\.weight', 'patch_embed.projection.weight'),
            (r'visual\.proj', 'projection.weight'),
            _linear(r'visual\.ln_pre', 'pre_norm'),
            _linear(r'visual\.ln_post', 'ln1'),
            _linear(rf'visual\.{_OPENAI_BLOCK}ln_1', rf'{_BLOCK}.ln1'),
            _linear(rf'visual\.{_OPENAI_BLOCK}ln_2', rf'{_BLOCK}.ln2'),
            (rf'visual\.{_OPENAI_BLOCK}attn\.in_proj_(weight|bias)', rf'{_BLOCK}.attn.qkv.\2'),
            _linear(rf'visual\.{_OPENAI_BLOCK}attn\.out_proj', rf'{_BLOCK}.attn.proj'),
            _linear(rf'visual\.{_OPENAI_BLOCK}mlp\.c_fc', rf'{_BLOCK}.ffn.layers.0.0'),
            _linear(rf'visual\.{_OPENAI_BLOCK}mlp\.c_proj', rf'{_BLOCK}.ffn.layers.1'),
        ),
        # the text tower stands beside the image tower, without a prefix
        ignored=r'(?!visual\.).*',
    ),
    'hf_clip': NameRules(
        renames=(
            (r'vision_model\.embeddings\.class_embedding', 'cls_token'),
            (r'visual_projection\.weight', 'projection.weight'),
            _linear(r'vision_model\.pre_layrnorm', 'pre_norm'),  # the misspelling is theirs
            *_hf_names(),
        ),
        ignored=r'text_model\..*|text_projection\..*|logit_scale|.*position_ids',
    ),
    # of Hugging Face, or of open_clip, which has a model of timm inside; pooling by attention is left out
    'siglip': NameRules(
        renames=(*_hf_names(), *_timm_names(_TIMM_BLOCK, r'visual\.trunk\.')),
        ignored=r'vision_model\.head\..*|visual\.trunk\.attn_pool\..*|text(_model)?\..*|logit_.*|.*position_ids',
        required='pos_embed',
    ),
}


def convert_vit(state_dict: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Convert the weights of a vision transformer to mmpretrain's names.

    Args:
        state_dict: Names -> tensors of the source.
        source: One of `SOURCE_RULES`: `'torchvision'`, `'timm'`, `'dinov2'`, `'hf_dinov2'`, `'mae'`,
            `'openai_clip'`, `'hf_clip'` or `'siglip'`.

    Returns:
        Names -> float32 tensors; `projection.weight` (out, C) too, where the source projects its class token.

    Raises:
        ValueError: If the source is unknown, or a name does not belong to it.

    >>> convert_vit({'class_token': torch.zeros(1, 1, 4), 'heads.head.bias': torch.zeros(2)}, 'torchvision').keys()
    dict_keys(['cls_token'])
    """
    if source not in SOURCE_RULES:
        raise InputError(f'source must be one of {tuple(SOURCE_RULES)}, but got {source!r}')
    converted, unknown = {}, []
    for name, value in state_dict.items():
        ours = _rename(name, SOURCE_RULES[source].renames)
        if ours is not None:
            converted[ours] = value.float()
        elif not re.fullmatch(SOURCE_RULES[source].ignored, name):
            unknown.append(name)
    if unknown or SOURCE_RULES[source].required not in converted:
        raise InputError(
            f'this is not a vision transformer of {source}: {len(converted)} names were understood, '
            f'{len(unknown)} not, such as {unknown[:5]}; is the source right?'
        )
    return _pack_qkv(_SHAPERS.get(source, dict)(converted))


def _rename(name: str, renames: tuple[tuple[str, str], ...]) -> str | None:
    """Apply the first rule that matches the whole name."""
    for pattern, replacement in renames:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(replacement)
    return None


def _shape_clip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give class token and positions their leading dimensions."""
    return {**state, 'cls_token': state['cls_token'].view(1, 1, -1), 'pos_embed': state['pos_embed'][None]}


def _shape_siglip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give positions of Hugging Face their leading dimension."""
    positions = state['pos_embed']
    return {**state, 'pos_embed': positions if positions.dim() == 3 else positions[None]}


def _shape_openai(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Also turn the projection, which OpenAI multiplies from the right (C, out)."""
    state = _shape_clip(state)
    if 'projection.weight' in state:
        state['projection.weight'] = state['projection.weight'].t().contiguous()
    return state


def _pack_qkv(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Join separate projections of query, key and value."""
    packed = {}
    for name, value in state.items():
        separate = re.fullmatch(r'(.*\.attn\.)([qkv])\.(weight|bias)', name)
        if separate is None:
            packed[name] = value
        elif separate[2] == 'q':
            parts = [state[f'{separate[1]}{part}.{separate[3]}'] for part in 'qkv']
            packed[f'{separate[1]}qkv.{separate[3]}'] = torch.cat(parts)
    return packed


_SHAPERS: dict[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {
    'openai_clip': _shape_openai,
    'hf_clip': _shape_clip,
    'siglip': _shape_siglip,
}
