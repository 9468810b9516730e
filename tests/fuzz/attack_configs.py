"""Attacks on config values, config keys and config files."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from harness import CANARY, Attack, must_be_refused
from mutators import damage, nested, odd_value, slip

from mmfas.config.check import check_config
from mmfas.config.keys import TOP_LEVEL_KEYS
from mmfas.config.reading import merge_options, read_config

REPO = Path(__file__).parents[2]
BASES = [
    'configs/baselines/concat_mini-vit_1xb32-12e_synthfas-cps2w.py',
    'configs/baselines/concat_resnet18_1xb32-12e_synthfas-cps2w.py',
    'configs/mmdg/mmdg_mini-vit_1xb32-12e_synthfas-cps2w.py',
    'configs/big_moe/big-moe_mini-vit_1xb32-12e_synthfas-cps2w.py',
    'configs/mmda/mmda_mini-vit_1xb32-12e_synthfas-cps2w.py',
]
#: Part of the names of parameters, for `custom_keys`.
PATTERN = 'trunk.vit'
#: Dictionaries whose keys are names of the user's own, or go where no signature says what is taken.
FREE = ('metainfo', 'extra_test_dataloaders', 'default_hooks', 'dist_cfg', 'losses')
#: Dictionaries without a type whose keys are all known.
CLOSED = ('clip_grad', 'paramwise_cfg', PATTERN)
#: Names at the top that are misspelt.
_READ = [
    'model',
    'train_dataloader',
    'optim_wrapper',
    'train_cfg',
    'default_hooks',
    'env_cfg',
    'randomness',
    'visualizer',
]


@cache
def _good(name: str) -> dict[str, Any]:
    cfg = read_config(str(REPO / name)).to_dict()
    factors = cfg['optim_wrapper'].setdefault('paramwise_cfg', {})
    factors['custom_keys'] = {PATTERN: dict(lr_mult=0.1, decay_mult=0.0)}
    return cfg


def _nodes(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield every place of a config and what stands there."""
    if way:
        yield way, value
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from _nodes(inner, (*way, key))


def _holder(cfg: Any, way: tuple[Any, ...]) -> Any:
    for key in way[:-1]:
        cfg = cfg[key]
    return cfg


def _unchecked(problems: Any) -> str | None:
    """Say whether the check gave up, or shows more than sentences."""
    bad = [line for line in problems if 'cannot be checked' in line or '\n' in line or len(line) > 2000]
    return f'the check gave up: {bad[0]:.300}' if bad else None


def values(rng: Random, folder: Path) -> Attack:
    """Odd values anywhere in a config; those that nothing takes must be a problem."""
    name = rng.choice(BASES)
    cfg = copy.deepcopy(_good(name))
    for _ in range(rng.choice([1, 1, 1, 3])):
        places = [way for way, _ in _nodes(cfg)]
        way = rng.choice(places)
        old = _holder(cfg, way)[way[-1]]
        new = odd_value(rng)
        _holder(cfg, way)[way[-1]] = new
    is_setting = way[0] in TOP_LEVEL_KEYS and way[-1] == 'type'  # others are variables of the file
    must = is_setting and not (isinstance(new, str) or callable(new)) and new is not None

    def wrong(problems: Any) -> str | None:
        if must and not problems:
            return f'{way}: {old!r:.80} -> {new!r:.80}'
        return _unchecked(problems)

    what = f'{name}: {".".join(map(str, way))} = {type(new).__name__}'
    return Attack(what, lambda: check_config(cfg), wrong, may_refuse=False)


def _misspellable(cfg: dict[str, Any]) -> list[tuple[Any, ...]]:
    found = []
    for way, _ in _nodes(cfg):
        holder = _holder(cfg, way)
        is_part = (
            len(way) == 1
            and way[0] in _READ
            or (len(way) > 1 and isinstance(holder, dict) and ('type' in holder or way[-2] in CLOSED))
        )
        if is_part and isinstance(way[-1], str) and len(way[-1]) >= 4 and not set(way[:-1]) & set(FREE):
            found.append(way)
    return [way for way in found if way[0] in _READ and way[-1] not in ('type', '_scope_')]


def keys(rng: Random, folder: Path) -> Attack:
    """Misspelt keys of parts and of the top: each must be a problem that names it."""
    name = rng.choice(BASES)
    cfg = copy.deepcopy(_good(name))
    way = rng.choice(_misspellable(cfg))
    holder, new = _holder(cfg, way), slip(way[-1], rng)
    holder[new] = holder.pop(way[-1])

    def wrong(problems: Any) -> str | None:
        if not any(new in line or way[-1] in line for line in problems):
            return f'{".".join(map(str, way))} misspelt as {new}: {problems}'
        return _unchecked(problems)

    return Attack(
        f'{name}: {".".join(map(str, way))} -> {new}', lambda: check_config(cfg), wrong, may_refuse=False
    )


