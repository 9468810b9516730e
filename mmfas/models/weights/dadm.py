"""Weights of the released DADM code in the names and shapes of mmfas, and back.

Legend: M = 3 modalities (rgb, depth, ir), P = 3 pairs of them, N blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from mmfas.models.weights.entries import Entry, joined, split, trunk_entries
from mmfas.models.weights.names import check_names, count_names
from mmfas.utils.errors import InputError

#: The release's masks in the order of our pairs: 1 rgb, 2 depth, 3 ir.
_PAIRS = ('mim_12', 'mim_13', 'mim_23')
_CONVS = (
    'interactive_block.0.depthwise_conv.0',
    'interactive_block.0.pointwise_conv.0',
    'interactive_block.1',
    'mask_generation.0',
    'mask_generation.3',
    'mask_generation.6',
)
_NORMS = (
    'interactive_block.0.depthwise_conv.1',
    'interactive_block.0.pointwise_conv.1',
    'interactive_block.2',
    'mask_generation.1',
    'mask_generation.4',
    'mask_generation.7',
)
_HEADS = ('fc_d1.weight', 'fc_d2.weight', 'fc_d3.weight')
#: What the release has and never uses, by shape.
_PRIORS = {'prior_m2': (1, 3, 224, 224), 'prior_m3': (1, 3, 224, 224)}
#: What follows from the rest: the classifier of the test is the mean of those of the domains.
_TEST_HEAD = 'fc_all.weight'
#: What only our head has: the first refresh makes it again.
_PROTOTYPES = ('head.prototypes', 'head.seen')


def _mask_entries(i: int) -> Iterator[Entry]:
    """List the tensors of the masks of block i."""
    for number, (conv, norm) in enumerate(zip(_CONVS, _NORMS, strict=True)):
        for ours, theirs, kinds in (
            (f'convs.{number}', conv, ('weight', 'bias')),
            (f'norms.{number}', norm, ('weight', 'bias', 'running_mean', 'running_var')),
        ):
            for kind in kinds:
                names = tuple((f'{pair}.{i}.{theirs}.{kind}',) for pair in _PAIRS)
                yield Entry(f'neck.masks.{i}.{ours}.{kind}', names, 'cat')
    for kind in ('weight', 'bias'):
        names = tuple((f'{pair}.{i}.interactive_fc.{kind}',) for pair in _PAIRS)
        yield Entry(f'neck.masks.{i}.mix_prefix.{kind}', names, 'stack')
        names = tuple((f'{pair}.{i}.{layer}.{kind}',) for pair in _PAIRS for layer in ('fc1', 'fc2'))
        yield Entry(f'neck.masks.{i}.out.{kind}', names, 'stack')


def _adapter_entries(i: int) -> Iterator[Entry]:
    """List the tensors of the adapters of block i."""
    for ours, theirs in (
        ('down.weight', 'adapter_down.weight'),
        ('down.bias', 'adapter_down.bias'),
        ('conv.weight', 'adapter_conv.conv.weight'),
        ('up.weight', 'adapter_up.weight'),
        ('up.bias', 'adapter_up.bias'),
    ):
        names = tuple((f'adapter_{m}.{i}.{theirs}',) for m in (1, 2, 3))
        yield Entry(f'neck.adapters.{i}.{ours}', names, 'stack')


def _entries(num_blocks: int) -> Iterator[Entry]:
    """List all tensors of a model with N blocks."""
    yield from trunk_entries(num_blocks)
    for i in range(num_blocks):
        yield from _mask_entries(i)
        yield from _adapter_entries(i)
    yield Entry('head.planes', tuple((name,) for name in _HEADS), 'stack')


def _counters(num_blocks: int) -> list[tuple[str, tuple[str, ...]]]:
    """List how often batch norm was trained: our name, and theirs of each pair."""
    return [
        (
            f'neck.masks.{i}.norms.{number}.num_batches_tracked',
            tuple(f'{pair}.{i}.{norm}.num_batches_tracked' for pair in _PAIRS),
        )
        for i in range(num_blocks)
        for number, norm in enumerate(_NORMS)
    ]


def released_dadm_to_mmfas(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a state dict of the released DADM model to one of ours.

    It fits a `MultiModalFAS` with `MultiStreamViT(per_modality=('patch', 'cls', 'pos'))`, `MutualMaskNeck` and
    `HyperplaneHead` with three domains and an SSP loss, such as
    `configs/_base_/models/dadm_vit_base_p16_released.py`, `domains` in the order of the release. Dropped are two
    priors that the release never uses, and its classifier of the test, the mean of those of the domains.

    Args:
        state_dict: Names -> tensors of the release, any number of blocks.

    Returns:
        Names -> tensors of ours.

    Raises:
        ValueError: If names are missing or left over.
    """
    num_blocks = count_names(state_dict, r'ViT_Encoder\.(\d+)\.ln_1\.weight')
    entries, counters = list(_entries(num_blocks)), _counters(num_blocks)
    wanted = {name for e in entries for names in e.theirs for name in names}
    wanted |= {name for _, names in counters for name in names} | {_TEST_HEAD}
    check_names(state_dict, wanted, 'released DADM', ignored=tuple(_PRIORS))
    ours = {e.ours: joined(e, state_dict) for e in entries}
    ours.update({name: state_dict[theirs[0]].clone() for name, theirs in counters})
    cls_token = ours['trunk.embedding.cls_token']
    classes = (3, 1 + len(_HEADS))
    ours['head.prototypes'] = cls_token.new_zeros(*classes, cls_token.shape[-1])
    ours['head.seen'] = torch.zeros(classes, dtype=torch.bool)
    ours['head.is_trained'] = torch.ones(len(_HEADS), dtype=torch.bool)
    return ours


def mmfas_to_released_dadm(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a state dict of ours to one of the released DADM model; without prototypes, with priors of zero.

    Args:
        state_dict: Names -> tensors of a model as `released_dadm_to_mmfas` describes it, all of whose domains were
            seen in training.

    Returns:
        Names -> tensors of the release.

    Raises:
        ValueError: If names are missing or left over, or the release has no place for the domains.
    """
    num_blocks = count_names(state_dict, r'trunk\.vit\.layers\.(\d+)\.ln1\.weight')
    entries, counters = list(_entries(num_blocks)), _counters(num_blocks)
    wanted = {e.ours for e in entries} | {name for name, _ in counters} | {'head.is_trained'}
    check_names(state_dict, wanted, 'DADM of mmfas', ignored=_PROTOTYPES)
    if len(state_dict['head.planes']) != len(_HEADS):
        raise InputError(
            f'the released DADM has classifiers of {len(_HEADS)} domains, but head.planes has '
            f'{len(state_dict["head.planes"])}; convert a model trained with model.head.domains of three names'
        )
    theirs = {name: value for e in entries for name, value in split(e, state_dict[e.ours]).items()}
    theirs.update({name: state_dict[ours].clone() for ours, names in counters for name in names})
    like = state_dict['head.planes']
    theirs[_TEST_HEAD] = like[state_dict['head.is_trained']].mean(0)
    return {**theirs, **{name: like.new_zeros(shape) for name, shape in _PRIORS.items()}}
