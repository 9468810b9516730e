"""How the engine loads checkpoints: from files and addresses, through the strict loader only."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urlparse

from mmfas.utils.message_hub import engine_message_hub


def load_from_file(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Load a local checkpoint for the engine, strictly (see `mmfas.utils.checkpoint`).

    Args:
        filename: Path of the file.
        map_location: Device of the tensors, as in `torch.load`.

    Returns:
        The checkpoint, with its message hub as the engine expects it.

    Raises:
        CheckpointError: If the file is refused, or its weights cannot be loaded into any model.
    """
    from mmfas.utils.checkpoint import CheckpointError, find_weights, load_checkpoint

    checkpoint = load_checkpoint(filename, map_location=map_location)
    find_weights(checkpoint, filename)
    if 'message_hub' in checkpoint:
        try:
            checkpoint['message_hub'] = engine_message_hub(checkpoint['message_hub'])
        except (KeyError, TypeError, AttributeError, ValueError, AssertionError) as error:
            raise CheckpointError(
                f"'{filename}': its message_hub is not one of mmfas ({type(error).__name__}: {error}); use "
                "another checkpoint, or save its weights alone: `torch.save({'state_dict': ...}, FILE)`"
            ) from error
    return checkpoint


def cached_path(url: str) -> Path:
    """Return where the file of an address is kept: one folder per address, since many files have the same name.

    Args:
        url: Address; its query counts, its fragment does not.

    Returns:
        `<torch's hub folder>/checkpoints/<16 digits of the address's SHA-256>/<file name>`.
    """
    from torch import hub

    address = urldefrag(url).url
    digest = hashlib.sha256(address.encode()).hexdigest()[:16]
    return Path(hub.get_dir(), 'checkpoints', digest, Path(urlparse(address).path).name or 'checkpoint')


def _announced_hash(name: str) -> str | None:
    """Return the start of the SHA-256 that a name such as `vit-02b8425a.pth` ends in; None for a date."""
    found = re.search(r'-([0-9a-f]{8,64})\.\w+$', name)
    return found[1] if found and not found[1].isdigit() else None


def _download(url: str, target: Path) -> None:
    """Fetch a file, completely or not at all.

    Raises:
        CheckpointError: If it cannot be fetched, or is not the one its name announces.
    """
    from torch import hub

    from mmfas.utils.checkpoint import CheckpointError

    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        hub.download_url_to_file(url, str(target), _announced_hash(target.name), progress=sys.stderr.isatty())
    except (OSError, RuntimeError) as error:  # no connection or refused; a wrong hash
        raise CheckpointError(
            f"cannot download '{url}': {error}; check the address, or download it yourself and give the path"
        ) from error


def load_from_url(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Download a checkpoint (once, on the main process of each machine) and load it strictly.

    Args:
        filename: Address that starts with http:// or https://.
        map_location: Device of the tensors, as in `torch.load`.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: If the file cannot be fetched, its name ends in a hash (`-<8 or more digits>.pth`) that is
            not its own, or it is refused.
    """
    from mmengine.dist import barrier, get_local_rank

    target = cached_path(filename)
    if get_local_rank() == 0 and not target.is_file():
        _download(filename, target)
    barrier()
    return load_from_file(str(target), map_location)


def refuse_scheme(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Refuse an address of a kind that mmfas does not load from.

    Raises:
        CheckpointError: Always.
    """
    from mmfas.utils.checkpoint import CheckpointError

    raise CheckpointError(f"cannot load '{filename}': give the path of a file, or an http(s) address")
