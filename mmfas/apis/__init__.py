"""Functions that join the rooms: train, test, inspect. A name is imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmfas.apis.model_index import ModelEntry, get_model, list_models, model_entry

__all__ = ['ModelEntry', 'get_model', 'list_models', 'model_entry']


def __getattr__(name: str) -> Any:
    """Import the home of a public name on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'mmfas.apis' has no attribute {name!r}")
    return getattr(import_module('mmfas.apis.model_index'), name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
