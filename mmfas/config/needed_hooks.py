"""Hooks without which a part of the model cannot train, held against those of a config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmfas.registry import MODELS, resolve


def _needs(cfg: Mapping[str, Any], scope: str) -> tuple[str, ...]:
    """Return the names of the hooks that a part asks for in its class attribute `needs_hooks`."""
    try:
        with MODELS.switch_scope_and_registry(cfg.get('_scope_', scope)) as scoped:
            return getattr(resolve(scoped, cfg.get('type')), 'needs_hooks', ())
    except (KeyError, ImportError):
        return ()  # reported where the type is checked


def missing_hooks(cfg: Mapping[str, Any], scope: str) -> Iterator[str]:
    """Find the hooks that parts of the model need for training but a config does not give.

    Args:
        cfg: A whole config as for Runner.
        scope: Where types without a prefix are looked up.

    Yields:
        One line for every hook that is missing; nothing for a config that does not train.
    """
    hooks = cfg.get('default_hooks')
    given = [*(hooks.values() if isinstance(hooks, Mapping) else ()), *(cfg.get('custom_hooks') or ())]
    names = {str(hook.get('type')).rpartition('.')[2] for hook in given if isinstance(hook, Mapping)}
    model = cfg.get('model')
    if not isinstance(model, Mapping) or cfg.get('train_cfg') is None:
        return
    for key, part in model.items():
        if isinstance(part, Mapping) and 'type' in part:
            for name in _needs(part, scope):
                if name not in names:
                    yield f"custom_hooks: {part['type']} of model.{key} needs dict(type='{name}') to train; add it"
