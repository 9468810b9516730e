"""The hooks of a config, wherever it gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def hooks_of(cfg: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield place and config of every hook.

    Args:
        cfg: A whole config as for Runner.

    >>> list(hooks_of(dict(default_hooks=dict(logger=None), custom_hooks=[dict(type='EMAHook')])))
    [('custom_hooks[0]', {'type': 'EMAHook'})]
    """
    hooks, custom = cfg.get('default_hooks'), cfg.get('custom_hooks')
    named = {f'default_hooks.{key}': hook for key, hook in hooks.items()} if isinstance(hooks, Mapping) else {}
    listed = enumerate(custom if isinstance(custom, list | tuple) else ())
    for path, hook in {**named, **{f'custom_hooks[{i}]': hook for i, hook in listed}}.items():
        if isinstance(hook, Mapping):
            yield path, hook
