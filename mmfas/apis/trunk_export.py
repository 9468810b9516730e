"""The trunk of a checkpoint as a file of its own, for `pretrained`: tensors, a record and a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmfas.apis.publish import META_KEYS, select_weights
from mmfas.utils.checkpoint import CheckpointError, check_finite, find_meta, load_checkpoint, plain, sha256_of
from mmfas.utils.errors import InputError
from mmfas.utils.files import write_atomically
from mmfas.utils.safetensors import write_safetensors

__all__ = ['export_trunk']

_PREFIX = 'trunk.'
_CARD = """# {name}

Weights of a trunk of mmfas, without neck and head: `pretrained='mmfas://{name}'` where they come with the package,
else `pretrained='{name}.safetensors'`.

| | |
| --- | --- |
| parameters | {numbers:,} in {tensors} tensors, stored as {precision} |
| file | `{name}.safetensors`, {num_bytes:,} bytes |
| sha256 | `{sha256}` |
| trained | {trained} |
| licence | {licence} |
{note}"""


def export_trunk(
    checkpoint: str | Path,
    out: str | Path,
    *,
    precision: str = 'float16',
    licence: str = 'Apache-2.0',
    note: str = '',
) -> dict[str, Any]:
    """Write the trunk of a checkpoint to a safetensors file, with its record and model card beside it.

    Args:
        checkpoint: Checkpoint of a training or pretraining run; of a run with EMA the averaged weights are taken.
        out: File to write, which ends in `.safetensors`; the record ends in `.json`, the card in `.md`.
        precision: `'float16'` or `'float32'`; how the numbers are stored.
        licence: Licence of the weights.
        note: Text of the card after its table: data, intended use, limits.

    Returns:
        The record: `sha256`, `licence`, `numbers`, `precision`, and what the checkpoint says of its training.

    Raises:
        ValueError: If a name or the precision is unknown.
        CheckpointError: If the checkpoint is refused, has no trunk, or numbers that the precision cannot hold.
    """
    target = Path(out)
    if target.suffix != '.safetensors':
        raise InputError(f'{target}: the file of a trunk ends in .safetensors')
    if precision not in ('float16', 'float32'):
        raise InputError(f"precision must be 'float16' or 'float32', got {precision!r}")
    content = load_checkpoint(checkpoint)
    tensors = _trunk_of(select_weights(content, checkpoint, 'ema'), checkpoint, getattr(torch, precision))
    meta = find_meta(content, checkpoint)
    # mmengine joins its version and a hash without a sign between them, which nobody can read.
    kept = set(META_KEYS) - {'cfg', 'mmengine_version'}
    trained = plain({key: meta[key] for key in META_KEYS if key in meta and key in kept})
    write_safetensors(tensors, target, metadata={'format': 'pt', 'licence': licence})
    record = {
        'sha256': sha256_of(target),
        'licence': licence,
        'numbers': sum(value.numel() for value in tensors.values()),
        'precision': precision,
        'trained': trained,
    }
    write_atomically(target.with_suffix('.json'), json.dumps(record, indent=1) + '\n')
    write_atomically(target.with_suffix('.md'), _card(target, record, len(tensors), note))
    return record


def _trunk_of(weights: Mapping[str, Tensor], path: str | Path, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the tensors of the trunk, without their prefix, as they are stored."""
    found = {name.removeprefix(_PREFIX): value for name, value in weights.items() if name.startswith(_PREFIX)}
    if not found:
        raise CheckpointError(f"'{path}' has no weights below '{_PREFIX}', so there is no trunk to take out")
    stored = {
        name: (value.to(dtype) if value.is_floating_point() else value).contiguous()
        for name, value in found.items()
    }
    check_finite(stored, path, f'store them as float32: {dtype} cannot hold such numbers')
    return stored


def _card(target: Path, record: Mapping[str, Any], num_tensors: int, note: str) -> str:
    """Write the model card."""
    trained = ', '.join(f'{key} {value}' for key, value in record['trained'].items())
    return _CARD.format(
        name=target.stem,
        numbers=record['numbers'],
        tensors=num_tensors,
        precision=record['precision'],
        num_bytes=target.stat().st_size,
        sha256=record['sha256'],
        trained=trained or 'the checkpoint does not say',
        licence=record['licence'],
        note=f'\n{note.strip()}\n' if note.strip() else '',
    )
