"""Several files in `_base_` may add hooks and back ends: mmengine refuses any name that two of them set.

So a recipe (`_base_/recipes/ema.py`) can stand beside a method that has hooks of its own. The file that inherits
replaces the joined list like any other, and reads it as `_base_.custom_hooks`.
"""

from __future__ import annotations

import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _collections_abc import dict_keys

__all__ = ['join_bases']


class _Joined(dict[str, Any]):
    """What a base file sets, with lists that go on those of the bases before it."""

    joined: frozenset[str] = frozenset()

    def keys(self) -> dict_keys[str, Any]:
        """Leave out what was joined: mmengine looks here for names that were set before."""
        return {key: self[key] for key in self if key not in self.joined}.keys()


def _plain(entry: Any) -> Any:
    """Return an entry without the scope that mmengine writes into a base once it was taken over."""
    return {k: v for k, v in entry.items() if k != '_scope_'} if isinstance(entry, dict) else entry


def _added(first: list[Any], second: list[Any]) -> list[Any]:
    """Put lists behind one another, equal entries once."""
    known = [_plain(entry) for entry in first]
    return [*first, *(entry for entry in second if _plain(entry) not in known)]


def _join(key: str, first: Any, second: Any) -> Any:
    """Join what two files set under one name; None if that is not possible."""
    if key == 'custom_hooks' and isinstance(first, list) and isinstance(second, list):
        return _added(first, second)
    if key == 'visualizer' and isinstance(first, dict) and isinstance(second, dict):
        one, two = first.get('vis_backends'), second.get('vis_backends')
        is_alike = _plain({**first, 'vis_backends': None}) == _plain({**second, 'vis_backends': None})
        if is_alike and isinstance(one, list) and isinstance(two, list):
            return type(first)({**first, 'vis_backends': _added(one, two)})
    return None


def _with_earlier(earlier: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Join what a base file sets with what those before it set, which is kept up to date."""
    joined = {
        key: both for key in earlier if key in found and (both := _join(key, earlier[key], found[key])) is not None
    }
    earlier |= {key: joined.get(key, found[key]) for key in ('custom_hooks', 'visualizer') if key in found}
    if not joined:
        return found
    result = _Joined(found, **joined)
    result.joined = frozenset(joined)
    return result


def join_bases(module: ModuleType) -> None:
    """Let `custom_hooks` and the back ends of `visualizer` of several base files be joined in their order.

    Args:
        module: `mmengine.config.config`, changed once.
    """
    if hasattr(module.Config, 'joins_bases'):
        return
    read = module.Config._file2dict
    state = threading.local()

    def file2dict(filename: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        above = getattr(state, 'earlier', None)
        state.earlier = {}  # what the bases of this file set, one after another
        try:
            found, *rest = read(filename, *args, **kwargs)
        finally:
            state.earlier = above
        return (found if above is None else _with_earlier(above, found), *rest)

    module.Config._file2dict = staticmethod(file2dict)
    module.Config.joins_bases = True
