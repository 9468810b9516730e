"""The former place of the renderer: `mmfas.synthfas` is the new one. Goes with version 0.3."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    """Hand out what `mmfas.synthfas` has, with a warning."""
    if name.startswith('__'):
        raise AttributeError(name)
    warnings.warn(
        'mmfas.datasets.synthetic has moved to mmfas.synthfas; the old name goes with the next minor release',
        DeprecationWarning,
        stacklevel=2,
    )
    return getattr(import_module('mmfas.synthfas'), name)
