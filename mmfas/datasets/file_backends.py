"""Backends of `mmengine.fileio` that pictures are read through, with errors that name `backend_args`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.fileio import get_file_backend
from mmengine.fileio.backends import backends

import mmfas.datasets.packed_files  # noqa: F401  registers the backend `packed`
from mmfas.utils.errors import InputError, MissingPackageError, UserError

__all__ = ['check_backend_args', 'open_backend']


def check_backend_args(backend_args: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Check that a backend is named which exists; it is opened later, in the process that reads.

    Args:
        backend_args: Arguments of a backend and its name, `backend`; None for files of this machine.

    Returns:
        A copy.

    Raises:
        ValueError: If none is named, or one that is not registered.
    """
    if backend_args is None:
        return None
    name = backend_args.get('backend')
    if name not in backends:
        raise InputError(
            f'backend_args.backend must be one of {", ".join(sorted(backends))}, got {name!r}; '
            'mmengine.fileio.register_backend adds one of your own'
        )
    return dict(backend_args)


def open_backend(backend_args: Mapping[str, Any]) -> Any:
    """Open a backend.

    Args:
        backend_args: What `check_backend_args` returned.

    Raises:
        ImportError: If the package that it needs is not installed.
        ValueError: If it does not take the arguments.
    """
    try:
        return get_file_backend(backend_args=dict(backend_args))
    except UserError:
        raise
    except ImportError as error:
        raise MissingPackageError(f'backend_args={dict(backend_args)}: {error}') from error
    except (TypeError, ValueError, AssertionError, OSError) as error:
        raise InputError(f'backend_args={dict(backend_args)} is not accepted: {error}') from error
