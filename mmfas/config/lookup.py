"""Finding what a `type` of a config names, whatever its value is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.registry import Registry

from mmfas.config.wording import shown
from mmfas.registry import MODELS, PART_REGISTRIES, TypedView, resolve

#: Characters of the longest name that is looked up; longer ones would only fill the screen.
_LONGEST_NAME = 200


def scope_of(cfg: Mapping[str, Any], default: str) -> str:
    """Return the scope in which the type of a part is looked up; `default` where it gives none or no name."""
    scope = cfg.get('_scope_')
    return scope if isinstance(scope, str) else default


def type_name(part: Mapping[str, Any]) -> str:
    """Return the name of the type of a part without its scope; empty where it gives none.

    >>> type_name(dict(type='mmengine.EMAHook'))
    'EMAHook'
    """
    kind = part.get('type')
    return kind.rpartition('.')[2] if isinstance(kind, str) else getattr(kind, '__name__', '')


def _kind_of(name: str, wanted: Registry | TypedView) -> str | None:
    """Return the kind of part that `name` is in another registry, or None if no registry has it."""
    for kind, other in PART_REGISTRIES.items():
        if other is wanted or other is MODELS:
            continue
        if isinstance(other, Registry):
            other.import_from_location()
        if name in other.module_dict:
            return kind
    return None


def find_part(registry: Registry | TypedView, type_name: Any, scope: str) -> tuple[Any, str | None]:
    """Look a type up.

    Args:
        registry: Where it belongs.
        type_name: Value of `type`.
        scope: Scope of names without a prefix.

    Returns:
        The class or function (None if there is none), and what is wrong (None if nothing is).
    """
    is_name = isinstance(type_name, str) and len(type_name) <= _LONGEST_NAME
    if not (is_name or callable(type_name)):
        return None, f'must be a name or a class, got {shown(type_name)}'
    try:
        if isinstance(registry, TypedView):
            found = registry.get(type_name)
        else:
            with registry.switch_scope_and_registry(scope) as scoped:
                found = resolve(scoped, type_name)
    except KeyError as error:
        kind = _kind_of(type_name, registry)
        if kind is not None:
            return None, f'{type_name} is a {kind}, not a {registry.name}'
        return None, str(error.args[0])
    except (TypeError, ImportError) as error:
        return None, str(error)
    except (Exception, SystemExit) as error:  # a dotted name imports a module, which can do anything
        return None, f'{shown(type_name)} cannot be imported: {type(error).__name__}: {error}'
    if not callable(found):
        return None, f'{shown(type_name)} is neither a class nor a function'
    return found, None
