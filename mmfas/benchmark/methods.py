"""From what a user types to a method: its config, its entry in a metafile, and a hash of what the config says."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

from mmfas.apis.model_index import configs_folder, model_entry
from mmfas.utils.errors import InputError

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
#: Keys of a config that decide where and how a run is done but not on its results; and variables of config files,
#: whose values are in the loaders, the model or the optimizer.
_WITHOUT_EFFECT = frozenset(
    ('work_dir', 'log_level', 'log_processor', 'visualizer', 'launcher', 'resume', 'experiment_name', 'env_cfg')
    + ('model_wrapper_cfg', 'val_cfg', 'test_cfg', 'test_evaluator', 'extra_test_dataloaders', 'site_dataloader')
    + ('dataset_type', 'data_root', 'meta_file', 'train_pipeline', 'val_pipeline', 'test_pipeline')
    + ('frozen_trunk', 'finetuned_trunk', 'finetuned_rates')
)


class MethodError(InputError):
    """A method that cannot be found or cannot be run over splits; the message says what to do."""


@dataclass(frozen=True)
class Method:
    """A config that is run over splits and seeds.

    Args:
        name: Name in its metafile.
        collection: What its metafile collects it in, such as `'MMDG'`.
        config: Config file, as the metafile names it.
        path: Where the config file lies.
        options: Values that replace those of the config, by dotted key.
        trained_as: Method whose checkpoints are scored, for one that differs only at test; None: itself.
    """

    name: str
    collection: str
    config: str
    path: str
    options: Mapping[str, Any] = field(default_factory=dict)
    trained_as: Method | None = None

    def load(self) -> Config:
        """Read the config and apply the options."""
        cfg = Config.fromfile(self.path)
        cfg.merge_from_dict(dict(self.options))
        return cfg


def find_method(text: str, options: Mapping[str, Any] | None = None) -> Method:
    """Find a method by config file or by its name in a metafile.

    Args:
        text: Path of a config, beside which lies a `metafile.yml` that names it; or a name of
            `mmfas.apis.list_models`. The metafile may say `Trained As: NAME` of a model that differs from another
            one of it at test only: the checkpoints of that one are scored.
        options: Values that replace those of the config, and of the one it is trained as.

    Returns:
        The method.

    Raises:
        MethodError: If there is none, or no metafile names it.
    """
    given = dict(options or {})
    if text.endswith('.py') or Path(text).is_file():
        file = Path(text)
        if not file.is_file():
            raise MethodError(f"config '{text}' does not exist or is not a file; check the path")
        found = next((e for e in _models(file.with_name('metafile.yml')) if e['Name'] == file.stem), None)
        if found is None:
            raise MethodError(
                f"config '{text}' is in no metafile, so its results would have no name: add to "
                f"'{file.with_name('metafile.yml')}' below Models: "
                f"'- {{Name: {file.stem}, In Collection: NAME OF THE METHOD, Config: {text}}}'"
            )
        trained_as = _trained_as(file, given)
        return Method(file.stem, found['In Collection'], found['Config'], str(file), given, trained_as)
    try:
        entry = model_entry(text)
    except ValueError as error:
        raise MethodError(f'{error}; or give a config file') from error
    config = entry.config.relative_to(configs_folder().parent)
    trained_as = _trained_as(entry.config, given)
    return Method(text, entry.collection, config.as_posix(), str(entry.config), given, trained_as)


def _trained_as(config: Path, options: dict[str, Any]) -> Method | None:
    """Return the method whose checkpoints a model is scored with, where its metafile names another one."""
    metafile = config.with_name('metafile.yml')
    models = {model['Name']: model for model in _models(metafile)}
    name = models.get(config.stem, {}).get('Trained As')
    if name is None:
        return None
    found = models.get(name)
    if found is None or 'Trained As' in found:
        raise MethodError(
            f"'{metafile}': {config.stem} is trained as '{name}', which must be a model of this file that is "
            'trained itself; correct the name or remove the line'
        )
    path = config.with_name(Path(found['Config']).name)
    return Method(name, found['In Collection'], found['Config'], str(path), options)


def _models(metafile: Path) -> Iterator[dict[str, Any]]:
    """Yield the models of a metafile that have the keys needed here; nothing if there is no such file."""
    if not metafile.is_file():
        return
    try:
        content = yaml.safe_load(metafile.read_text(encoding='utf-8')) or {}
    except yaml.YAMLError as error:
        raise MethodError(f"'{metafile}' is not YAML: {str(error).splitlines()[0]}") from error
    for model in content.get('Models') or ():
        missing = [key for key in ('Name', 'In Collection', 'Config') if key not in model]
        if missing:
            raise MethodError(f"'{metafile}': model {model.get('Name', '?')} lacks {', '.join(missing)}")
        yield model


def config_hash(cfg: Config) -> str:
    """Return a hash of everything in a config that decides on results, but the split and the seed.

    Where data lie, which lists are read, the work dir, logging and the number of workers are left out: the record
    of a cell says split, seed and data itself.

    Args:
        cfg: Config of a method.

    Returns:
        12 hexadecimal digits.
    """
    content = json.loads(json.dumps(cfg.to_dict(), default=str))
    for key in _WITHOUT_EFFECT:
        content.pop(key, None)
    for name in _LOADERS:
        loader = content.get(name) or {}
        for key in ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor'):
            loader.pop(key, None)
        for key in ('data_root', 'ann_file'):
            (loader.get('dataset') or {}).pop(key, None)
    for key in ('timer', 'logger', 'checkpoint', 'loss_guard', 'modulation_log'):
        (content.get('default_hooks') or {}).pop(key, None)
    (content.get('randomness') or {}).pop('seed', None)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def short_name(name: str) -> str:
    """Return the name of a model without schedule and data, for tables.

    >>> short_name('mmdg_mini-vit_1xb32-12e_synthfas-cps2w_released')
    'mmdg_mini-vit_released'
    """
    return re.sub(r'_\d+xb\d+-\d+e_[^_]+', '', name)


def row_names(names: Iterable[str]) -> dict[str, str]:
    """Return how models are named in tables: by `short_name`, or in full if several have the same short one.

    Args:
        names: Names of models.

    Returns:
        What is written by name; no two are the same.

    >>> row_names(['a_1xb32-12e_synthfas-cps2w', 'b_1xb32-12e_synthfas-cps2w', 'b_1xb32-12e_cpsw-cps2w'])
    ... # doctest: +NORMALIZE_WHITESPACE
    {'a_1xb32-12e_synthfas-cps2w': 'a', 'b_1xb32-12e_synthfas-cps2w': 'b_1xb32-12e_synthfas-cps2w',
     'b_1xb32-12e_cpsw-cps2w': 'b_1xb32-12e_cpsw-cps2w'}
    """
    names = tuple(names)
    count = Counter(map(short_name, names))
    return {name: short_name(name) if count[short_name(name)] == 1 else name for name in names}
