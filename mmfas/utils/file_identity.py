"""Which file a path means: one identity for leak checks, clean lists, protocols and folders; needs no torch."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping

from mmfas.utils.names import plain_name

__all__ = ['FileIdentity']


class FileIdentity:
    """Tell whether paths name the same file, however they are spelled.

    A file that exists is known by its number in the file system, which is what `os.path.samefile` compares: `./x`,
    `a/../x`, absolute and relative paths, links of both kinds and, where the file system ignores it, other case
    are one file. A file that does not exist is known by its resolved path, without what
    cannot be seen of it (`plain_name`). Copies are other files, unless
    files are identified by content.

    Make one object per check: it looks every path up once. A lookup is one call of the system (2 us on a local
    disk); reading the content takes as long as reading the files.

    Args:
        by_content: Know files by the SHA-256 of their content, so that byte copies are one file too.

    >>> same = FileIdentity()
    >>> same.of('faces/a.png') == same.of('./faces/x/../a.png')
    True
    >>> same.of('faces/a.png') == same.of('faces/b.png')
    False
    """

    def __init__(self, *, by_content: bool = False) -> None:
        self.by_content = by_content
        self._files: dict[str, Hashable] = {}
        self._folders: dict[str, str] = {}
        #: Folders that do not exist: nothing in them needs to be looked up.
        self._absent: set[str] = set()
        self._contents: dict[Hashable, str] = {}

    def of(self, path: str | os.PathLike[str]) -> Hashable:
        """Return what is equal for all paths of one file.

        Args:
            path: A path, absolute or relative to the working folder; the file need not exist.

        Returns:
            A key to compare and to hash.
        """
        spelled = os.fspath(path)
        # Looked up once per spelling: on some network file systems the number of a file changes with time.
        if spelled not in self._files:
            self._files[spelled] = self._content(spelled) if self.by_content else self._number(spelled)
        return self._files[spelled]

    def of_sample(self, paths: Mapping[str, str]) -> frozenset[Hashable]:
        """Return what is equal for all samples of the same files.

        Args:
            paths: Modality or `'npz'` -> path.

        Returns:
            The identities of its files.
        """
        return frozenset(map(self.of, paths.values()))

    def _number(self, path: str) -> Hashable:
        """Return device and number of a file that exists, else its resolved path."""
        above = os.path.dirname(path)
        if above in self._absent:
            return self._of_absent(path)
        try:
            status = os.stat(path)
        except (OSError, ValueError):  # ValueError: a path with a NUL
            if above and '\0' not in above and not os.path.lexists(above):
                self._absent.add(above)
            return self._of_absent(path)
        return (status.st_dev, status.st_ino) if status.st_ino else self._resolve(path)

    def _of_absent(self, path: str) -> Hashable:
        """Return the identity of what does not exist as it is spelled, but may without what cannot be seen."""
        plain = os.sep.join(map(plain_name, path.split(os.sep)))
        return self._resolve(path) if plain == path else self.of(plain)

    def _content(self, path: str) -> Hashable:
        """Return the SHA-256 of a file that can be read, else its identity without the content."""
        from mmfas.utils.checkpoint import sha256_of  # it imports torch, which other uses do without

        number = self._number(path)
        if number not in self._contents:
            try:
                self._contents[number] = sha256_of(path)
            except (OSError, ValueError):
                return number
        return self._contents[number]

    def _resolve(self, path: str) -> str:
        """Return the real path of something that need not exist; a folder above many files is resolved once."""
        known = self._folders.get(path)
        if known is None:
            above, name = os.path.split(path)
            try:
                if name in ('', os.curdir, os.pardir):
                    known = os.path.realpath(path)
                else:
                    place = os.path.join(self._resolve(above), name)
                    is_link = above not in self._absent and os.path.islink(place)
                    known = os.path.realpath(place) if is_link else place
            except (OSError, ValueError):  # nothing to resolve: too many links, a NUL
                known = path
            known = self._folders[path] = os.path.normcase(known)
        return known
