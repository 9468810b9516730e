"""Weights of the released MMDA code in the names and shapes of mmfas, and back.

The adaptor is all that comes after CLIP: MD2A, U-DSA, classifier. A checkpoint of the released trainer holds CLIP
(`model.`) and adaptor (`adapter.`). Legend: C width, K anchors, d levels of the U.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from mmfas.models.backbones.pretrained import EMBEDDING_NAMES
from mmfas.models.heads.text_anchors import read_prompts
from mmfas.models.heads.text_tower import TextTower
from mmfas.models.weights.names import check_names, count_names
from mmfas.models.weights.vit import convert_vit
from mmfas.structures import LIVE
from mmfas.utils.errors import InputError

#: Where a checkpoint of the released trainer keeps CLIP and the adaptor.
_CLIP, _ADAPTOR = 'model.', 'adapter.'

#: What our model has and the adaptor has not: anchors, a bank of references and, in CLIP, the scale of cosines.
_OWN = ('head.anchors.embeddings', 'head.log_scale', 'neck.bank')
#: Buffers of every released router: thresholds that the release sets to these values and never changes.
_THRESHOLDS = ('gate.threshold_train', 'gate.threshold_eval')
_THRESHOLD_VALUES = (1e-9, 0.2)
_NUM_FFN, _NUM_CONSTANT = 4, 3


#: Layers of a trunk -> those of the image tower in CLIP, without the prefix `visual.`; `{}` is the block.
_BLOCK = r'vit\.layers\.(\d+)\.'
_TOWER = {
    r'vit\.pre_norm\.': 'ln_pre.',
    r'vit\.ln1\.': 'ln_post.',
    rf'{_BLOCK}ln1\.': 'transformer.resblocks.{}.ln_1.',
    rf'{_BLOCK}ln2\.': 'transformer.resblocks.{}.ln_2.',
    rf'{_BLOCK}attn\.qkv\.': 'transformer.resblocks.{}.attn.in_proj_',
    rf'{_BLOCK}attn\.proj\.': 'transformer.resblocks.{}.attn.out_proj.',
    rf'{_BLOCK}ffn\.layers\.0\.0\.': 'transformer.resblocks.{}.mlp.c_fc.',
    rf'{_BLOCK}ffn\.layers\.1\.': 'transformer.resblocks.{}.mlp.c_proj.',
}
_EMBEDDINGS = {
    'embedding.cls_token': 'class_embedding',
    'embedding.pos_embed': 'positional_embedding',
    'embedding.patch_weight': 'conv1.weight',
}


class _Entry(NamedTuple):
    """One of our tensors: theirs, joined along the first axis (`'cat'`) or a new one (`'stack'`)."""

    ours: str
    theirs: tuple[str, ...]
    join: str = 'cat'


def _layers(ours: str, theirs: str, **names: str) -> Iterator[_Entry]:
    """List weight and bias of layers that are only renamed."""
    for our_name, their_name in names.items():
        for kind in ('weight', 'bias'):
            yield _Entry(f'{ours}.{our_name}.{kind}', (f'{theirs}.{their_name}.{kind}',))


def _mixture(ours: str, theirs: str) -> Iterator[_Entry]:
    """List the tensors of one mixture of experts."""
    experts = [f'{theirs}.experts.experts.{i}' for i in range(_NUM_FFN + _NUM_CONSTANT)]
    yield _Entry(f'{ours}.router.weight', (f'{theirs}.gate.to_gates.weight',))
    for our_name, their_name in (
        ('norm_weight', 'net.0.weight'),
        ('expand.weight', 'net.1.weight'),
        ('expand.bias', 'net.1.bias'),
        ('scale', 'net.2.mult_bias'),
        ('contract.weight', 'net.3.weight'),
        ('contract.bias', 'net.3.bias'),
    ):
        names = tuple(f'{expert}.{their_name}' for expert in experts[:_NUM_FFN])
        yield _Entry(f'{ours}.experts.{our_name}', names, 'stack')
    yield _Entry(f'{ours}.constants', tuple(f'{expert}.const' for expert in experts[_NUM_FFN:]), 'stack')


def _entries(num_levels: int) -> Iterator[_Entry]:
    """List all tensors of an adaptor with d levels."""
    yield from _layers('neck', 'fusion', norm1='ln1', norm2='ln2', project='proj')
    attention = 'neck.attention'
    yield _Entry(f'{attention}.query_key.weight', ('fusion.attn.w_qs.weight', 'fusion.attn.w_ks.weight'))
    yield _Entry(
        f'{attention}.reference_query_key.weight', ('fusion.attn.w_dqs.weight', 'fusion.attn.w_dks.weight')
    )
    yield _Entry(f'{attention}.value.weight', ('fusion.attn.w_vs.weight',))
    yield _Entry(f'{attention}.norm.weight', ('fusion.attn.ln.weight',))
    yield _Entry(
        f'{attention}.lambdas', tuple(f'fusion.attn.lambda_{n}' for n in ('q1', 'k1', 'q2', 'k2')), 'stack'
    )
    yield from _mixture('neck.experts', 'fusion.net')
    for ours, theirs in (('adapt', 'refine'), ('remap', 'remapping')):
        for i in range(num_levels):
            block, their_block = f'head.u_dsa.{ours}.{i}', f'u_align.{theirs}.{i}'
            yield from _layers(block, their_block, norm1='ln1', norm2='ln2', project='attn.out_proj')
            for kind in ('weight', 'bias'):
                yield _Entry(f'{block}.qkv.{kind}', (f'{their_block}.attn.in_proj_{kind}',))
            yield from _mixture(f'{block}.experts', f'{their_block}.to_feature')
    yield from _mixture('head.mixture', 'classifier.net')
    yield from _layers('head', 'classifier', classifier='proj')


def _routers(num_levels: int) -> list[str]:
    """List the released mixtures, which have thresholds."""
    levels = [f'u_align.{path}.{i}.to_feature' for path in ('refine', 'remapping') for i in range(num_levels)]
    return ['fusion.net', *levels, 'classifier.net']


def released_mmda_to_mmfas(
    state_dict: Mapping[str, Tensor], *, anchors: Tensor | None = None, logit_scale: float | None = None
) -> dict[str, Tensor]:
    """Convert weights of the release to ours.

    They fit a `MultiModalFAS` with `MD2ANeck` and `TextAlignHead`, such as
    `configs/_base_/models/mmda_clip_vit_base_p16_released.py`. The adaptor alone fills neck and head; its trunk
    takes the image tower of CLIP, see `mmfas weights convert`. A checkpoint of the trainer fills all three: the
    anchors are its `released_prompts`, encoded with its own text tower.

    Args:
        state_dict: Names -> tensors of the release, any number of levels: the adaptor, with CLIP's `logit_scale`
            beside it or without, or a whole checkpoint (`model.` is CLIP in the names of OpenAI, `adapter.` the
            adaptor).
        anchors: Anchors (K, C), spoof first. Without them, and without a text tower, none are converted: the head
            keeps those it has.
        logit_scale: Factor of the cosines; that of the file if None, or the 100 that CLIP starts from.

    Returns:
        Names -> tensors of ours.

    Raises:
        ValueError: If names are missing or left over, or the anchors have another width than the adaptor.
        ModuleNotFoundError: If prompts must be encoded, but open_clip is not installed.
    """
    clip, adaptor = _split(state_dict)
    ours = _from_adaptor(adaptor)
    if any(name.startswith('visual.') for name in clip):
        ours |= _trunk_of(clip)
        if anchors is None and 'text_projection' in clip:
            anchors = _encode_prompts(clip)
    bias = ours['head.classifier.bias']
    if logit_scale is None and 'logit_scale' in clip:
        ours['head.log_scale'] = clip['logit_scale'].to(bias.dtype).reshape(())  # a logarithm there too
    else:
        ours['head.log_scale'] = bias.new_tensor(math.log(100.0 if logit_scale is None else logit_scale))
    width = ours['head.classifier.weight'].shape[1]
    if anchors is not None and (anchors.dim() != 2 or anchors.shape[1] != width):
        raise InputError(f'anchors must be (K, {width}), as wide as the adaptor, got {tuple(anchors.shape)}')
    return ours if anchors is None else {**ours, 'head.anchors.embeddings': anchors}


def released_prompts() -> dict[int, list[str]]:
    """Return the prompts of the public code, label -> texts: 24 spoof and 23 live.

    A missing comma joins the last live prompt of MMDA and the first one of FLIP.
    """
    prompts = read_prompts()
    live = prompts[LIVE]
    joined = live.index('This is an example of a real face')
    return {**prompts, LIVE: [*live[: joined - 1], live[joined - 1] + live[joined], *live[joined + 1 :]]}


def _split(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Part the weights of the release into those of CLIP and those of the adaptor."""
    if not any(name.startswith(_ADAPTOR) for name in state_dict):
        clip = {name: value for name, value in state_dict.items() if name == 'logit_scale'}
        return clip, {name: value for name, value in state_dict.items() if name not in clip}
    clip, adaptor = (
        {name[len(prefix) :]: value for name, value in state_dict.items() if name.startswith(prefix)}
        for prefix in (_CLIP, _ADAPTOR)
    )
    left = sorted(name for name in state_dict if not name.startswith((_CLIP, _ADAPTOR)))
    missing = [name for name in ('visual.class_embedding', 'logit_scale') if name not in clip]
    if missing or left:
        raise InputError(
            f"this is no checkpoint of the MMDA trainer, which holds '{_ADAPTOR}' and, below '{_CLIP}', CLIP: "
            f'missing are {[_CLIP + name for name in missing]}, left over are {left[:3]}'
        )
    return clip, adaptor


