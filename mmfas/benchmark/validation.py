"""What a record must hold: types and ranges of every value that tables, reports and the runner read."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from math import inf, isfinite
from typing import Any

from mmfas.benchmark.plan import SPLITS, recorded_as
from mmfas.utils.errors import InputError
from mmfas.utils.numbers import is_number

#: Takes the key of a value, such as `report.hter.value`, and the value; raises ValueError if it breaks the rule.
Rule = Callable[[str, Any], None]

#: Levels of lists and objects that a record may have; ours have six, and Python would fail at hundreds.
_MAX_DEPTH = 50


def _require(holds: bool, key: str, expected: str, value: Any) -> None:
    if not holds:
        shown = json.dumps(value, default=str)
        raise InputError(f'{key} must be {expected}, got {shown if len(shown) < 60 else f"{shown[:57]}..."}')


def _is_finite(value: Any) -> bool:
    return is_number(value) and abs(value) <= sys.float_info.max  # JSON may hold integers beyond; NaN fails, too


def _text(key: str, value: Any) -> None:
    _require(isinstance(value, str) and value != '', key, 'text', value)


def _string(key: str, value: Any) -> None:
    _require(isinstance(value, str), key, 'text, perhaps empty', value)


def _file_name(key: str, value: Any) -> None:
    # paths are made of it
    holds = isinstance(value, str) and re.fullmatch(r'[^/\\\0]+', value) and value.strip('.')
    _require(bool(holds), key, 'a name without slashes', value)


def _flag(key: str, value: Any) -> None:
    _require(isinstance(value, bool), key, 'true or false', value)


def _finite(key: str, value: Any) -> None:
    _require(_is_finite(value), key, 'a finite number', value)


def _number(low: float, high: float = inf) -> Rule:
    expected = f'a number from {low:g} to {high:g}' if isfinite(high) else f'a number, {low:g} or more'

    def rule(key: str, value: Any) -> None:
        _require(_is_finite(value) and low <= value <= high, key, expected, value)

    return rule


def _whole(low: int) -> Rule:
    def rule(key: str, value: Any) -> None:
        holds = isinstance(value, int) and not isinstance(value, bool) and value >= low
        _require(holds, key, f'a whole number, {low} or more', value)

    return rule


def _one_of(*options: Any) -> Rule:
    expected = f'one of {", ".join(map(json.dumps, options))}'

    def rule(key: str, value: Any) -> None:
        holds = isinstance(value, (str, int)) and not isinstance(value, bool) and value in options
        _require(holds, key, expected, value)

    return rule


def _or_none(other: Rule) -> Rule:
    def rule(key: str, value: Any) -> None:
        if value is not None:
            other(key, value)

    return rule


def _list_of(entry: Rule) -> Rule:
    def rule(key: str, value: Any) -> None:
        _require(isinstance(value, list), key, 'a list', value)
        for number, item in enumerate(value):
            entry(f'{key}[{number}]', item)

    return rule


def _digest(length: int) -> Rule:
    def rule(key: str, value: Any) -> None:
        holds = isinstance(value, str) and re.fullmatch('[0-9a-f]+', value) and len(value) == length
        _require(bool(holds), key, f'{length} hexadecimal digits', value)

    return rule


def _anything(key: str, value: Any) -> None:
    """Accept every value but numbers that are not finite, which no JSON has."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            _anything(f'{key}.{name}', item)
    elif isinstance(value, list):
        _list_of(_anything)(key, value)
    elif isinstance(value, float):
        _finite(key, value)


def _mapping(
    required: Mapping[str, Rule], optional: Mapping[str, Rule] | None = None, *, rest: Rule | None = None
) -> Rule:
    """Return a rule for a mapping.

    Args:
        required: Rules of keys that must be there.
        optional: Rules of keys that may be there.
        rest: Rule of all other keys; None refuses them.
    """
    known: dict[str, Rule] = {**(optional or {}), **required}

    def rule(key: str, value: Any) -> None:
        _require(isinstance(value, Mapping), key or 'a record', 'a mapping', value)
        at = f'{key}.' if key else ''
        unknown = [name for name in value if rest is None and name not in known]
        missing = [name for name in required if name not in value]
        problems = [f'{", ".join(missing)} missing{f" in its {key}" if key else ""}'] if missing else []
        problems += [f"'{at}{name}' is not a key of records" for name in unknown]
        if problems:
            raise InputError('; '.join(problems))
        for name, item in value.items():
            found = known.get(name, rest)
            if found is not None:
                found(f'{at}{name}', item)

    return rule


def _counted(key: str, value: Any) -> None:
    """A rate with its counts: no more errors than cases."""
    _RATE_FIELDS(key, value)
    for name in ('errors', 'accepted'):
        if name in value and 'total' in value:
            _require(
                value[name] <= value['total'], f'{key}.{name}', f'at most its total, {value["total"]}', value[name]
            )
    _ordered(key, value)


def _ordered(key: str, value: Mapping[str, Any]) -> None:
    if None not in (value.get('low'), value.get('high')):
        _require(value['low'] <= value['high'], f'{key}.low', f'at most its high, {value["high"]}', value['low'])


def _interval(key: str, value: Any) -> None:
    """Limits of an interval, in order."""
    _mapping(_INTERVAL)(key, value)
    _ordered(key, value)


def _estimate(key: str, value: Any) -> None:
    """A rate that may have an interval."""
    _mapping({'value': _SHARE}, dict.fromkeys(('low', 'high'), _or_none(_SHARE)))(key, value)
    _ordered(key, value)


