"""Reading and writing checkpoints: the one strict loader that every load of mmfas goes through.

A checkpoint file is a pickle, and a pickle can run any program. So files are read with torch's restricted
unpickler (`weights_only=True`, nothing added to its allow-list) and there is no way round it: what it refuses
is an error. Checkpoints of mmfas hold tensors and plain Python values only, so they need nothing else.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: Keys under which files of other projects keep the weights of the whole model, in the order they are tried.
WEIGHT_KEYS = ('state_dict', 'model')


class CheckpointError(ValueError):
    """A checkpoint file is damaged, is refused, or does not hold what was asked for."""


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits.

    Args:
        path: File to read.
    """
    with open(path, 'rb') as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _refusal(path: Path, error: Exception) -> CheckpointError:
    """Turn an error of `torch.load` into one that says what to do."""
    found = re.search(r'GLOBAL (\S+)', str(error))
    if found and isinstance(error, pickle.UnpicklingError):
        return CheckpointError(
            f"'{path}' was refused: it asks to load '{found.group(1)}', which is code, not weights; nothing of it "
            'was run. If you trust its origin, save its state dict alone, '
            "`torch.save({'state_dict': model.state_dict()}, ...)`, where it was made, and load that file"
        )
    if 'TorchScript' in str(error):
        return CheckpointError(
            f"'{path}' is a TorchScript archive (as OpenAI publishes CLIP), which holds code beside weights; "
            'nothing of it was run. If you trust its origin, save its weights alone, '
            "`torch.save({'state_dict': torch.jit.load(FILE, 'cpu').float().state_dict()}, 'weights.pth')`, "
            'and use that file; for a trunk convert it next: '
            '`mmfas weights convert openai_clip weights.pth trunk.pth`'
        )
    size = path.stat().st_size
    reason = str(error).strip().partition('\n')[0].partition('. ')[0] or type(error).__name__
    if reason.startswith('Weights only load failed') or isinstance(error, LookupError):
        reason = 'not readable as tensors'  # torch's line is about switching the protection off, or a bare number
    return CheckpointError(
        f"'{path}' ({size} bytes) is not a complete checkpoint: it is truncated, damaged or of another format "
        f'({reason}); copy or download it again, or use an earlier one'
    )


def load_checkpoint(path: str | os.PathLike[str], *, map_location: Any = 'cpu') -> dict[str, Any]:
    """Read a checkpoint file with torch's restricted unpickler.

    Args:
        path: File to read; `~` is expanded.
        map_location: Device of the tensors, as in `torch.load`.

    Returns:
        The dictionary in the file.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file is damaged, is no checkpoint, or asks for anything but tensors and plain
            values; the message says which. Also if `path` is an address of the web.
    """
    if str(path).startswith(('http://', 'https://')):
        raise CheckpointError(f"'{path}' is an address, but a file is needed here; download it and give its path")
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"checkpoint '{file}' does not exist or is not a file; check the path")
    try:
        with warnings.catch_warnings():
            for known in ('.*looks like a TorchScript archive', 'Detected pickle protocol'):
                warnings.filterwarnings('ignore', message=known)  # our error says more
            content = torch.load(file, map_location=map_location, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError) as error:
        # The cause is kept out of the chain: torch's text ends in advice to switch the protection off.
        raise _refusal(file, error) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"'{file}' holds a {type(content).__name__}, but a checkpoint is a dictionary")
    from mmengine.logging import print_log  # late: mmfas imports this file before it knows that an engine is there

    print_log(f'Read checkpoint {file} (sha256 {sha256_of(file)})', logger='current')
    return content


