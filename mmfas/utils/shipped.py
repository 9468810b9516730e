"""Weights that come with the package, named `mmfas://NAME`, and the files that `pretrained` may name.

`mmfas/shipped/` holds for every name a `.safetensors` file, a `.json` record with its sha256, and a model card.
"""

from __future__ import annotations

import json
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import Tensor

from mmfas.utils.checkpoint import CheckpointError, check_finite, check_weights, load_weights, sha256_of
from mmfas.utils.safetensors import read_safetensors

__all__ = [
    'SHIPPED_FOLDER',
    'SHIPPED_SCHEME',
    'load_pretrained',
    'shipped_names',
    'shipped_record',
    'weights_identity',
]

SHIPPED_SCHEME = 'mmfas://'
SHIPPED_FOLDER = Path(__file__).resolve().parents[1] / 'shipped'


def shipped_names(folder: Path = SHIPPED_FOLDER) -> list[str]:
    """List the weights that come with the package.

    Args:
        folder: Where they lie.
    """
    return sorted(path.stem for path in folder.glob('*.json'))


def shipped_record(name: str, folder: Path = SHIPPED_FOLDER) -> dict[str, Any]:
    """Return what is written down of weights that come with the package: file, sha256, licence, origin.

    Args:
        name: Name without `mmfas://`.
        folder: Where they lie.

    Raises:
        CheckpointError: If there are none of this name.
    """
    known = shipped_names(folder)
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f'did you mean {SHIPPED_SCHEME}{near[0]}?' if near else f'there are {", ".join(known) or "none"}'
        raise CheckpointError(f"no weights named '{SHIPPED_SCHEME}{name}' come with mmfas; {hint}")
    return json.loads((folder / f'{name}.json').read_text(encoding='utf-8'))


def weights_identity(pretrained: str | None) -> str:
    """Say which weights a trunk starts from, for records.

    Args:
        pretrained: What a trunk's `pretrained` names.

    Returns:
        The sha256 of weights that come with the package, the name of others, `''` for a random start.

    Raises:
        CheckpointError: If the package has none of this name.
    """
    text = str(pretrained or '')
    if not text.startswith(SHIPPED_SCHEME):
        return text
    return str(shipped_record(text.removeprefix(SHIPPED_SCHEME))['sha256'])


def load_pretrained(source: str | os.PathLike[str], folder: Path = SHIPPED_FOLDER) -> dict[str, Tensor]:
    """Read the weights that a part's `pretrained` names.

    Args:
        source: `mmfas://NAME` for weights that come with the package, whose sha256 is compared; a `.safetensors`
            file; or a checkpoint file, see `mmfas.utils.checkpoint.load_weights`.
        folder: Where the weights of the package lie.

    Returns:
        Name -> finite tensor on the CPU; half precision becomes single.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If there are no weights of this name, the file is damaged or not the one that was shipped,
            or it has no weights, or some that are not finite.
        ImportError: If the package safetensors is needed and not installed.
    """
    text = str(source)
    if text.startswith(SHIPPED_SCHEME):
        name = text.removeprefix(SHIPPED_SCHEME)
        record = shipped_record(name, folder)
        file = folder / f'{name}.safetensors'
        _check_sha256(file, record['sha256'])
    elif text.endswith('.safetensors'):
        file = Path(text)
    else:
        return load_weights(source)
    tensors, _ = read_safetensors(file)
    check_weights(tensors, file)
    check_finite(tensors, file, 'use another file')
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def _check_sha256(file: Path, wanted: str) -> None:
    """Compare a file with the hash that was written down when it was made.

    Raises:
        CheckpointError: If it is missing or another one.
    """
    found = sha256_of(file) if file.is_file() else 'nothing'
    if found != wanted:
        raise CheckpointError(
            f"'{file}' is not the file that came with mmfas: sha256 {found} instead of {wanted}; "
            'install mmfas again'
        )
