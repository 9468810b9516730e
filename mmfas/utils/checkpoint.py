"""Reading and writing checkpoints: the one strict loader that every load of mmfas goes through.

A checkpoint file is a pickle, and a pickle can run any program. So files are read with torch's restricted
unpickler (`weights_only=True`, nothing added to its allow-list) and there is no way around it: what it refuses
is an error. Checkpoints of mmfas hold tensors and plain Python values only, so they need nothing else.

Every file is read whole and compared with its checksums (see `mmfas.utils.seals`) before it is unpacked.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from mmfas.utils.errors import InputError, MissingFileError
from mmfas.utils.files import atomic_file, open_file
from mmfas.utils.plain_values import plain as plain
from mmfas.utils.seals import (
    DamagedFile,
    Fingerprint,
    SealingStream,
    seal,
    verify,
)
from mmfas.utils.state_dicts import compare_state_dicts, find_nonfinite, unusual_tensors
from mmfas.utils.unpacking import max_unpacked

#: Keys under which files of other projects keep the weights of the whole model, in the order they are tried.
WEIGHT_KEYS = ('state_dict', 'model')


class CheckpointError(InputError):
    """A checkpoint file is damaged, is refused, or does not hold what was requested."""


@dataclass(frozen=True)
class Origin:
    """Where weights come from.

    Args:
        path: The file.
        sha256: Its SHA-256, 64 hexadecimal digits.
        meta: How it was made, such as `epoch` and `seed`; empty if unknown.
    """

    path: str
    sha256: str
    meta: Mapping[str, Any]


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits.

    Args:
        path: File to read.
    """
    with open_file(path) as file:
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
    reason = str(error).strip().partition('\n')[0].partition('. ')[0] or type(error).__name__
    odd = not isinstance(error, pickle.UnpicklingError | RuntimeError | EOFError | OSError | ValueError)
    if reason.startswith('Weights only load failed') or odd:
        reason = 'not readable as tensors'  # its line advises to switch the protection off
    return _damage(path, reason)


def _damage(path: Path, reason: str) -> CheckpointError:
    """Return the error about an incomplete file."""
    return CheckpointError(
        f"'{path}' ({path.stat().st_size} bytes) is not a complete checkpoint: it is truncated, damaged or of "
        f'another format ({reason}); copy or download it again, or use an earlier one'
    )


def read_checkpoint(
    path: str | os.PathLike[str], *, map_location: Any = 'cpu', max_unpacked: int | None = None
) -> tuple[dict[str, Any], str]:
    """Read a checkpoint file once: verify its bytes, hash them, and unpack them with torch's restricted unpickler.

    A file that mmfas wrote has a seal over all of its bytes, others of torch 1.6 and later have checksums of their
    entries. Older files have neither: they are read with a warning that shows their SHA-256.

    Args:
        path: File to read; `~` is expanded.
        map_location: Device of the tensors, as in `torch.load`.
        max_unpacked: Bytes that the file may unpack to where that is more than its own size; 256 MiB, or what
            `MMFAS_MAX_UNPACKED_MB` says, if None.

    Returns:
        The dictionary in the file, and the SHA-256 of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        PermissionError: If it must not be read.
        CheckpointError: If the file is damaged, is not a checkpoint, or asks for anything but tensors and plain
            values; the message says which. Also if `path` is an address of the web.
    """
    if str(path).startswith(('http://', 'https://')):
        raise CheckpointError(f"'{path}' is an address, but a file is needed here; download it and give its path")
    file = Path(path).expanduser()
    if not file.is_file():
        raise MissingFileError(f"checkpoint '{file}' does not exist or is not a file; check the path")
    try:
        stream = open(file, 'rb')  # noqa: SIM115  # closed below; only opening may raise this
    except PermissionError as error:
        raise PermissionError(f"no permission to read checkpoint '{file}'; see `ls -l '{file}'`") from error
    with stream:
        found = _verify(stream, file, _max_unpacked() if max_unpacked is None else max_unpacked)
        content = _unpack(stream, file, map_location)
    if not isinstance(content, dict):
        raise CheckpointError(f"'{file}' holds a {type(content).__name__}, but a checkpoint is a dictionary")
    from mmengine.logging import print_log  # late: mmfas imports this file before it knows that an engine is there

    print_log(f'Read checkpoint {file} (sha256 {found.sha256})', logger='current')
    if not found.is_verified:
        print_log(
            f"'{file}' has no checksums (its format is that of torch 1.5 or older, or it was saved without), so "
            f'damage in it may go unseen: compare its SHA-256, {found.sha256}, with that of its publisher',
            logger='current',
            level=logging.WARNING,
        )
    return content, found.sha256


def _max_unpacked() -> int:
    """Return the bytes that a file may unpack to."""
    try:
        return max_unpacked()
    except InputError as error:
        raise CheckpointError(str(error)) from None


def _verify(stream: BinaryIO, file: Path, max_unpacked: int) -> Fingerprint:
    """Compare a file with its checksums."""
    try:
        return verify(stream, max_unpacked)
    except DamagedFile as error:
        raise _damage(file, str(error)) from error
    except ValueError as error:
        raise CheckpointError(f"'{file}' was refused: {error}") from error


def _unpack(stream: BinaryIO, file: Path, map_location: Any) -> Any:
    """Read what is in a file that has been verified."""
    stream.seek(0)
    try:
        with warnings.catch_warnings():
            for known in ('.*looks like a TorchScript archive', 'Detected pickle protocol'):
                warnings.filterwarnings('ignore', message=known)  # our error says more
            return torch.load(stream, map_location=map_location, weights_only=True)
    except MemoryError:
        raise CheckpointError(f"'{file}' was refused: it asks for more memory than there is") from None
    except Exception as error:
        # Whatever torch raises here, the file is at fault: none of our code runs there. The cause stays out of
        # the chain, as torch's text ends in advice to switch the protection off.
        raise _refusal(file, error) from None


