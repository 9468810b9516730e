"""Hooks without which a part of the model cannot train, compared with those of a config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmfas.config.lookup import find_part, scope_of
from mmfas.registry import MODELS


def _needs(cfg: Mapping[str, Any], scope: str) -> tuple[str, ...]:
    """Return the names of the hooks that a part requires: by `needed_hooks(cfg)`, or always by `needs_hooks`."""
    part, _ = find_part(MODELS, cfg.get('type'), scope_of(cfg, scope))  # problems: where the type is checked
    needed = getattr(part, 'needed_hooks', None)
    return getattr(part, 'needs_hooks', ()) if needed is None else needed(cfg)


def _name_of(part: Any) -> str:
    """Return the name of a class, which a config gives as text or as the class."""
    return part.rpartition('.')[2] if isinstance(part, str) else getattr(part, '__name__', '')


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
    names = {_name_of(hook.get('type')) for hook in given if isinstance(hook, Mapping)}
    model = cfg.get('model')
    if not isinstance(model, Mapping) or cfg.get('train_cfg') is None:
        return
    for key, part in model.items():
        if isinstance(part, Mapping) and 'type' in part:
            for name in _needs(part, scope):
                if name not in names:
                    yield f"custom_hooks: {part['type']} of model.{key} needs dict(type='{name}') to train; add it"