_SHARE, _COUNT = _number(0, 1), _whole(0)
_INTERVAL: dict[str, Rule] = {'low': _SHARE, 'high': _SHARE}
_RATE_FIELDS = _mapping(
    {'value': _SHARE},
    {
        **dict.fromkeys(('errors', 'accepted'), _COUNT),
        **_INTERVAL,
        **dict.fromkeys(('target', 'fpr'), _SHARE),
        'total': _whole(1),
        'threshold': _finite,
        'pai': _text,
        'is_resolved': _flag,
    },
)
_ORACLE = _mapping(
    {},
    {
        'eer': _mapping({'value': _SHARE}, {'threshold': _finite}, rest=_text),
        'tpr_at_fpr': _list_of(_counted),
        'bpcer_at_apcer': _list_of(_counted),
    },
    rest=_anything,
)
_REPORT = _mapping(
    {
        'hter': _estimate,
        'auc': _estimate,
        'acer_max': _SHARE,
        'threshold': _mapping({'value': _finite, 'origin': _text}),
    },
    {
        **dict.fromkeys(('name', 'interval_unit'), _text),
        **dict.fromkeys(('num_live', 'num_spoof'), _whole(1)),
        **dict.fromkeys(('bpcer', 'apcer_max', 'apcer_pooled'), _counted),
        **dict.fromkeys(('acer_max_interval', 'acer_pooled_interval'), _or_none(_interval)),
        'level': _one_of('frame', 'video', 'subject'),
        'apcer': _mapping({}, rest=_counted),
        'acer_pooled': _SHARE,
        'oracle': _or_none(_ORACLE),
        'notes': _list_of(_text),
    },
    rest=_anything,
)
_SITE_KEYS: dict[str, Rule] = {'list': _text, 'domain': _string, 'num_videos': _whole(1)}
_SITE = _mapping(
    {
        'numbers': _list_of(
            _mapping(
                {
                    **_SITE_KEYS,
                    'max_bpcer': _SHARE,
                    'threshold': _mapping({'value': _finite, 'origin': _text}),
                    'hter': _estimate,
                    **dict.fromkeys(('bpcer', 'apcer_max', 'apcer_pooled'), _counted),
                }
            )
        ),
        'left_out': _list_of(_mapping({**_SITE_KEYS, 'reason': _text})),
    }
)
_EPOCH = _mapping({'hter': _SHARE, 'auc': _SHARE})
_PAPER = _mapping({'hter': _SHARE, 'auc': _SHARE}, {'epoch': _whole(1), 'every_epoch': _list_of(_EPOCH)})
_SCORES = _mapping(
    {'file': _file_name, 'sha256': _digest(64)}, {'list': _digest(16), 'values': _digest(16), 'kept': _flag}
)
_RECORD = _mapping(
    {
        **dict.fromkeys(('collection', 'config', 'config_hash', 'commit', 'device'), _text),
        **dict.fromkeys(('epoch', 'max_epochs'), _whole(1)),
        'method': _file_name,
        'options': _mapping({}, rest=_anything),
        'protocol': _one_of(*SPLITS),
        'split': _text,
        'seed': _whole(0),
        'select': _one_of('last', 'dev'),
        'data': _mapping({'name': _text}, rest=_anything),
        'dirty': _flag,
        'versions': _mapping({'torch': _text}, rest=_text),
        'seconds': _mapping({'train': _number(0), 'score': _number(0)}, rest=_number(0)),
        'report': _REPORT,
        'paper': _or_none(_PAPER),
        'scores': _mapping({'dev': _SCORES, 'test': _SCORES}, rest=_SCORES),
    },
    {'site': _SITE},
)


def read_json(text: str) -> Any:
    """Read JSON whose keys are all there once, and that can be written again.

    Args:
        text: The JSON.

    Returns:
        Its value; NaN and infinities, which JSON does not have, come back as floats for `require_valid` to refuse.

    Raises:
        ValueError: If it is not JSON, a key is there twice, a text holds half of a character, or lists and objects
            are nested too deep.
    """
    try:
        found = json.loads(text, object_pairs_hook=_unique)
    except RecursionError as error:
        raise InputError('nested too deep') from error
    level = [found]
    for _ in range(_MAX_DEPTH):
        _require_text(level)
        level = [inner for item in level for inner in _parts(item)]
        if not level:
            return found
    raise InputError(f'nested too deep: more than {_MAX_DEPTH} levels')


def _parts(value: Any) -> list[Any]:
    """Return what a value holds, keys too."""
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def _require_text(values: Sequence[Any]) -> None:
    """Refuse halves of surrogate pairs, which JSON can spell but no file or screen can show."""
    for value in values:
        if isinstance(value, str) and re.search('[\ud800-\udfff]', value):
            raise InputError(f'{ascii(value)[:60]} is not text: it holds half of a character')


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise InputError(f"the key '{next(name for name in names if names.count(name) > 1)}' is there twice")
    return found


def require_valid(content: Any) -> None:
    """Check what a record says.

    Args:
        content: The record as read from JSON, without its format.

    Raises:
        ValueError: If a key is missing or unknown, or a value has another type or range; it is named.
    """
    _RECORD('', content)
    protocol = content['protocol']
    own = [split for split in SPLITS[protocol] if recorded_as(protocol, split) == protocol]
    _one_of(*own)('split', content['split'])
    most = content['max_epochs']
    _require(content['epoch'] <= most, 'epoch', f'at most max_epochs, {most}', content['epoch'])