def check_weights(content: Any, path: str | os.PathLike[str]) -> None:
    """Refuse what are no weights.

    Args:
        content: What a file holds where weights belong: names with tensors, at least one.
        path: The file, for the message.

    Raises:
        CheckpointError: If it is anything else; the message names up to five entries that are no tensors.
    """
    if not isinstance(content, Mapping):
        wrong = [f'a {type(content).__name__}']
    else:
        pairs = content.items()
        wrong = [str(name) for name, value in pairs if not (isinstance(name, str) and isinstance(value, Tensor))]
    if wrong or not content:
        raise CheckpointError(
            f"'{path}' holds no weights: expected names with tensors, at the top or under {WEIGHT_KEYS}, but got "
            f'{", ".join(wrong[:5]) or "nothing"}'
        )


def load_weights(path: str | os.PathLike[str], prefix: str | None = None) -> dict[str, Tensor]:
    """Read the weights in a checkpoint file.

    Args:
        path: File with a state dict, alone or under `state_dict` or `model`.
        prefix: Keep only names below this module, such as `'trunk'`, and cut it off; None keeps all.

    Returns:
        Name -> tensor on the CPU; a leading `module.` (of a distributed wrapper) is cut off.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file is refused, has no weights, or none below `prefix`.
    """
    content: Any = load_checkpoint(path)
    content = next((content[key] for key in WEIGHT_KEYS if isinstance(content.get(key), Mapping)), content)
    check_weights(content, path)
    weights = {name.removeprefix('module.'): value for name, value in content.items()}
    if prefix is None:
        return weights
    start = prefix.rstrip('.') + '.'
    chosen = {name.removeprefix(start): value for name, value in weights.items() if name.startswith(start)}
    if not chosen:
        heads = sorted({name.partition('.')[0] for name in weights})
        raise CheckpointError(f"'{path}' has no weights below '{start}'; its names start with {', '.join(heads)}")
    return chosen


def load_into(model: torch.nn.Module, path: str | os.PathLike[str]) -> None:
    """Load all weights of a model from a checkpoint file; every name and shape must fit.

    Args:
        model: Module to fill.
        path: Checkpoint file.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file is refused or does not fit the model; the message lists what is missing,
            left over or of another shape.
    """
    weights = load_weights(path)
    told = misfits(model, weights)
    if told:
        raise CheckpointError(f"'{path}' does not fit the model of this config; {told}")
    model.load_state_dict(weights)


def misfits(model: torch.nn.Module, weights: Mapping[str, Tensor]) -> str:
    """Say which weights do not fit a model.

    Args:
        model: Module to be filled.
        weights: Name -> tensor.

    Returns:
        Number and first names of what is missing, left over or of another shape; empty if all fits.

    >>> misfits(torch.nn.Linear(2, 1), {'weight': torch.zeros(1, 3), 'scale': torch.ones(1)})
    '1 missing: bias; 1 unexpected: scale; 1 of another shape: weight (1, 3) instead of (1, 2)'
    """
    own = model.state_dict()
    problems = {
        'missing': [name for name in own if name not in weights],
        'unexpected': [name for name in weights if name not in own],
        'of another shape': [
            f'{name} {tuple(weights[name].shape)} instead of {tuple(value.shape)}'
            for name, value in own.items()
            if name in weights and weights[name].shape != value.shape
        ],
    }
    return '; '.join(f'{len(names)} {what}: {", ".join(names[:3])}' for what, names in problems.items() if names)


def plain(value: Any) -> Any:
    """Copy nested data with numpy values as Python numbers and lists, and special dicts as plain ones.

    Args:
        value: Nested mappings, lists, tuples, tensors, numbers, strings.

    Returns:
        The same data, made of what the restricted unpickler accepts.

    Raises:
        TypeError: If something else is in it.

    >>> import numpy as np
    >>> plain(dict(best=np.float64(0.25), steps=(np.int64(3), np.array([1.5]))))
    {'best': 0.25, 'steps': (3, [1.5])}
    """
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        items = [plain(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float | str | bytes | Tensor):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(
        f'a checkpoint holds tensors and plain values only, but got a {type(value).__name__}: {value!r:.80}'
    )
