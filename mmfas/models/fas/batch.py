"""Read and check what the data preprocessor hands to the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from mmfas.models.backbones.base import BaseTrunk
from mmfas.models.heads.base import BaseFASHead
from mmfas.structures import MODALITIES, FASDataSample, FusionContext
from mmfas.utils.errors import InputError, UnknownKeyError

#: Ways to run the model.
MODES = ('tensor', 'loss', 'predict', 'loss_terms')
#: Modality -> normalised images (B, 3, H, W); `present` -> boolean mask (B, M).
Inputs: TypeAlias = Mapping[str, Tensor]


def stack_inputs(inputs: Mapping[str, Tensor], modalities: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Stack the images of the model's modalities.

    Args:
        inputs: Modality -> images (B, 3, H, W); `present` -> boolean mask (B, M), all present if missing.
            Other canonical modalities are ignored.
        modalities: Modalities of the model.

    Returns:
        Images (M, B, 3, H, W) and mask (B, M).

    Raises:
        KeyError: If a modality is missing or a key is not a modality.
        ValueError: If shapes disagree.
    """
    unknown = sorted(set(inputs) - {*MODALITIES, 'present'})
    missing = [m for m in modalities if m not in inputs]
    if unknown or missing:
        raise UnknownKeyError(
            f'inputs must hold an image batch for each of {modalities} (and may hold `present`), but missing are '
            f'{missing}, unknown are {unknown}; an absent modality keeps its key and is False in `present`'
        )
    shapes = {m: tuple(inputs[m].shape) for m in modalities}
    first = next(iter(shapes.values()))
    if any(shape != first for shape in shapes.values()) or len(first) != 4 or first[1] != 3:
        raise InputError(f'images must all have one shape (B, 3, H, W), but got {shapes}')
    images = torch.stack([inputs[m] for m in modalities])
    present = inputs.get('present')
    if present is None:
        present = images.new_ones(first[0], len(modalities), dtype=torch.bool)
    if present.dtype != torch.bool or tuple(present.shape) != (first[0], len(modalities)):
        raise InputError(
            f'`present` must be a boolean mask ({first[0]}, {len(modalities)}) over {modalities}, but got '
            f'{present.dtype} of shape {tuple(present.shape)}'
        )
    return images, present


def refuse_empty(
    is_empty: Sequence[bool], data_samples: Sequence[FASDataSample] | None, modalities: tuple[str, ...]
) -> None:
    """Refuse samples that have none of the model's modalities.

    Args:
        is_empty: For each sample, whether all modalities are absent.
        data_samples: The samples, for their ids.
        modalities: Modalities of the model.

    Raises:
        ValueError: If there is such a sample; the message names all.
    """
    empty = [i for i, flag in enumerate(is_empty) if flag]
    if not empty:
        return
    names = [data_samples[i].get('sample_id', f'number {i}') if data_samples else f'number {i}' for i in empty]
    raise InputError(
        f'samples without any of the modalities {modalities} cannot be scored: {", ".join(map(str, names))}; '
        'leave them out of the list or keep at least one modality'
    )


def host_mask_of(
    present: Tensor, data_samples: Sequence[FASDataSample], modalities: tuple[str, ...]
) -> Tensor | None:
    """Return the mask of a training batch in the host's memory; refuse samples without any modality.

    Args:
        present: Boolean mask (B, M).
        data_samples: The samples, which stay with the host.
        modalities: Modalities of the model.

    Returns:
        Mask (B, M): on a CPU `present` itself, else what the samples say; None where one does not say.

    Raises:
        ValueError: If a sample has none of the modalities; the message names all such samples.
    """
    on_host: Tensor | None = None
    if present.device.type == 'cpu':
        on_host = present
    elif all('_present' in sample and sample.present.device.type == 'cpu' for sample in data_samples):
        columns = [MODALITIES.index(m) for m in modalities]
        on_host = torch.stack([sample.present for sample in data_samples])[:, columns]
    if on_host is None:  # an accelerator refuses on its own, later: asking it would mean to wait for it
        torch._assert_async(present.any(1).all(), f'a sample has none of the modalities {modalities}')
    else:
        refuse_empty((~on_host.any(1)).tolist(), data_samples, modalities)
    return on_host


def context_of(
    inputs: Inputs, trunk: BaseTrunk, *, domain: Tensor | None = None, on_host: Tensor | None = None
) -> FusionContext:
    """Stack the images of a batch, and gather what holds for all blocks.

    Args:
        inputs: Modality -> images (B, 3, H, W); `present` -> boolean mask (B, M), see `stack_inputs`.
        trunk: Trunk that will see them.
        domain: Domain codes (B,), or None.
        on_host: Mask (B, M) in the host's memory, which must be that of the inputs; None if it is not known there.
    """
    images, present = stack_inputs(inputs, trunk.modalities)
    if on_host is not None and on_host is not present:
        is_equal = present == on_host.to(present.device, non_blocking=True)
        torch._assert_async(is_equal.all(), '`present` of the inputs is not that of the data samples')
    return FusionContext(images, present, trunk.grid(images.shape[-2:]), trunk.num_prefix, domain, on_host)


def check_call(
    mode: str, data_samples: Sequence[FASDataSample] | None, *, inputs_view: Inputs | None, head: BaseFASHead
) -> None:
    """Refuse a mode that there is not, losses without labels, and further views that are lacking or of no use.

    Args:
        mode: What the model is to do.
        data_samples: The samples.
        inputs_view: Further views of them.
        head: Head of the model.

    Raises:
        ValueError: If something does not fit; the message says what.
    """
    if mode not in MODES:
        raise InputError(f'mode must be one of {MODES}, but got {mode!r}')
    has_losses = mode.startswith('loss')
    name = type(head).__name__
    if inputs_view is not None and not (has_losses and head.needs_views):
        user = name if has_losses else f'mode {mode!r}'
        raise InputError(f'{user} has no use for further views of the samples; take AddViews out of the pipeline')
    if has_losses and inputs_view is None and head.needs_views:
        remedy = "put dict(type='AddViews', ...) into the training pipeline"
        raise InputError(f'{name} needs further views of every sample; {remedy}')
    if has_losses and data_samples is None:
        raise InputError(f'mode {mode!r} needs data_samples with labels, but got None')
