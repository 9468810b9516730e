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


def _between(low: float, high: float, *, with_high: bool = False) -> Callable[[Any], str | None]:
    """Make a rule for numbers in [low, high), or [low, high]."""
    words = f'must be in [{low}, {high}{"]" if with_high else ")"}'
    return lambda value: (
        words if _is_number(value) and not (low <= value < high or with_high and value == high) else None
    )


def _betas(value: Any) -> str | None:
    """Say what the decays of moments must be."""
    is_list = isinstance(value, list | tuple) and all(map(_is_number, value))  # other kinds are told elsewhere
    return 'must be numbers in [0, 1)' if is_list and not all(0 <= beta < 1 for beta in value) else None


def _accumulated(value: Any) -> str | None:
    """Say how many batches may make a step."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return None if is_count or isinstance(value, str) else 'must be an integer of at least 1'


def _loss_scale(value: Any) -> str | None:
    """Say what a loss scale must be; mmengine refuses an integer."""
    if value == 'dynamic' or isinstance(value, Mapping):
        return None
    is_scale = isinstance(value, float) and math.isfinite(value) and value > 0
    return None if is_scale else "must be 'dynamic', a float above 0 such as 512.0, or arguments of GradScaler"


def _amp_dtype(value: Any) -> str | None:
    """Say in which precision mixed precision can run."""
    names = ('float16', 'bfloat16', 'float32', 'float64')
    return f'must be one of {names}' if isinstance(value, str) and value not in names else None


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
    # a rate of 0 stands in a pattern of `custom_keys` for what is not to move; for everything it trains nothing
    (
        'optim_wrapper*.optimizer.lr',
        lambda value: 'must be above 0: nothing would be trained' if value == 0 else None,
    ),
    ('optim_wrapper*.optimizer.betas', _betas),
    ('optim_wrapper*.optimizer.eps', _rate),
    ('optim_wrapper*.optimizer.momentum', _between(0, 1)),
    ('optim_wrapper*.optimizer.dampening', _between(0, 1, with_high=True)),
    ('optim_wrapper*.optimizer.maximize', lambda value: 'would climb the loss; take it out' if value else None),
    ('optim_wrapper*.accumulative_counts', _accumulated),
    ('optim_wrapper*.loss_scale', _loss_scale),
    ('optim_wrapper*.dtype', _amp_dtype),
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