def _trunk_of(clip: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make the weights of a trunk with one encoder for all modalities out of the image tower of CLIP."""
    ours = {}
    for name, value in convert_vit(clip, 'openai_clip').items():
        renamed = EMBEDDING_NAMES.get(name, name if name.startswith('projection.') else f'vit.{name}')
        ours[f'trunk.{renamed}'] = value[None] if renamed == 'embedding.patch_weight' else value
    return ours


@torch.no_grad()
def _encode_prompts(clip: Mapping[str, Tensor]) -> Tensor:
    """Encode the released prompts (47, C) with the text tower of a CLIP, whose sizes its weights tell."""
    length, width = clip['positional_embedding'].shape
    sizes = dict(
        embed_dim=clip['text_projection'].shape[1],
        context_length=length,
        vocab_size=clip['token_embedding.weight'].shape[0],
        width=width,
        heads=max(width // 64, 1),  # as CLIP has it at every size
        layers=count_names(clip, r'transformer\.resblocks\.(\d+)\.ln_1\.weight'),
    )
    tower = TextTower([text for own in released_prompts().values() for text in own], arch=sizes)
    tower.load_clip(clip)
    return tower.eval()()


def _from_adaptor(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the adaptor to neck and head, without scale and anchors."""
    num_levels = count_names(state_dict, r'u_align\.refine\.(\d+)\.ln1\.weight')
    entries = list(_entries(num_levels))
    thresholds = {f'{router}.{name}' for router in _routers(num_levels) for name in _THRESHOLDS}
    wanted = {name for entry in entries for name in entry.theirs} | thresholds
    check_names(state_dict, wanted, 'the adaptor of released MMDA')
    ours = {}
    for entry in entries:
        parts = [state_dict[name] for name in entry.theirs]
        ours[entry.ours] = torch.stack(parts) if entry.join == 'stack' else torch.cat(parts)
    return ours


def mmfas_to_released_mmda(state_dict: Mapping[str, Tensor], *, with_clip: bool = False) -> dict[str, Tensor]:
    """Convert a state dict of ours to the release.

    Args:
        state_dict: Names -> tensors of a model as `released_mmda_to_mmfas` describes it.
        with_clip: Write a checkpoint of the trainer: the adaptor below `adapter.`, and below `model.` what a
            model of ours has of CLIP, its image tower, `logit_scale`, and the text tower where it was trained.
            If False, the adaptor alone; trunk, anchors, text tower and scale are left out.

    Returns:
        Names -> tensors of the release.

    Raises:
        ValueError: If names are missing or left over, or the trunk is no image tower of CLIP.
    """
    clip = ('trunk.', 'head.anchors.tower.')
    given = {name: value for name, value in state_dict.items() if not name.startswith(clip)}
    num_levels = count_names(given, r'head\.u_dsa\.adapt\.(\d+)\.norm1\.weight')
    entries = list(_entries(num_levels))
    check_names(given, {entry.ours for entry in entries}, 'MMDA of mmfas', ignored=_OWN)
    theirs = {}
    for entry in entries:
        value = given[entry.ours]
        parts = value.unbind(0) if entry.join == 'stack' else value.chunk(len(entry.theirs))
        # clones: a file would otherwise hold the whole stack once per part
        theirs.update({name: part.clone() for name, part in zip(entry.theirs, parts, strict=True)})
    values = theirs['classifier.proj.bias'].new_tensor(_THRESHOLD_VALUES)
    theirs |= {f'{router}.{name}': values.clone() for router in _routers(num_levels) for name in _THRESHOLDS}
    if not with_clip:
        return theirs
    return {f'{_ADAPTOR}{n}': v for n, v in theirs.items()} | {f'{_CLIP}{n}': v for n, v in _clip_of(state_dict)}


def _clip_of(state_dict: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """List what a model of ours has of CLIP, in the names of OpenAI."""
    if 'head.log_scale' not in state_dict:
        raise InputError('a checkpoint of the MMDA trainer needs head.log_scale, but the head has align_weight=0')
    yield 'logit_scale', state_dict['head.log_scale'].clone()
    for name, value in state_dict.items():
        if name.startswith('head.anchors.tower.encoder.'):
            yield name.removeprefix('head.anchors.tower.encoder.'), value.clone()
        elif name.startswith('trunk.'):
            yield _image_tower(name.removeprefix('trunk.'), value)


def _image_tower(name: str, value: Tensor) -> tuple[str, Tensor]:
    """Turn one tensor of a trunk into OpenAI's; undoes `_trunk_of`."""
    if name in _EMBEDDINGS and len(value) == 1:
        value = value[0]
        return f'visual.{_EMBEDDINGS[name]}', (value[0] if name == 'embedding.cls_token' else value).clone()
    if name == 'projection.weight':
        return 'visual.proj', value.t().contiguous()
    for ours, theirs in _TOWER.items():
        found = re.fullmatch(rf'{ours}(weight|bias)', name)
        if found:
            *number, kind = found.groups()
            return f'visual.{theirs.format(*number)}{kind}', value.clone()
    raise InputError(
        f'trunk.{name} {tuple(value.shape)} has no place in CLIP: the release has its image tower, one for all '
        'modalities; leave the trunk out and convert the adaptor alone'
    )
