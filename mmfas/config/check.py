"""Check a whole config before anything is built: every type, every argument, all problems at once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from mmfas import registry as parts
from mmfas.config.fitting import build_without_memory, fit_problems
from mmfas.config.idle_rules import idle_rule_problems
from mmfas.config.idle_settings import idle_notes, idle_problems
from mmfas.config.inheritance import ConfigFile, lost_imports, read_config_file, unread_names
from mmfas.config.keys import PLACES, TOP_LEVEL_KEYS
from mmfas.config.kinds import oversized_numbers, plain_key_problems, top_level_kinds, without_oversized
from mmfas.config.late_begins import Length, late_hooks, late_schedules
from mmfas.config.lookup import find_part, scope_of
from mmfas.config.monitored import monitor_problems, rule_problems
from mmfas.config.needed_hooks import missing_hooks
from mmfas.config.needed_views import view_problems
from mmfas.config.optim_values import optim_wrapper_problems
from mmfas.config.schedules import schedule_problems
from mmfas.config.signatures import binding_problems, near_match
from mmfas.config.slots import Slot, exact_slot, slot_at
from mmfas.config.trial import refused_values
from mmfas.config.value_ranges import range_problems
from mmfas.config.value_types import value_problems
from mmfas.config.wording import shown
from mmfas.registry import TypedView, load_plugins
from mmfas.utils.folders import visible_entries
from mmfas.utils.paramwise import pattern_problems

_HOOK_KEYS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
    'visualization',
    # Not mmengine's: default_runtime.py adds them, so that a config that sets `custom_hooks` keeps them.
    'sample_seed',
    'loss_guard',
    'modulation_log',
)
#: Keys of Runner that must be given together.
_TOGETHER = (
    ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    ('val_dataloader', 'val_cfg', 'val_evaluator'),
    ('test_dataloader', 'test_cfg', 'test_evaluator'),
)


def _slot(path: str, value: Mapping[str, Any], inherited: Slot | None) -> Slot | None:
    """Find what belongs at `path`; below a part without an entry of its own, more parts of the same kind."""
    plain = re.sub(r'\[\d+\]', '', path)
    if plain.endswith('_evaluator') and '.' not in plain and 'metrics' in value:
        return Slot(parts.EVALUATORS, default='Evaluator')
    if plain == 'train_cfg' and 'type' not in value:
        loop = 'EpochBasedTrainLoop' if value.get('by_epoch', True) else 'IterBasedTrainLoop'
        return Slot(parts.LOOPS, default=loop, injected=('runner', 'dataloader'), consumed=('by_epoch',))
    if plain == 'optim_wrapper' and 'constructor' in value and 'type' not in value:
        return None  # a constructor of several wrappers: their names are its own
    slot = slot_at(plain) or inherited
    if slot is not None and isinstance(slot.registry, TypedView) and inherited and not inherited.is_complete:
        return inherited  # the `head` of another toolkit's model is not ours
    return slot


def _find(slot: Slot, type_name: Any, scope: str) -> tuple[Any, str | None]:
    """Resolve a type.

    Returns:
        The class or function (None if there is none), and what is wrong (None if nothing is).
    """
    if slot.registry is not None:
        return find_part(slot.registry, type_name, scope)
    return type_name if callable(type_name) else None, None


def _below(part: Any, slot: Slot) -> Slot | None:
    """What dictionaries with a `type` inside `part` are, unless SLOTS has an entry for their place."""
    registry = slot.registry.node if isinstance(slot.registry, TypedView) else slot.registry
    if registry is None:
        return None
    is_ours = getattr(part, '__module__', '').startswith('mmfas')
    return Slot(registry, is_complete=is_ours and slot.is_complete)


def _not_a_part(path: str, value: Any, scope: str) -> str | None:
    """Say what is wrong with a name or number in the place of a part; None if it is allowed."""
    pattern, slot = exact_slot(re.sub(r'\[\d+\]', '', path))
    is_empty = value is None and path.endswith(']')  # an entry of a list
    if not pattern or not (is_empty or isinstance(value, str | int | float)):
        return None
    is_part = slot.registry is not None and isinstance(value, str) and _find(slot, value, scope)[0] is not None
    if not is_part and '*' in pattern.rpartition('.')[2][1:]:
        return None  # `*loss*` also finds names of settings
    if is_part:
        return f'{path}: must be a dict, got {value!r}; write dict(type={value!r})'
    needs_type = slot.registry is not None and slot.default is None
    return f'{path}: must be a dict{" with a type" if needs_type else ""}, got {shown(value)}'


def _check_part(path: str, value: Mapping[str, Any], slot: Slot, scope: str) -> Iterator[str]:
    """Yield the problems of one part and of everything inside it."""
    type_name = value.get('type', slot.default)
    given = {k: v for k, v in value.items() if isinstance(k, str) and k not in ('type', '_scope_')}
    yield from (f'{path}: {shown(k)} is not the name of an argument' for k in value if not isinstance(k, str))
    if not isinstance(value.get('_scope_', ''), str):
        yield f'{path}._scope_: must be a name, got {shown(value["_scope_"])}'
    if type_name is None:
        if slot.registry is not None:
            yield f'{path}.type: missing, a {slot.registry.name} needs it'
        part = None
    else:
        part, problem = _find(slot, type_name, scope_of(value, scope))
        if problem is not None:
            yield f'{path}.type: {problem}'
    if part is not None:
        names = [k for k in given if k not in slot.consumed]
        injected = (*slot.injected, *getattr(part, 'injected', ()))
        for problem in binding_problems(part, names, path=path, injected=injected):
            if slot.is_complete or ': missing' not in problem:
                yield problem
        wrong = value_problems(part, {k: given[k] for k in names}, path=path)
        yield from (problem for k, problem in wrong.items() if _not_a_part(f'{path}.{k}', given[k], scope) is None)
    if not slot.is_leaf:
        for key, inner in given.items():
            yield from _check(f'{path}.{key}', inner, _below(part, slot), scope)


def _check(path: str, value: Any, inherited: Slot | None, scope: str) -> Iterator[str]:
    """Yield the problems of one value of the tree and of everything inside it."""
    if isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _check(f'{path}[{i}]', item, inherited, scope)
        return
    if not isinstance(value, Mapping):
        problem = _not_a_part(path, value, scope)
        if problem is not None:
            yield problem
        return
    slot = _slot(path, value, inherited)
    if slot is not None and (slot is not inherited or 'type' in value):
        yield from _check_part(path, value, slot, scope)
        return
    for key, inner in value.items():
        yield from _check(f'{path}.{key}', inner, inherited, scope)


def _top_level(cfg: Mapping[str, Any], file: ConfigFile | None) -> Iterator[str]:
    """Yield the problems of the top-level keys: names that nothing reads, and keys that only work together."""
    unread = {name: text for name, text, is_mistake in unread_names(file, cfg) if is_mistake} if file else {}
    for key in cfg:
        # Text configs may hold helper variables, so beside unread ones only what looks like a slip is reported.
        near = None if key in TOP_LEVEL_KEYS or key in PLACES else near_match(key, TOP_LEVEL_KEYS, cutoff=0.8)
        if key in unread:
            yield f'{key}: {unread[key]}'
        elif near is not None and not (file and _reads(file, key)):
            yield f'{key}: unexpected, did you mean {near}?'
    if cfg.get('model') is None:
        yield 'model: missing, a config needs it'
    for group in _TOGETHER:
        given = [key for key in group if cfg.get(key) is not None]
        for key in group:
            if given and key not in given:
                yield f'{key}: missing, it goes together with {", ".join(given)}'
    hooks = cfg.get('default_hooks')
    for key in hooks if isinstance(hooks, Mapping) else ():
        near = None if key in _HOOK_KEYS else near_match(str(key), _HOOK_KEYS, cutoff=0.8)
        if near is not None:
            yield f'default_hooks.{key}: unexpected, did you mean {near}?'


def _reads(file: ConfigFile, name: str) -> bool:
    """Tell whether a file of the chain uses a variable."""
    return any(name in one.used or name in one.used_of_bases for one in file.chain())


def _explain_lost_imports(problems: list[str], file: ConfigFile | None) -> list[str]:
    """Add to types that are not found that the plug-in which may have them was not imported."""
    lost = lost_imports(file) if file is not None else None
    if lost is None:
        return problems
    # The nearest registered name is no help for a part whose plug-in is missing.
    is_unknown = re.compile(r'^(\S+\.type: .* is not in the .*?)(; did you mean .*|; known: .*)?$')
    return [f'{found[1]}: {lost}' if (found := is_unknown.match(line)) else line for line in problems]


def _file_of(path: str) -> ConfigFile | None:
    """Read the names of a config file; None if it is not the file any more that a config was made from."""
    try:
        return read_config_file(path)
    except (ValueError, OSError, SyntaxError):
        return None


def config_notes(cfg: Config) -> list[str]:
    """List what is odd about a config but may be intended: top-level names that neither mmfas nor mmengine reads.

    Custom hooks may read such names from `runner.cfg`, so they are not mistakes by themselves.

    Args:
        cfg: A config that was read from a file.

    Returns:
        One line for every name.
    """
    file = _file_of(cfg.filename) if cfg.filename else None
    found = unread_names(file, cfg.to_dict()) if file is not None else ()
    return [f'{name}: {text}' for name, text, is_mistake in found if not is_mistake]


def _constructor(cfg: Mapping[str, Any], scope: str) -> Iterator[str]:
    """Yield what is wrong with the name of the optimizer wrapper's constructor."""
    name = (cfg.get('optim_wrapper') or {}).get('constructor')
    if name is not None:
        _, problem = _find(Slot(parts.OPTIM_WRAPPER_CONSTRUCTORS), name, scope)
        if problem is not None:
            yield f'optim_wrapper.constructor: {problem}'


