"""What some values of a config must be beyond their type, by the place where they stand."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from mmfas.structures import check_modalities


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _at_least(least: int) -> Callable[[Any], str | None]:
    """Make a rule for counts."""
    return lambda value: f'must be at least {least}' if _is_number(value) and not value >= least else None


def _rate(value: Any) -> str | None:
    """Say what a learning rate or a decay must be."""
    is_wrong = _is_number(value) and not (math.isfinite(value) and value >= 0)
    return 'must be a finite number, 0 or more' if is_wrong else None


def _modalities(value: Any) -> str | None:
    """Say what a choice of modalities must be."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return None  # its type is wrong, which is told elsewhere
    try:
        check_modalities(names)
    except ValueError as error:
        return str(error).removeprefix('modalities ').partition(', but got')[0]
    return None


#: Place in the config (list positions left out, `*` matches any depth) -> rule: what is wrong, or None.
RULES: tuple[tuple[str, Callable[[Any], str | None]], ...] = (
    ('train_cfg.max_epochs', _at_least(1)),
    ('train_cfg.max_iters', _at_least(1)),
    ('train_cfg.val_interval', _at_least(1)),
    ('*_dataloader*.batch_size', _at_least(1)),
    ('*_dataloader*.num_workers', _at_least(0)),
    ('optim_wrapper.*lr', _rate),
    ('optim_wrapper.*weight_decay', _rate),
    ('model.modalities', _modalities),
    ('*_dataloader*.dataset.modalities', _modalities),
    ('*_dataloader*.datasets.modalities', _modalities),
)


def range_problems(path: str, value: Any) -> Iterator[str]:
    """Find numbers and names that no run can work with.

    Values of a wrong type are left to `value_problems`.

    Args:
        path: Where the value stands, such as `'train_cfg'`.
        value: Part of a config.

    Yields:
        One line for every value that is out of its range.

    >>> list(range_problems('train_cfg', dict(by_epoch=True, max_epochs=0)))
    ['train_cfg.max_epochs: must be at least 1, got 0']
    """
    plain = re.sub(r'\[\d+\]', '', path)
    wrong = next((told for pattern, rule in RULES if fnmatchcase(plain, pattern) and (told := rule(value))), None)
    if wrong is not None:
        yield f'{path}: {wrong}, got {value!r:.80}'
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from range_problems(f'{path}.{key}', inner)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from range_problems(f'{path}[{i}]', item)
