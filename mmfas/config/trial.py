"""Parts that need little but their arguments, built once to learn which values they refuse."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.registry import Registry

from mmfas import registry as parts
from mmfas.config.lookup import find_part, scope_of
from mmfas.utils.errors import MissingFileError, UserError

#: Place in the config (list positions left out) -> registry of its parts, which hardly read a file when built.
_PLACES: tuple[tuple[str, Registry], ...] = (
    (r'.*_dataloaders?(\..*)?\.pipeline', parts.TRANSFORMS),
    (r'tta_pipeline', parts.TRANSFORMS),
    (r'custom_hooks|default_hooks\.\w+', parts.HOOKS),
    (r'(val|test)_evaluator(\.metrics)?', parts.METRICS),
)
#: Keys of a config that are not arguments.
_NO_ARGUMENTS = ('type', '_scope_', 'priority')


def refused_values(tree: Mapping[str, Any], scope: str) -> Iterator[str]:
    """Find values that an optimizer, or a transform, hook or metric of mmfas, refuses when it is built.

    Otherwise training would find them.

    Args:
        tree: A whole config in which nothing else is wrong.
        scope: Where types without a prefix are looked up.

    Yields:
        One line for every part that refuses its arguments.
    """
    for key, value in tree.items():
        yield from _below(key, value, scope)
    yield from _optimizers('optim_wrapper', tree.get('optim_wrapper'), scope)


def _optimizers(path: str, wrapper: Any, scope: str) -> Iterator[str]:
    """Yield why the optimizer of a wrapper, or of several by name, refuses its arguments for any parameter."""
    for key, value in wrapper.items() if isinstance(wrapper, Mapping) else ():
        if key != 'optimizer':
            yield from _optimizers(f'{path}.{key}', value, scope)
            continue
        if not isinstance(value, Mapping) or 'type' not in value:
            continue  # said by others, or an optimizer that is built
        part, _ = find_part(parts.OPTIMIZERS, value['type'], scope_of(value, scope))
        given = {name: inner for name, inner in value.items() if name not in _NO_ARGUMENTS}
        try:
            part([torch.nn.Parameter(torch.zeros(2, 2))], **copy.deepcopy(given))
        except (TypeError, ValueError) as error:
            yield f'{path}.optimizer: {" ".join(str(error).split())}'
        except Exception:  # it wants parameters of another kind, or a GPU
            continue


def _below(path: str, value: Any, scope: str) -> Iterator[str]:
    """Yield the problems of everything inside a value."""
    if isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _below(f'{path}[{number}]', item, scope)
    elif isinstance(value, Mapping):
        plain = re.sub(r'\[\d+\]', '', path)
        registry = next((found for place, found in _PLACES if re.fullmatch(place, plain)), None)
        if registry is not None and 'type' in value:
            yield from _of_part(path, value, registry, scope)
        for key, inner in value.items():
            yield from _below(f'{path}.{key}', inner, scope)


def _of_part(path: str, value: Mapping[str, Any], registry: Registry, scope: str) -> Iterator[str]:
    """Yield why one part cannot be built."""
    part, _ = find_part(registry, value['type'], scope_of(value, scope))
    if not getattr(part, '__module__', '').startswith('mmfas.'):
        return  # what others do when they are built is not known
    given = {key: inner for key, inner in value.items() if key not in _NO_ARGUMENTS}
    try:
        part(**copy.deepcopy(given))
    except MissingFileError:
        return  # a file that another command is yet to write, such as dev scores
    except UserError as error:
        yield f'{path}: {" ".join(str(error).split())}'
    except Exception:  # of other packages, which ours derive from
        return
