"""The configs of one training and of the cells scored with it, and what identifies the data they read."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmfas.apis.model_index import configs_folder
from mmfas.apis.training import skip_validation
from mmfas.benchmark.methods import MethodError
from mmfas.benchmark.plan import SPLITS, Cell, Protocol, Training, lists_of, missing_modalities
from mmfas.synthfas.files.manifest import manifest_identity
from mmfas.utils.errors import MissingFileError
from mmfas.utils.folders import is_hidden

_SPLITS_OF_DATA = ('train', 'val', 'test')
_MANIFEST = 'manifest.json'


def family_of(cfg: Config) -> str:
    """Tell which family of split files a config reads its lists from.

    Args:
        cfg: Config of a method.

    Returns:
        Beginning of the names in `configs/_base_/datasets`, such as `'synthfas'` or `'cpsw'`.

    Raises:
        MethodError: If its train lists do not belong to a family.
    """
    folder = configs_folder() / '_base_' / 'datasets'
    wanted = _lists(cfg, 'train')
    families = sorted({path.name.partition('_p1_')[0] for path in folder.glob('*_p1_*.py')})
    for family in families:
        for protocol in (1, 3):
            for split in SPLITS[protocol]:
                file = folder / f'{family}_p{protocol}_{split}.py'
                if file.is_file() and _train_lists_of(file) == wanted:
                    return family
    raise MethodError(
        f"'{cfg.filename}' trains on {wanted}, which is not a split of {' or '.join(families)}; inherit one of "
        'configs/_base_/datasets/*_p1_*.py, and the benchmark puts the other splits in its place'
    )


@cache
def _train_lists_of(file: Path) -> list[str]:
    """Return the train lists of a shipped config, which is read once: a table asks for those of every cell."""
    return _lists(Config.fromfile(file), 'train')


def _lists(cfg: Config, name: str) -> list[str]:
    """Return the list files of one data set of a config."""
    found = ((cfg.get(f'{name}_dataloader') or {}).get('dataset') or {}).get('ann_file') or []
    return [found] if isinstance(found, str) else list(found)


def apply_split(cfg: Config, family: str, *, protocol: Protocol, split: str) -> None:
    """Put the lists of a split, and the modalities missing at test, in place of those of a config.

    Everything else of the data part stays the method's: its augmentation, sizes, samplers.

    Args:
        cfg: Config of a method, changed in place.
        family: See `family_of`.
        protocol: 1, 2, '2s' or 3.
        split: Name of the split.

    Raises:
        MethodError: If the family has no such split.
    """
    # Protocols 2 and 2s have the lists of Protocol 1; what they add is in the names of their splits.
    lists, _, missing = split.partition('_')
    file = configs_folder() / '_base_' / 'datasets' / f'{family}_p{lists_of(protocol)}_{lists}.py'
    if not file.is_file():
        raise MethodError(f"there is no '{file.name}' in configs/_base_/datasets: add it to run this split")
    base = Config.fromfile(file)
    for name in _SPLITS_OF_DATA:
        cfg[f'{name}_dataloader'].dataset.ann_file = _lists(base, name)
    if not missing:
        return
    # The last step before packing: what a method does to its images must not depend on what is missing.
    step = dict(type='FixedMissing', missing=missing_modalities(missing))
    for name in ('val', 'test'):
        dataset = cfg[f'{name}_dataloader'].dataset
        dataset.pipeline = [*dataset.pipeline[:-1], step, dataset.pipeline[-1]]


def use_data_root(cfg: Config, data_root: str | None) -> str:
    """Point every loader at one folder.

    Args:
        cfg: Config, changed in place.
        data_root: Folder of the data; None keeps that of the config.

    Returns:
        The folder.
    """
    root = data_root or str(cfg.train_dataloader.dataset.data_root)
    for name in _SPLITS_OF_DATA:
        cfg[f'{name}_dataloader'].dataset.data_root = root
    return root


def training_config(cfg: Config, training: Training, work_dir: str, *, select: str, keep_all: bool) -> Config:
    """Make the config of one training.

    Args:
        cfg: Config of the method with the lists of the split.
        training: The training.
        work_dir: Folder for checkpoints and logs.
        select: `'dev'` validates every epoch on the dev lists and keeps the best one; `'last'` does not.
        keep_all: Keep the checkpoint of every epoch, for scoring each on the target afterwards.

    Returns:
        The config; the test set is not in it.

    Raises:
        MethodError: If the training is not counted in epochs.
    """
    cfg = copy.deepcopy(cfg)
    num_epochs(cfg)
    cfg.work_dir, cfg.log_level = work_dir, 'INFO'
    cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': training.seed}
    # mmengine keeps loggers by this name
    cfg.experiment_name = f'{training.method}_{training.name}_{time.time_ns()}'
    if select == 'last':
        skip_validation(cfg)
    else:
        cfg.train_cfg.update(val_interval=1)
        cfg.default_hooks.checkpoint.update(save_best='dev/hter', rule='less')
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=-1 if keep_all else 2)
    cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
    return cfg


def num_epochs(cfg: Config) -> int:
    """Return the number of epochs of a config.

    Raises:
        MethodError: If it counts iterations instead.
    """
    epochs = (cfg.get('train_cfg') or {}).get('max_epochs')
    if not epochs:
        raise MethodError(f"'{cfg.filename}': the benchmark needs train_cfg.max_epochs; this config has none")
    return int(epochs)


def use_workers(cfg: Config, num_workers: int | None) -> None:
    """Set the number of workers of every loader.

    Args:
        cfg: Config, changed in place.
        num_workers: The number; None keeps what the config says.
    """
    if num_workers is None:
        return
    for name in _SPLITS_OF_DATA:
        if cfg.get(f'{name}_dataloader'):
            cfg[f'{name}_dataloader'].update(num_workers=num_workers, persistent_workers=num_workers > 0)


def data_identity(family: str, data_root: str) -> dict[str, Any]:
    """Identify the data in a folder, in the same way on every machine.

    Args:
        family: See `family_of`.
        data_root: Folder of the data.

    Returns:
        For SynthFAS: renderer version, size, seed and perturbations; for real sets: a hash of every list there is.

    Raises:
        FileNotFoundError: If the data are not there; the message says how to get them.
    """
    if family == 'synthfas':
        if not Path(data_root, _MANIFEST).is_file():
            raise MissingFileError(
                f"'{data_root}' holds no SynthFAS; render it: mmfas data render {data_root} --size small"
            )
        return {'name': family, **manifest_identity(data_root)}
    paths = (path for path in sorted(Path(data_root).glob('*-*.txt')) if not is_hidden(path.name))
    lists = {path.name: _digest(path) for path in paths}
    if not lists:
        raise MissingFileError(
            f"'{data_root}' holds no protocol lists such as C-train.txt; configs/_base_/datasets/{family}_base.py "
            'says how it must be laid out, --data-root names the folder'
        )
    everything = json.dumps(lists, sort_keys=True).encode()
    return {'name': family, 'num_lists': len(lists), 'lists': hashlib.sha256(everything).hexdigest()[:12]}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def family_at(data_root: str) -> str:
    """Tell which family of data a folder contains.

    Args:
        data_root: Folder of the data.

    Returns:
        `'synthfas'` if the manifest of a rendering is there, else `'cpsw'`.
    """
    return 'synthfas' if Path(data_root, _MANIFEST).is_file() else 'cpsw'


def missing_lists(cfg: Config, cells: Sequence[Cell], family: str) -> list[str]:
    """Find list files of cells that are not there.

    Args:
        cfg: Config of the method, with its data root.
        cells: Cells to be run.
        family: See `family_of`.

    Returns:
        Their paths, sorted.
    """
    root = cfg.train_dataloader.dataset.data_root
    missing = set()
    for protocol, split in dict.fromkeys((cell.protocol, cell.split) for cell in cells):
        of_split = copy.deepcopy(cfg)
        apply_split(of_split, family, protocol=protocol, split=split)
        for name in _SPLITS_OF_DATA:
            missing |= {
                path for path in (Path(root, file) for file in _lists(of_split, name)) if not path.is_file()
            }
    return sorted(map(str, missing))
