"""Writing files, without torch: score tables and reports are read and written where no model is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomically(content: bytes, path: str | os.PathLike[str]) -> None:
    """Write a file so that it is there completely or not at all, whenever the process is killed.

    Args:
        content: Bytes of the file.
        path: Where to write; the folder is made.
    """
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f'.{file.name}.', suffix='.part')
    try:
        with os.fdopen(handle, 'wb') as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
