"""What counts when a folder of data is looked through: one rule for converters, the face crop and checks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from mmfas.utils.file_identity import FileIdentity

__all__ = ['is_hidden', 'visible_entries', 'visible_files', 'walk_visible']

#: What operating systems and programs put beside data without a leading dot, in lower case: archives of macOS,
#: network drives, bins, thumbnails of Windows, Python's caches.
_LITTER = frozenset(
    {
        '__macosx',
        '__pycache__',
        '@eadir',
        '#recycle',
        '$recycle.bin',
        'system volume information',
        'lost+found',
        'thumbs.db',
        'ehthumbs.db',
        'desktop.ini',
    }
)


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder is not data: its name begins with a dot, or an operating system made it.

    Args:
        name: Its name, without the folders above it.

    >>> [is_hidden(name) for name in ('.ipynb_checkpoints', '._e.png', '__MACOSX', 'Thumbs.db', 'e.png')]
    [True, True, True, True, False]
    """
    return name.startswith('.') or name.lower() in _LITTER


def visible_entries(folder: str | os.PathLike[str]) -> list[Path]:
    """Return files and folders in a folder that are data.

    Args:
        folder: The folder; its own name does not matter.

    Returns:
        Their paths, sorted by name.
    """
    return [Path(folder, name) for name in sorted(os.listdir(folder)) if not is_hidden(name)]


def walk_visible(root: str | os.PathLike[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk through a folder as `os.walk` does, without what is hidden.

    Links to folders are followed. A folder that several paths lead to is visited once, under its own name rather
    than under that of a link beside it, so that circles of links end.

    Args:
        root: Where to begin; its own name does not matter.

    Yields:
        Folder, names of its folders (remove some to leave them out) and of its files, all sorted.

    Raises:
        OSError: If a folder cannot be read.
    """
    identity, seen = FileIdentity(), set()
    for place, folders, files in os.walk(root, onerror=_refuse, followlinks=True):
        folders.sort(key=lambda name: (os.path.islink(os.path.join(place, name)), name))
        folders[:] = [name for name in folders if not is_hidden(name)]
        if (key := identity.of(place)) in seen:
            folders.clear()
            continue
        seen.add(key)
        yield place, folders, sorted(name for name in files if not is_hidden(name))


def _refuse(error: OSError) -> None:
    """Report a folder that cannot be read, which `os.walk` would silently leave out."""
    raise error


def visible_files(root: str | os.PathLike[str], pattern: str = '*') -> list[Path]:
    """Return all files below a folder that are data.

    Args:
        root: The folder.
        pattern: What their names must match, such as `'*.npz'`.

    Returns:
        Their paths, sorted.
    """
    names = ((place, name) for place, _, files in walk_visible(root) for name in files)
    return sorted(Path(place, name) for place, name in names if fnmatchcase(name, pattern))