def _extra_test_loaders(tree: Mapping[str, Any], scope: str) -> Iterator[str]:
    """Yield the problems of the named loaders beside `test_dataloader`."""
    for name, loader in (tree.get('extra_test_dataloaders') or {}).items():
        for problem in (*_check('test_dataloader', loader, None, scope), *_loaders({'test_dataloader': loader})):
            yield problem.replace('test_dataloader', f'extra_test_dataloaders.{name}')


def _site_loader(tree: Mapping[str, Any], scope: str) -> Iterator[str]:
    """Yield the problems of the loader of live recordings that the criterion `site` reads."""
    loader = tree.get('site_dataloader')
    if loader is not None:
        for problem in (*_check('test_dataloader', loader, None, scope), *_loaders({'test_dataloader': loader})):
            yield problem.replace('test_dataloader', 'site_dataloader')


def _loaders(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options of loaders that do not go together: with no workers, or beside a sampler."""
    for key, loader in cfg.items():
        if not (key.endswith('_dataloader') and key != 'site_dataloader' and isinstance(loader, Mapping)):
            continue
        if loader.get('shuffle') and loader.get('sampler') is not None:
            yield f'{key}.shuffle: the sampler decides the order; set {key}.sampler.shuffle'
        if not loader.get('num_workers'):
            for option in ('persistent_workers', 'prefetch_factor', 'timeout', 'multiprocessing_context'):
                if loader.get(option):
                    yield f'{key}.{option}: needs workers, but {key}.num_workers is 0; switch it off too'


def _data_roots(path: str, value: Any) -> Iterator[str]:
    """Yield every data set folder that is missing or empty."""
    if isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _data_roots(f'{path}[{i}]', item)
    if not isinstance(value, Mapping):
        return
    root = value.get('data_root')
    if isinstance(root, str) and root and not (os.path.isdir(root) and visible_entries(root)):
        yield f"{path}.data_root: the folder '{root}' is missing or empty"
    for key, inner in value.items():
        yield from _data_roots(f'{path}.{key}', inner)


def _in_range(tree: Mapping[str, Any], scope: str) -> Iterator[str]:
    """Yield the values that are of the right kind but out of their range."""
    for key in tree:
        if key in TOP_LEVEL_KEYS:
            yield from range_problems(key, tree[key])


def _of_runner(tree: Mapping[str, Any], scope: str) -> Iterator[str]:
    """Yield the values at the top whose kind is not what Runner declares."""
    wrong = value_problems(Runner, tree, path='')
    yield from (problem for key, problem in wrong.items() if _not_a_part(key, tree[key], scope) is None)


#: What is looked at -> the rule for it: a whole config whose top is of the right kinds, default scope -> problems.
_RULES: dict[str, Callable[[Mapping[str, Any], str], Iterable[str]]] = {
    'extra_test_dataloaders': _extra_test_loaders,
    'site_dataloader': _site_loader,
    'kinds of values': _of_runner,
    'plain dictionaries': lambda tree, scope: plain_key_problems(tree),
    'ranges': _in_range,
    'param_scheduler': lambda tree, scope: schedule_problems(tree.get('param_scheduler')),
    'optim_wrapper': lambda tree, scope: optim_wrapper_problems(tree.get('optim_wrapper'), scope),
    'optim_wrapper.constructor': _constructor,
    'watched metrics': monitor_problems,
    'rules of watched metrics': rule_problems,
    'hooks': missing_hooks,
    'loaders': lambda tree, scope: _loaders(tree),
    'settings without effect': idle_problems,
    'hooks after the end': lambda tree, scope: late_hooks(tree, Length.of(tree.get('train_cfg'))),
}


#: Rules about numbers, of which one line per place is enough.
_ONCE = ('ranges', 'param_scheduler', 'optim_wrapper')


def _guarded(what: str, rule: Callable[..., Iterable[str]], *args: Any) -> list[str]:
    """Collect the problems that a rule finds; one that fails is a problem too, and hides no other."""
    found: list[str] = []
    try:
        found.extend(rule(*args))
    except RecursionError:
        found.append(f'{what}: nested too deeply, or holds itself')
    except Exception as error:  # a config may hold any object
        found.append(f'{what}: cannot be checked: {type(error).__name__}: {error}')
    return found


def _problems_of_built(cfg: Mapping[str, Any], scope: str, notes: list[str]) -> Iterator[str]:
    """Build the model, once, and find what does not fit it."""
    model = cfg.get('model')
    if not isinstance(model, Mapping):
        return
    built = build_without_memory(model, scope)
    misfits = list(fit_problems(cfg, built, scope))
    yield from misfits or _guarded('optim_wrapper.modulator', idle_rule_problems, cfg, built, scope, notes)
    yield from _guarded('train_dataloader', view_problems, cfg, built)
    if not isinstance(built, Exception):
        idle, doubts = pattern_problems(cfg.get('optim_wrapper'), built)
        yield from idle
        notes += doubts


def check_config(
    cfg: Config | Mapping[str, Any], *, check_data: bool = False, notes: list[str] | None = None
) -> list[str]:
    """Find everything in a config that cannot be built or would do nothing, without running anything.

    Every `type` is looked up where it belongs, its arguments are bound to the signature of what it names, and
    their values are checked against its annotations if these are simple; counts, rates and modalities must also
    be in their range. Metrics that hooks and schedulers watch must be among those that the evaluator gives, and
    hooks that a part of the model needs must be there. Where all that is right, transforms and hooks of mmfas are
    built, to see which values they refuse, and then the model without memory, to see whether trunk, neck and head
    fit, whether a rule that modulates gradients has anything to modulate, and whether the pipelines make the views
    that the head needs.
    A problem reads like `model.neck.dims: unexpected, did you mean dim?`.

    Args:
        cfg: A whole config as for Runner.
        check_data: Also report data folders that are missing or empty.
        notes: Takes one line for everything that is odd about the built model but may be intended.

    Returns:
        One line for every problem; empty if all is well.

    >>> check_config({'modle': {'type': 'MultiModalFAS'}})
    ['modle: unexpected, did you mean model?', 'model: missing, a config needs it']
    """
    load_plugins()
    # Plain dictionaries: the lazy ones of a config would import on access, outside of our error handling.
    tree = cfg.to_dict() if isinstance(cfg, Config) else dict(cfg)
    known = [key for key in tree if isinstance(key, str) and key in TOP_LEVEL_KEYS]
    problems = [line for key in known for line in _guarded(key, oversized_numbers, key, tree[key])]
    if problems and not any('holds itself' in line for line in problems):
        tree = without_oversized(tree)
    wrong_kinds = top_level_kinds(tree)
    sound = {key: value for key, value in tree.items() if key not in wrong_kinds}
    scope = sound.get('default_scope') or parts.SCOPE
    filename = cfg.filename if isinstance(cfg, Config) else None
    file = _file_of(filename) if filename and os.path.isfile(filename) else None
    named = {key: value for key, value in tree.items() if isinstance(key, str)}
    problems += _guarded('names at the top', _top_level, named, file)
    for key in known:
        if key not in ('extra_test_dataloaders', 'site_dataloader'):
            problems += _guarded(key, _check, key, tree[key], None, scope)
    reported = {line.partition(':')[0] for line in problems}
    problems += [line for key, line in wrong_kinds.items() if key not in reported]
    for what, rule in _RULES.items():
        # A value of the wrong kind is out of every range; one line says it.
        reported = {line.partition(':')[0] for line in problems}
        found = _guarded(what, rule, sound, scope)
        problems += [line for line in found if what not in _ONCE or line.partition(':')[0] not in reported]
    if check_data:
        problems += [line for key in known for line in _data_roots(key, tree[key])]
    if not problems:
        problems += _guarded('parts', refused_values, sound, scope)
    if not problems:
        notes = [] if notes is None else notes
        problems += _guarded('model', _problems_of_built, sound, scope, notes)
        notes += _guarded('notes', idle_notes, sound)
        notes += _guarded('schedules', late_schedules, sound, Length.of(sound.get('train_cfg')))
    return _explain_lost_imports(list(dict.fromkeys(problems)), file)
