"""The public face of mmfas: train, test, check, models by name, scores, inference. Imported at first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmfas.apis.model_index import ModelEntry, get_model, list_models, model_entry
    from mmfas.apis.testing import test
    from mmfas.apis.training import train
    from mmfas.config.check import check_config
    from mmfas.evaluation.evaluate import evaluate_scores

#: Public name -> the module that defines it, imported when the name is first used (PEP 562). No module of this
#: package may have the name of a public function: the import system would put the module in its place.
_HOMES = {
    'FASInferencer': 'mmfas.deploy.inferencer',
    'ModelEntry': 'mmfas.apis.model_index',
    'check_config': 'mmfas.config.check',
    'evaluate_scores': 'mmfas.evaluation.evaluate',
    'get_model': 'mmfas.apis.model_index',
    'list_models': 'mmfas.apis.model_index',
    'model_entry': 'mmfas.apis.model_index',
    'test': 'mmfas.apis.testing',
    'train': 'mmfas.apis.training',
}

__all__ = [
    'FASInferencer',
    'ModelEntry',
    'check_config',
    'evaluate_scores',
    'get_model',
    'list_models',
    'model_entry',
    'test',
    'train',
]


def __getattr__(name: str) -> Any:
    """Import the home of a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mmfas.apis' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
