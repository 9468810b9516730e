"""Publishing: a checkpoint reduced to what others need, named by its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mmfas.utils.checkpoint import (
    CheckpointError,
    check_finite,
    check_weights,
    find_meta,
    load_checkpoint,
    pack_checkpoint,
    plain,
)
from mmfas.utils.errors import InputError
from mmfas.utils.files import write_atomically

#: Keys of a checkpoint's `meta` that say how the weights were made; the rest (paths, times) is not published.
META_KEYS = ('cfg', 'epoch', 'iter', 'seed', 'mmfas_version', 'mmengine_version')


def publish(source: str | Path, target: str | Path, *, weights: str = 'ema') -> Path:
    """Write the weights of a checkpoint and how they were made to a file that stock torch loads safely.

    Args:
        source: Checkpoint of a training run.
        target: File to write; its name gets the first 8 digits of the SHA-256 of its content.
        weights: `'ema'` for the averaged weights where the run had some, `'raw'` for those that were trained.

    Returns:
        Path of the written file, `<stem>-<8 digits>.pth`.

    Raises:
        ValueError: If `weights` is unknown.
        FileNotFoundError: If there is no such checkpoint.
        CheckpointError: If it is refused, has no weights of this kind or some that are not finite, or its `meta`
            is not a dictionary.
    """
    checkpoint = load_checkpoint(source)
    state_dict = select_weights(checkpoint, source, weights)
    meta = find_meta(checkpoint, source)
    check_finite(state_dict, source, 'publish an earlier checkpoint of the run')
    packed = pack_checkpoint(
        dict(meta=plain({key: meta[key] for key in META_KEYS if key in meta}), state_dict=state_dict)
    )
    digest = hashlib.sha256(packed).hexdigest()
    stem = Path(target).with_suffix('') if Path(target).suffix == '.pth' else Path(target)
    path = stem.with_name(f'{stem.name}-{digest[:8]}.pth')
    write_atomically(path, packed)
    return path


def select_weights(checkpoint: Mapping[str, Any], source: str | Path, weights: str) -> dict[str, Tensor]:
    """Return the averaged or the trained weights of a checkpoint.

    Args:
        checkpoint: The dictionary in the file.
        source: The file, for messages.
        weights: `'ema'` for the averaged weights where the run had some, `'raw'` for those that were trained.

    Raises:
        ValueError: If `weights` is unknown.
        CheckpointError: If there are no weights of this kind.
    """
    if weights not in ('ema', 'raw'):
        raise InputError(f"weights must be 'ema' or 'raw', got {weights!r}")
    if 'state_dict' not in checkpoint:
        raise CheckpointError(f"'{source}' has no `state_dict`; it has {', '.join(map(str, checkpoint))}")
    check_weights(checkpoint['state_dict'], source)
    return _raw_weights(checkpoint, source) if weights == 'raw' else checkpoint['state_dict']


def _raw_weights(checkpoint: Mapping[str, Any], source: str | Path) -> dict[str, Tensor]:
    """Return the trained weights, which mmengine's EMA hook swaps with the averaged ones when it saves."""
    if not checkpoint.get('ema_state_dict'):
        return checkpoint['state_dict']
    check_weights(checkpoint['ema_state_dict'], source)
    swapped = {
        name.removeprefix('module.'): value
        for name, value in checkpoint['ema_state_dict'].items()
        if name.startswith('module.')
    }
    return {name: swapped.get(name, value) for name, value in checkpoint['state_dict'].items()}
