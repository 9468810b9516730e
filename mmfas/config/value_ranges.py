"""Ranges of config values, by their place in the config."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from importlib.util import find_spec
from typing import Any

import mmengine.registry
from mmengine.runner.priority import Priority

from mmfas.config.lookup import type_name
from mmfas.config.rules import at_least, is_finite, is_whole
from mmfas.config.wording import shown
from mmfas.structures import check_modalities
from mmfas.utils.numbers import is_number

Rule = Callable[[Any], str | None]


def _seconds(value: Any) -> str | None:
    """Say what a time must be."""
    return 'must be a finite number of at least 1' if is_number(value) and not 1 <= value < math.inf else None


def _rate(value: Any) -> str | None:
    """Say what a learning rate or a decay must be."""
    is_wrong = is_number(value) and not (math.isfinite(value) and value >= 0)
    return 'must be a finite number, 0 or more' if is_wrong else None


def _between(low: float, high: float, *, with_high: bool = False) -> Callable[[Any], str | None]:
    """Make a rule for numbers in [low, high), or [low, high]."""
    words = f'must be in [{low}, {high}{"]" if with_high else ")"}'
    return lambda value: (
        words if is_number(value) and not (low <= value < high or with_high and value == high) else None
    )


def _betas(value: Any) -> str | None:
    """Say what the decays of moments must be."""
    is_list = isinstance(value, list | tuple) and all(map(is_number, value))  # other kinds are reported elsewhere
    return 'must be numbers in [0, 1)' if is_list and not all(0 <= beta < 1 for beta in value) else None


def _accumulated(value: Any) -> str | None:
    """Say over how many batches gradients may be accumulated."""
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
        return None  # its type is wrong, which is reported elsewhere
    try:
        check_modalities(names)
    except ValueError as error:
        return str(error).removeprefix('modalities ').partition(', but got')[0]
    return None


def _seed(value: Any) -> str | None:
    """Say what a seed must be: numpy takes no other."""
    is_seed = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32
    return None if value is None or is_seed else 'must be an integer from 0 to 4294967295 (2**32 - 1)'


def _dropout(value: Any) -> str | None:
    """Say what a dropout probability must be; with 1 nothing is left."""
    values = value if isinstance(value, list | tuple) else [value]
    return 'must be in [0, 1)' if any(is_number(p) and not 0 <= p < 1 for p in values) else None


def _interval(value: Any) -> str | None:
    """Say how often a hook may do something."""
    is_wrong = isinstance(value, bool) or is_number(value) and not is_whole(value)
    if is_wrong or is_number(value) and not (value >= 1 or value == -1):
        return f'must be {"an integer of " if is_wrong else ""}at least 1, or -1 for never'
    return None


def _better(value: Any) -> str | None:
    """Say what the rule of a best value must be."""
    names = value if isinstance(value, list | tuple) else [value]
    is_rule = all(name in ('less', 'greater') for name in names if name is not None)
    return None if is_rule else "must be 'less' or 'greater'"


def _priority(value: Any) -> str | None:
    """Say what the priority of a hook must be."""
    if isinstance(value, Priority):
        return None
    is_name = isinstance(value, str) and value.upper() in Priority.__members__
    is_level = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100
    return None if is_name or is_level else f'must be 0 to 100 or one of {", ".join(Priority.__members__)}'


def _range(value: Any) -> str | None:
    """Say what limits must be."""
    is_pair = isinstance(value, list | tuple) and len(value) == 2 and all(map(is_number, value))
    if not is_pair:
        return None  # its type is wrong, which is told elsewhere
    is_right = all(map(math.isfinite, value)) and value[0] < value[1]
    return None if is_right else 'must be two numbers (low, high) with low < high'


def _patches(value: Any) -> str | None:
    """Say what the sides of patches must leave of images."""
    if not isinstance(value, Mapping) or 'model_name' in value:
        return None  # the name of a model of timm says how large its patches are
    size, patch = value.get('img_size', 224), value.get('patch_size', 16)
    sizes, patches = (side if isinstance(side, list | tuple) else (side, side) for side in (size, patch))
    numbers = (*sizes, *patches)
    if len(sizes) != 2 or len(patches) != 2 or not all(isinstance(n, int) and n >= 1 for n in numbers):
        return None  # one of them is reported by itself
    is_whole = all(side % step == 0 for side, step in zip(sizes, patches))
    return None if is_whole else f'img_size {shown(size)} must be a multiple of patch_size {shown(patch)}'


def _heads(value: Any) -> str | None:
    """Say what the number of heads must be for a width."""
    if not isinstance(value, Mapping):
        return None
    dims, heads = value.get('embed_dims'), value.get('num_heads')
    if not (isinstance(dims, int) and isinstance(heads, int) and heads >= 1) or dims % heads == 0:
        return None
    return f'embed_dims {shown(dims)} must be a multiple of num_heads {shown(heads)}'


def _validated(value: Any) -> str | None:
    """Say that nothing would be validated, so that no checkpoint could be the best."""
    if not isinstance(value, Mapping):
        return None
    begin, last = value.get('val_begin'), value.get('max_epochs', value.get('max_iters'))
    if not (is_number(begin) and is_number(last) and begin > last):
        return None
    return f'val_begin {shown(begin)} is after the end, {shown(last)}: nothing would be validated; take it out'


def _file_name(value: Any) -> str | None:
    """Say what the name of checkpoints must be: a number goes into it, and they all lie in one folder."""
    if not isinstance(value, str):
        return None
    is_right = value.count('{}') == 1 and value.count('{') == value.count('}') == 1 and '/' not in value
    return None if is_right else 'must be a file name with one {} for the number, such as epoch_{}.pth'


def _intervals(value: Any) -> str | None:
    """Say what the intervals of validation that change must be."""
    given = value.get('dynamic_intervals') if isinstance(value, Mapping) else None
    if given is None:
        return None
    pairs = given if isinstance(given, list | tuple) else [given]
    is_right = all(
        isinstance(pair, list | tuple) and len(pair) == 2 and all(map(is_whole, pair)) and pair[0] >= 0 < pair[1]
        for pair in pairs
    )
    words = 'dynamic_intervals must be pairs (first epoch or iteration, interval of at least 1)'
    return None if pairs and is_right else f'{words}, got {shown(given)}'


def _start_method(value: Any) -> str | None:
    """Say how workers may be started."""
    names = ('fork', 'forkserver', 'spawn')
    return f'must be one of {names}' if isinstance(value, str) and value not in names else None


def _decay_of_averages(value: Any) -> str | None:
    """Say what the weight of the newest weights must be."""
    if not isinstance(value, Mapping) or not type_name(value).endswith('EMAHook'):
        return None
    momentum: Any = value.get('momentum')
    is_wrong = is_number(momentum) and not 0 < momentum < 1
    return f'momentum must be above 0 and below 1, got {shown(momentum)}' if is_wrong else None


def _scope(value: Any) -> str | None:
    """Say what a default scope must be; mmengine takes another name and finds the parts of its own."""
    roots = [node for node in vars(mmengine.registry).values() if isinstance(node, mmengine.registry.Registry)]
    if not isinstance(value, str) or any(value in node.children for node in roots):
        return None
    try:
        is_there = find_spec(value.partition('.')[0]) is not None
    except (ValueError, ImportError):
        is_there = False
    return None if is_there else 'must be the name of a package that is installed, such as mmfas'


def _sides(value: Any) -> str | None:
    """Say what the side of a patch or an image must be."""
    sides = value if isinstance(value, list | tuple) else [value]
    is_right = len(sides) <= 2 and all(is_number(n) and n >= 1 and n == int(n) for n in sides if is_finite(n))
    return (
        None if sides and is_right and all(map(is_finite, sides)) else 'must be an integer of at least 1, or two'
    )


#: Rules of a whole dictionary, which is shown by the keys that the message names.
DICT_RULES: tuple[tuple[str, Rule], ...] = (
    ('model.trunk.vit', _patches),
    ('model*.arch', _heads),
    ('train_cfg', _validated),
    ('train_cfg', _intervals),
    ('custom_hooks', _decay_of_averages),
)
#: Place in the config (list positions left out, `*` matches any depth) -> rule: what is wrong, or None.
RULES: tuple[tuple[str, Rule], ...] = (
    ('train_cfg.max_epochs', lambda value: 'must be an integer of at least 1' if value is None else None),
    ('train_cfg.max_epochs', at_least(1)),
    ('train_cfg.max_iters', at_least(1)),
    ('train_cfg.val_interval', at_least(1)),
    ('*_dataloader*.batch_size', at_least(1)),
    ('*_dataloader*.num_workers', at_least(0)),
    ('*_dataloader.num_batch_per_epoch', at_least(1)),
    ('*_dataloader.prefetch_factor', at_least(1)),
    ('*_dataloader.timeout', at_least(0)),
    ('*_dataloader.multiprocessing_context', _start_method),
    ('optim_wrapper.*lr', _rate),
    ('optim_wrapper.*weight_decay', _rate),
    # a rate of 0 freezes the parameters of a pattern of `custom_keys`; for all parameters it would train nothing
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
    ('randomness.seed', _seed),
    ('default_scope', _scope),
    ('*_dataloader.sampler.seed', _seed),
    ('env_cfg.mp_cfg.opencv_num_threads', at_least(0)),
    ('env_cfg.resource_limit', at_least(1)),
    ('env_cfg.dist_cfg.timeout', _seconds),
    ('auto_scale_lr.base_batch_size', at_least(1)),
    ('visualizer.name', lambda value: None if isinstance(value, str) else 'must be a string'),
    ('compile', lambda value: None if isinstance(value, bool | Mapping) else 'must be True, False or a dict'),
    ('log_processor.window_size', at_least(1)),
    ('log_processor.num_digits', at_least(0)),
    ('default_hooks.checkpoint.interval', _interval),
    ('default_hooks.checkpoint.max_keep_ckpts', _interval),
    ('default_hooks.checkpoint.rule', _better),
    ('default_hooks.checkpoint.filename_tmpl', _file_name),
    ('default_hooks.logger.interval', at_least(1)),
    ('default_hooks.*.interval', _interval),
    ('custom_hooks.interval', _interval),
    ('custom_hooks.rule', _better),
    ('custom_hooks.begin_*', at_least(0)),
    ('param_scheduler.gamma', lambda value: None if is_number(value) else 'must be a number'),
    ('default_hooks.*.priority', _priority),
    ('custom_hooks.priority', _priority),
    ('model*.*drop_rate', _dropout),
    ('model*.*drop_path_rate', _dropout),
    ('model*.dropout', _dropout),
    ('model.trunk.vit.img_size', _sides),
    ('model.trunk.vit.patch_size', _sides),
    ('model*dims', at_least(1)),
    ('model*.feedforward_channels', at_least(1)),
    ('model*.num_heads', at_least(1)),
    ('model*.num_layers', at_least(1)),
    # a negative weight turns a loss round
    ('model*.*_weight', _rate),
    ('model*.num_*', at_least(0)),
    ('model*', lambda value: 'must be finite' if is_number(value) and not math.isfinite(value) else None),
    ('*', lambda value: 'must be a number' if is_number(value) and math.isnan(value) else None),
    ('*', lambda value: 'must hold no NUL' if isinstance(value, str) and '\0' in value else None),
    ('*depth_range_mm', _range),
    ('*ir_range', _range),
)


@functools.lru_cache(maxsize=16384)
def _rules_of(plain: str) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """Return the entries of `RULES` and of `DICT_RULES` for a place, which has no numbers of list entries."""
    values, dicts = (
        tuple(rule for pattern, rule in rules if fnmatchcase(plain, pattern)) for rules in (RULES, DICT_RULES)
    )
    return values, dicts


def range_problems(path: str, value: Any) -> Iterator[str]:
    """Find numbers and names that no run can work with.

    Values of a wrong type are left to `value_problems`.

    Args:
        path: Place of the value, such as `'train_cfg'`.
        value: Part of a config.

    Yields:
        One line for every value that is out of its range.

    >>> list(range_problems('train_cfg', dict(by_epoch=True, max_epochs=0)))
    ['train_cfg.max_epochs: must be at least 1, got 0']
    """
    rules, dict_rules = _rules_of(re.sub(r'\[\d+\]', '', path))
    wrong = next((found for rule in rules if (found := rule(value))), None)
    if wrong is not None:
        yield f'{path}: {wrong}, got {shown(value)}'
        return
    yield from (f'{path}: {found}' for rule in dict_rules if (found := rule(value)))
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from range_problems(f'{path}.{key}', inner)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from range_problems(f'{path}[{i}]', item)