def load_checkpoint(
    path: str | os.PathLike[str], *, map_location: Any = 'cpu', max_unpacked: int | None = None
) -> dict[str, Any]:
    """Read the dictionary in a checkpoint file; arguments and errors are those of `read_checkpoint`.

    Args:
        path: File to read.
        map_location: Device of the tensors.
        max_unpacked: Bytes that the file may unpack to.

    Returns:
        The dictionary.
    """
    return read_checkpoint(path, map_location=map_location, max_unpacked=max_unpacked)[0]


def pack_checkpoint(content: Mapping[str, Any]) -> bytes:
    """Return the bytes of a checkpoint file, with the seal that `read_checkpoint` verifies.

    Args:
        content: Tensors and plain values, see `plain`.
    """
    stream = io.BytesIO()
    torch.save(content, stream)
    return seal(stream.getvalue())


def write_checkpoint(content: Mapping[str, Any], path: str | os.PathLike[str]) -> str:
    """Write a checkpoint file with its seal, completely or not at all.

    Args:
        content: Tensors and plain values, see `plain`.
        path: Where to write; the folder is made.

    Returns:
        SHA-256 of the file, 64 hexadecimal digits.
    """
    with atomic_file(path) as file:
        stream = SealingStream(file)
        torch.save(content, stream)  # type: ignore[arg-type]  # `write` and `flush` are all it calls
        return stream.finish()


def check_weights(content: Any, path: str | os.PathLike[str]) -> None:
    """Raise if a mapping does not hold weights.

    Args:
        content: What a file holds where weights belong: names with dense tensors, at least one.
        path: The file, for the message.

    Raises:
        CheckpointError: If it is anything else; the message names up to five entries that are not such tensors.
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
    unusual = unusual_tensors(content)
    if unusual:
        raise CheckpointError(
            f"'{path}': {len(unusual)} of {len(content)} tensors are not plain dense ones: "
            f'{", ".join(unusual[:5])}; save it again with `.dequantize()` or `.to_dense()` where it was made'
        )


def check_finite(weights: Mapping[str, Tensor], path: str | os.PathLike[str], remedy: str) -> None:
    """Raise on weights that cannot give scores.

    Args:
        weights: Name -> dense tensor.
        path: The file, for the message.
        remedy: What to do, for the message.

    Raises:
        CheckpointError: If a weight is NaN or infinite; up to five are named.
    """
    broken = find_nonfinite(weights)
    if broken:
        raise CheckpointError(
            f"'{path}' holds NaN or infinite values in {len(broken)} of {len(weights)} tensors: "
            f'{", ".join(broken[:5])}; {remedy}'
        )


def find_weights(content: Mapping[str, Any], path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Find the weights in the dictionary of a checkpoint file.

    Args:
        content: The dictionary: a state dict, or one under `state_dict` or `model`.
        path: The file, for messages.

    Returns:
        Name -> finite tensor; a leading `module.` (of a distributed wrapper) is cut off.

    Raises:
        CheckpointError: If there are no weights, or some that no model can be filled with.
    """
    found = next((content[key] for key in WEIGHT_KEYS if isinstance(content.get(key), Mapping)), content)
    check_weights(found, path)
    check_finite(found, path, 'use an earlier checkpoint of the run')
    return {name.removeprefix('module.'): value for name, value in found.items()}


def load_weights(path: str | os.PathLike[str], prefix: str | None = None) -> dict[str, Tensor]:
    """Read the weights in a checkpoint file.

    Args:
        path: File with a state dict, alone or under `state_dict` or `model`.
        prefix: Keep only names below this module, such as `'trunk'`, and cut it off; None keeps all.

    Returns:
        Name -> tensor on the CPU; a leading `module.` (of a distributed wrapper) is cut off.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file is refused, has no weights, some that are not finite, or none below `prefix`.
    """
    weights = find_weights(load_checkpoint(path), path)
    if prefix is None:
        return weights
    start = prefix.rstrip('.') + '.'
    chosen = {name.removeprefix(start): value for name, value in weights.items() if name.startswith(start)}
    if not chosen:
        heads = sorted({name.partition('.')[0] for name in weights})
        raise CheckpointError(f"'{path}' has no weights below '{start}'; its names start with {', '.join(heads)}")
    return chosen


def load_into(model: torch.nn.Module, path: str | os.PathLike[str]) -> Origin:
    """Load all weights of a model from a checkpoint file; every name, shape and kind of number must fit.

    Args:
        model: Module to fill.
        path: Checkpoint file.

    Returns:
        The file, its hash and its `meta`.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file is refused or does not fit the model; the message lists what is missing,
            left over or of another shape.
    """
    content, sha256 = read_checkpoint(path)
    weights = find_weights(content, path)
    misfit = compare_state_dicts(weights, model.state_dict())
    if misfit:
        raise CheckpointError(f"'{path}' does not fit the model of this config; {misfit}")
    model.load_state_dict(weights)
    return Origin(str(path), sha256, find_meta(content, path))


def find_meta(content: Mapping[str, Any], path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Return the `meta` of a checkpoint, empty if it has none.

    Args:
        content: The dictionary in the file.
        path: The file, for the message.

    Raises:
        CheckpointError: If `meta` is not a dictionary.
    """
    meta = content.get('meta', {})
    if not isinstance(meta, Mapping):
        raise CheckpointError(
            f"'{path}': `meta` must be a dictionary, but is a {type(meta).__name__}; correct it or leave it out"
        )
    return meta
