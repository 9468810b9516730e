"""Kinds of the top-level values of a config, and the keys of its plain dictionaries."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from mmfas.config.signatures import near_match
from mmfas.config.value_types import fits
from mmfas.config.wording import shown

_DICT = Mapping
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
#: Key at the top -> types of its value besides None, and their description. Objects that no file can hold pass.
TOP_LEVEL_KINDS: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(
        (
            'auto_scale_lr',
            'custom_imports',
            'data_preprocessor',
            'default_hooks',
            'env_cfg',
            'extra_test_dataloaders',
            'log_processor',
            'model',
            'model_wrapper_cfg',
            'optim_wrapper',
            'randomness',
            'site_dataloader',
            'strategy',
            'test_cfg',
            'train_cfg',
            'tta_model',
            'val_cfg',
            'visualizer',
            *_LOADERS,
        ),
        (_DICT, 'a dict'),
    ),
    **dict.fromkeys(
        ('param_scheduler', 'val_evaluator', 'test_evaluator'), (list | _DICT, 'a dict or a list of them')
    ),
    **dict.fromkeys(('custom_hooks', 'tta_pipeline'), (list, 'a list of dicts')),
    **dict.fromkeys(
        ('default_scope', 'experiment_name', 'launcher', 'load_from', 'runner_type', 'work_dir'), (str, 'a string')
    ),
    'resume': (bool, 'True or False'),
    'log_level': (str | int, "the name of a level, such as 'INFO'"),
}
#: Plain dictionary -> key -> kind and words; other keys are reported unless the dictionary hands them on.
PLAIN_KEYS: dict[str, dict[str, tuple[Any, str]]] = {
    'env_cfg': {
        'cudnn_benchmark': (bool, 'True or False'),
        'mp_cfg': (_DICT, 'a dict'),
        'dist_cfg': (_DICT, 'a dict'),
        'resource_limit': (int, 'an integer'),
    },
    'env_cfg.mp_cfg': {'mp_start_method': (str, 'a string'), 'opencv_num_threads': (int, 'an integer')},
    'env_cfg.dist_cfg': {
        'backend': (str, 'a string'),
        'init_backend': (str, 'a string'),
        'timeout': (float, 'a number of seconds'),
        'port': (int | str, 'a number'),
    },
    'auto_scale_lr': {'enable': (bool, 'True or False'), 'base_batch_size': (int, 'an integer')},
    'custom_imports': {
        'imports': (str | list[str], 'a list of module names'),
        'allow_failed_imports': (bool, 'True or False'),
    },
}
#: Plain dictionaries whose other keys go to a function of torch: only what looks like a slip is reported there.
_OPEN = ('env_cfg.dist_cfg',)
#: Place -> values that are known.
_CHOICES = {
    'launcher': ('none', 'pytorch', 'slurm', 'mpi'),
    'env_cfg.mp_cfg.mp_start_method': ('fork', 'spawn', 'forkserver'),
}
#: Bits of the largest integer that anything takes; Python cannot even write one of 4,300 digits down.
_MAX_BITS = 64


def top_level_kinds(tree: Mapping[Any, Any]) -> dict[Any, str]:
    """Find values at the top of a config that are of another kind than anything can read.

    Args:
        tree: A whole config.

    Returns:
        Key -> one line, for every such key.
    """
    problems = {}
    for key, value in tree.items():
        kind, words = TOP_LEVEL_KINDS.get(key, (Any, '')) if isinstance(key, str) else (Any, '')
        if not isinstance(key, str):
            problems[key] = f'{shown(key)}: a key at the top must be a name'
        elif value is not None and not fits(value, kind):
            problems[key] = f'{key}: must be {words}, got {shown(value)}'
    return problems


def plain_key_problems(tree: Mapping[str, Any]) -> Iterator[str]:
    """Find keys of plain dictionaries that nothing reads, and values of another kind than is read.

    Args:
        tree: A whole config whose top is of the right kinds.

    Yields:
        One line for every problem.
    """
    for place, known in PLAIN_KEYS.items():
        value: Any = tree
        for step in place.split('.'):
            value = value.get(step) if isinstance(value, Mapping) else None
        for key, inner in value.items() if isinstance(value, Mapping) else ():
            if key not in known:
                near = near_match(str(key), known, cutoff=0.8 if place in _OPEN else 0.6)
                if near is not None or place not in _OPEN:
                    hint = f'did you mean {near}?' if near else f'{place} takes {", ".join(sorted(known))}'
                    yield f'{place}.{key}: unexpected, {hint}'
            elif inner is not None and not fits(inner, known[key][0]):
                yield f'{place}.{key}: must be {known[key][1]}, got {shown(inner)}'
    for place, choices in _CHOICES.items():
        value = tree
        for step in place.split('.'):
            value = value.get(step) if isinstance(value, Mapping) else None
        if isinstance(value, str) and value not in choices:
            near = near_match(value, choices)
            yield f'{place}: must be one of {choices}, got {value!r:.80}' + (
                f'; did you mean {near}?' if near else ''
            )
    yield from _log_level(tree.get('log_level'))


def _log_level(level: Any) -> Iterator[str]:
    """Yield what is wrong with the level of the log."""
    names = logging.getLevelNamesMapping() if hasattr(logging, 'getLevelNamesMapping') else logging._nameToLevel
    if isinstance(level, str) and level not in names:
        near = near_match(level.upper(), names)
        yield f'log_level: must be one of {", ".join(names)}, got {level!r:.80}' + (
            f'; did you mean {near}?' if near else ''
        )


def without_oversized(value: Any) -> Any:
    """Copy part of a config, with integers that `oversized_numbers` reports cut down to what rules take."""
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        return 2 ** (_MAX_BITS - 1)
    if isinstance(value, Mapping):
        return {key: without_oversized(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(without_oversized(item) for item in value)
    return value


def oversized_numbers(path: str, value: Any) -> Iterator[str]:
    """Find integers that are larger than any setting can be.

    Args:
        path: Place of the value.
        value: Part of a config.

    Yields:
        One line for every such number.
    """
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        yield f'{path}: an integer of {value.bit_length()} bits; no setting can be that large'
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from oversized_numbers(f'{path}.{key}', inner)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from oversized_numbers(f'{path}[{i}]', item)
