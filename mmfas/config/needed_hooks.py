"""Hooks without which a part of the model cannot train, compared with those of a config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmfas.config.hooks import hooks_of
from mmfas.config.lookup import find_part, scope_of, type_name
from mmfas.registry import MODELS


def _needs(cfg: Mapping[str, Any], scope: str) -> tuple[str, ...]:
    """Return the names of the hooks that a part requires: by `needed_hooks(cfg)`, or always by `needs_hooks`."""
    part, _ = find_part(MODELS, cfg.get('type'), scope_of(cfg, scope))  # problems: where the type is checked
    needed = getattr(part, 'needed_hooks', None)
    return getattr(part, 'needs_hooks', ()) if needed is None else needed(cfg)


def missing_hooks(cfg: Mapping[str, Any], scope: str) -> Iterator[str]:
    """Find the hooks that parts of the model need for training but a config does not give.

    Args:
        cfg: A whole config as for Runner.
        scope: Where types without a prefix are looked up.

    Yields:
        One line for every hook that is missing; nothing for a config that does not train.
    """
    names = {type_name(hook) for _, hook in hooks_of(cfg)}
    model = cfg.get('model')
    if not isinstance(model, Mapping) or cfg.get('train_cfg') is None:
        return
    for key, part in model.items():
        if isinstance(part, Mapping) and 'type' in part:
            for name in _needs(part, scope):
                if name not in names:
                    yield f"custom_hooks: {part['type']} of model.{key} needs dict(type='{name}') to train; add it"
