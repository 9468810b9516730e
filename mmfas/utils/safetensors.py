"""Reading and writing safetensors files: tensors and text, no pickle at all.

The format (https://huggingface.co/docs/safetensors): 8 bytes with the size of a header, the header as JSON, the
tensors one after the other. The library checks that they fill the file exactly.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from mmfas.utils.checkpoint import CheckpointError
from mmfas.utils.errors import MissingFileError, MissingPackageError
from mmfas.utils.files import write_atomically

if TYPE_CHECKING:
    from types import ModuleType


def _library() -> ModuleType:
    """Import the library."""
    try:
        import safetensors
    except ImportError as error:
        raise MissingPackageError(
            'files that end in .safetensors need the package safetensors: pip install "mmfas[deploy]"'
        ) from error
    return safetensors


def read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read all tensors of a file.

    Args:
        path: File to read; `~` is expanded.

    Returns:
        Name -> tensor on the CPU, and the metadata: key -> text.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it is not such a file, or is not whole.
        ImportError: If the package safetensors is not installed.
    """
    library = _library()
    file = Path(path).expanduser()
    if not file.is_file():
        raise MissingFileError(f"'{file}' does not exist or is not a file; check the path")
    try:
        with library.safe_open(file, 'pt') as content:
            # Copied: tensors of the library look into the file, which may be replaced while they are in use.
            tensors = {name: content.get_tensor(name).clone() for name in content.keys()}  # noqa: SIM118
            return tensors, dict(content.metadata() or {})
    except (library.SafetensorError, ValueError, RuntimeError, OSError, TypeError) as error:
        raise CheckpointError(
            f"'{file}' ({file.stat().st_size} bytes) is not a whole safetensors file: {error}; copy it again, or "
            'use the file it was made from'
        ) from error


def write_safetensors(
    tensors: Mapping[str, Tensor], path: str | os.PathLike[str], *, metadata: Mapping[str, str]
) -> None:
    """Write tensors, completely or not at all; what is equal gives the same bytes, in whichever order it is given.

    Args:
        tensors: Name -> contiguous tensor; no two may share memory.
        path: Where to write; the folder is made.
        metadata: Key -> text.

    Raises:
        ImportError: If the package safetensors is not installed.
    """
    _library()
    from safetensors.torch import save

    write_atomically(path, _with_sorted_metadata(save(dict(tensors), dict(metadata))))


def _with_sorted_metadata(content: bytes) -> bytes:
    """Order the metadata of a file by key, which the library writes in another order every time."""
    size = int.from_bytes(content[:8], 'little')
    header: dict[str, Any] = json.loads(content[8 : 8 + size])
    header['__metadata__'] = dict(sorted(header.get('__metadata__', {}).items()))
    text = json.dumps(header, separators=(',', ':'), ensure_ascii=False).encode()
    text += b' ' * (-len(text) % 8)  # the tensors begin at a multiple of 8 bytes, as the library has it
    return len(text).to_bytes(8, 'little') + text + content[8 + size :]
