"""Weights of the adaptor of the released MMDA code in the names and shapes of mmfas, and back.

The adaptor is all that comes after CLIP: MD2A, U-DSA, classifier. Legend: C width, K anchors, d levels of the U.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from mmfas.models.weights.names import check_names, count_names

#: What our model has and the adaptor has not: anchors, a bank of references and, in CLIP, the scale of cosines.
_OWN = ('head.anchors.embeddings', 'head.log_scale', 'neck.bank')
#: Buffers of every released router: thresholds that the release sets to these values and never changes.
_THRESHOLDS = ('gate.threshold_train', 'gate.threshold_eval')
_THRESHOLD_VALUES = (1e-9, 0.2)
_NUM_FFN, _NUM_CONSTANT = 4, 3


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
    state_dict: Mapping[str, Tensor], *, anchors: Tensor | None = None, logit_scale: float = 100.0
) -> dict[str, Tensor]:
    """Convert a state dict of the released adaptor to neck and head of ours.

    They fit a `MultiModalFAS` with `MD2ANeck` and `TextAlignHead`, such as
    `configs/_base_/models/mmda_clip_vit_base_p16_released.py`; its trunk takes the image tower of CLIP, see
    `mmfas convert_weights`.

    Args:
        state_dict: Names -> tensors of the release, any number of levels.
        anchors: Anchors (K, C), spoof first; left out if None, then the head keeps those it has.
        logit_scale: Factor of the cosines; in the release, CLIP has it.

    Returns:
        Names -> tensors of ours.

    Raises:
        ValueError: If names are missing or left over.
    """
    num_levels = count_names(state_dict, r'u_align\.refine\.(\d+)\.ln1\.weight')
    entries = list(_entries(num_levels))
    thresholds = {f'{router}.{name}' for router in _routers(num_levels) for name in _THRESHOLDS}
    wanted = {name for entry in entries for name in entry.theirs} | thresholds
    check_names(state_dict, wanted, 'the adaptor of released MMDA')
    ours = {}
    for entry in entries:
        parts = [state_dict[name] for name in entry.theirs]
        ours[entry.ours] = torch.stack(parts) if entry.join == 'stack' else torch.cat(parts)
    ours['head.log_scale'] = ours['head.classifier.bias'].new_tensor(math.log(logit_scale))
    return ours if anchors is None else {**ours, 'head.anchors.embeddings': anchors}


def mmfas_to_released_mmda(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a state dict of ours to the released adaptor; trunk, anchors, text tower and scale are left out.

    Args:
        state_dict: Names -> tensors of a model as `released_mmda_to_mmfas` describes it.

    Returns:
        Names -> tensors of the release.

    Raises:
        ValueError: If names are missing or left over.
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
    return theirs | {f'{router}.{name}': values.clone() for router in _routers(num_levels) for name in _THRESHOLDS}