def _python(rng: Random, folder: Path) -> dict[str, str]:
    canary = folder / CANARY
    deep = rng.choice(['[', '(', '{', '-', 'not ', 'f('])
    imports = rng.choice([5, dict(imports=5), dict(imports=['no.such.thing']), 'no_such'])
    error = rng.choice(['ValueError', 'OSError', 'KeyError(5)', 'RecursionError', 'StopIteration'])
    return {
        'sys.exit': f'import sys\nsys.exit({rng.choice([0, 1, "None", chr(39) + "x" + chr(39)])})',
        'BaseException': 'class Stop(BaseException): pass\nraise Stop',
        'own circle': "_base_ = './config.py'",
        'missing base': "_base_ = './nowhere.py'",
        'a folder': f"_base_ = '{folder}'",
        'base of another kind': rng.choice(['_base_ = 5', '_base_ = [None]', '_base_ = {}', '_base_ = b"x"']),
        'base that fails': '_base_ = 1 / 0',
        'unset variable': "work_dir = '{{$FUZZ_NOT_SET}}'",
        'unset variable, no default': "work_dir = '{{$FUZZ_NOT_SET:}}'",
        'unknown base value': 'lr = _base_.nowhere',
        'deep': 'x = ' + nested(deep, rng.choice([300, 5000])),
        'many digits': f'lr = {"7" * 6000}',
        'holds itself': 'a = []\na.append(a)',
        'deep values': 'a = 1\nfor _ in range(5000):\n    a = [a]\n',
        'imports': f'custom_imports = {imports!r}',
        'unknown reader': 'with open("x") as f:\n    pass',
        'raise': f'raise {error}',
        'lazy': 'from .nowhere import *',
        'late payload': f"raise ValueError\nimport os\nos.system('touch {canary}')",
    }


def _of_data(rng: Random, folder: Path, suffix: str) -> dict[str, str]:
    touch = f'touch {folder / CANARY}'
    if suffix == '.json':
        return {
            'a key twice': '{"model": {"type": "A", "type": "B"}}',
            'deep': nested(rng.choice(['[', '{"a":']), 5000),
            'many digits': '{"lr": ' + '7' * 6000 + '}',
            'own circle': '{"_base_": "./config.json"}',
            'no object': rng.choice(['[]', '5', 'null', '"x"', '']),
        }
    return {
        'a key twice': 'model:\n  type: A\n  type: B\n',
        'a payload': f'a: !!python/object/apply:os.system ["{touch}"]',
        'a payload inside': f'a: [1, {{b: !!python/object/new:os.system ["{touch}"]}}]',
        'a module': 'a: !!python/module:os',
        'deep': 'a: ' + nested('[', 3000),
        'many digits': 'lr: ' + '7' * 6000,
        'exploding aliases': '\n'.join(
            ['a0: &a0 [1, 1]', *(f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 9)}]' for i in range(1, 12))]
        ),
        'holds itself': 'a: &a [*a]',
        'no mapping': rng.choice(['- 1', '5', '', '---\na: 1\n---\nb: 2']),
    }


def files(rng: Random, folder: Path) -> Attack:
    """Config files of all formats: damage, odd texts, payloads, circles."""
    suffix = rng.choice(['.py', '.py', '.json', '.yaml'])
    path = folder / f'config{suffix}'
    good = {
        '.py': f'_base_ = {str(REPO / BASES[0])!r}\ntrain_cfg = dict(max_epochs=3)\n',
        '.json': json.dumps({'_base_': str(REPO / BASES[0]), 'train_cfg': {'max_epochs': 3}}),
        '.yaml': f'_base_: {REPO / BASES[0]}\ntrain_cfg:\n  max_epochs: 3\n',
    }[suffix].encode()
    odd = _python(rng, folder) if suffix == '.py' else _of_data(rng, folder, suffix)
    kind = rng.choice(['odd', 'odd', 'odd', 'bytes', 'damage'])
    if kind == 'odd':
        what = rng.choice(list(odd))
        data, wrong = odd[what].encode(), must_be_refused
    elif kind == 'bytes':
        what = rng.choice(['mark', 'NUL', 'not UTF-8', 'UTF-16'])
        text = good.decode()
        utf16 = text.encode('utf-16')
        data = {
            'mark': b'\xef\xbb\xbf' + good,
            'NUL': good + b'\0',
            'not UTF-8': good + b'#\xff',
            'UTF-16': utf16,
        }[what]
        wrong = must_be_refused
    else:
        what, data = damage(good, rng)
        wrong = _unchecked
    path.write_bytes(data)
    return Attack(f'{path.name}, {what}', lambda: check_config(read_config(str(path))), wrong)


def options(rng: Random, folder: Path) -> Attack:
    """`--cfg-options` with odd keys and values."""
    from mmengine.config import Config

    cfg = Config(copy.deepcopy(_good(rng.choice(BASES))))
    way = rng.choice([way for way, _ in _nodes(cfg.to_dict())])
    key = '.'.join(map(str, way)) + rng.choice(['', '', '.x', '.0', '.99', '..', '.type'])
    value = odd_value(rng)
    what = f'--cfg-options {key}={type(value).__name__}'
    return Attack(what, lambda: check_config(merge_options(cfg, {key: value})), _unchecked)
