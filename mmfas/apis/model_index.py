"""The model index: which configs there are by name, and the model of each."""

from __future__ import annotations

import difflib
import fnmatch
import functools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mmfas.utils.errors import InputError, MissingFileError

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmfas.models.fas import MultiModalFAS

__all__ = ['ModelEntry', 'configs_folder', 'get_model', 'list_models', 'model_entry', 'read_model_index']
#: What to give as weights to keep the random values; a file of this name is `'./random'`.
RANDOM = 'random'
_PACKAGE = Path(__file__).resolve().parents[1]
#: The safe loader, in C where libyaml is there: the index has hundreds of entries.
_LOADER = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


@dataclass(frozen=True)
class ModelEntry:
    """One model of the index.

    Args:
        name: Name, that of its config file.
        collection: Method that it belongs to, such as `'MMDG'`.
        config: Config file.
        training_data: Data sets it is trained on.
        results: Data set and protocol that it is tested on, one per result.
        paper: Address of the paper of its collection; empty if it has none.
        trained_as: Name of the model whose checkpoints it scores (`Trained As` in the metafile); empty: its own.
    """

    name: str
    collection: str
    config: Path
    training_data: str
    results: tuple[str, ...]
    paper: str = ''
    trained_as: str = ''


def configs_folder() -> Path:
    """Return the folder of the configs: that of the checkout, else the copy in an installed package.

    Raises:
        FileNotFoundError: If the package has none.
    """
    for folder in (_PACKAGE.parent / 'configs', _PACKAGE / '.mim' / 'configs'):
        if (folder / '_base_' / 'datasets').is_dir():
            return folder
    raise MissingFileError('mmfas was installed without its configs; install it from a wheel or a checkout')


def _read_yaml(path: Path) -> Any:
    """Read a file, once as long as it does not change: every look-up goes through the whole index."""
    state = path.stat()
    return _parsed(path.resolve(), state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=64)
def _parsed(path: Path, changed: int, size: int) -> Any:
    """Read a file in the state of which the numbers tell."""
    return yaml.load(path.read_text(encoding='utf-8'), _LOADER)


def read_model_index(file: str | Path | None = None) -> dict[str, ModelEntry]:
    """Read `model-index.yml` and the metafiles that it imports.

    Args:
        file: Index file; that of mmfas, from the checkout or the installed package, if None.

    Returns:
        Name -> entry, in the order of the index.

    Raises:
        FileNotFoundError: If a file of the index does not exist.
        ValueError: If a metafile lacks a key or names a collection that it does not have.
    """
    index = Path(file) if file is not None else configs_folder().parent / 'model-index.yml'
    entries: dict[str, ModelEntry] = {}
    for name in _read_yaml(index)['Import']:
        metafile = index.parent / name
        content = _read_yaml(metafile)
        try:
            papers = {method['Name']: method.get('Paper', {}).get('URL', '') for method in content['Collections']}
            for model in content['Models']:
                entries[model['Name']] = ModelEntry(
                    model['Name'],
                    model['In Collection'],
                    index.parent / model['Config'],
                    model['Metadata']['Training Data'],
                    tuple(result['Dataset'] for result in model['Results']),
                    papers[model['In Collection']],
                    model.get('Trained As', ''),
                )
        except KeyError as error:
            raise InputError(f"'{metafile}': {error} is missing; compare it with the other metafiles") from error
    return entries


def list_models(pattern: str | None = None, *, collection: str | None = None) -> list[str]:
    """List the models of the index.

    Args:
        pattern: Start of the name, or a shell pattern (`*`, `?`, `[...]`) for it; None lists all.
        collection: Only models of this method.

    Returns:
        Sorted names; empty if nothing fits the pattern.

    Raises:
        ValueError: If there is no such collection.

    >>> list_models('mmdg_mini-vit*no-re')
    ['mmdg_mini-vit_1xb32-12e_synthfas-cps2w_no-regrad']
    >>> len(list_models('*vit-b16*psw2c', collection='MMDG'))
    1
    """
    index = read_model_index()
    known = sorted({entry.collection for entry in index.values()})
    if collection is not None and collection not in known:
        raise InputError(f"there is no collection '{collection}'; known are {', '.join(known)}")
    names = sorted(name for name, entry in index.items() if collection in (None, entry.collection))
    return names if pattern is None else [name for name in names if fnmatch.fnmatchcase(name, f'{pattern}*')]


def model_entry(name: str) -> ModelEntry:
    """Return the entry of a model in the index.

    Args:
        name: Name of the model.

    Returns:
        The entry.

    Raises:
        ValueError: If there is none; the message has the nearest names.
    """
    index = read_model_index()
    if name in index:
        return index[name]
    begins = [known for known in sorted(index) if known.startswith(name)]
    near = begins or difflib.get_close_matches(name, index, n=3, cutoff=0.5)
    hint = f'did you mean {" or ".join(near[:3])}?' if near else 'list_models() has all names'
    raise InputError(f"the model index has no '{name}'; {hint}")


def get_model(
    model: str | Path | Config,
    weights: str | Path | None = None,
    *,
    device: str | None = None,
    cfg_options: Mapping[str, Any] | None = None,
) -> MultiModalFAS:
    """Build a model in evaluation mode.

    Args:
        model: Name in the index, config file, or config.
        weights: Checkpoint file; all of its weights must fit. Nothing is ever downloaded. `'random'` keeps the
            random values of the constructors (`init_weights()` of the model then loads what its config starts
            from); None does so with a warning.
        device: Where the model goes, such as `'cuda:0'`; None leaves it on the CPU.
        cfg_options: Values that replace those of the config, by dotted key.

    Returns:
        The model; its config is `model.cfg`.

    Raises:
        ValueError: If there is no such name; the message has the nearest ones.
        FileNotFoundError: If a file does not exist.
        CheckpointError: If the weights are refused or do not fit.
    """
    from mmengine.config import Config

    from mmfas.apis.building import build_model
    from mmfas.utils.checkpoint import load_into

    if isinstance(model, Config):
        cfg = model.copy()
    else:
        is_file = Path(model).suffix == '.py'
        if is_file and not Path(model).is_file():
            raise MissingFileError(
                f"config '{model}' does not exist; check the path, or give a name of list_models()"
            )
        cfg = Config.fromfile(model if is_file else model_entry(str(model)).config)
    cfg.merge_from_dict(dict(cfg_options or {}))
    built = build_model(cfg)
    if weights is None:
        warnings.warn(
            f'the model of {cfg.filename or "this config"} has random weights, so its scores mean nothing; give '
            "get_model a checkpoint as `weights`, or weights='random' if that is meant",
            stacklevel=2,
        )
    elif weights != RANDOM:
        load_into(built, weights)
    built.cfg = cfg
    return built if device is None else built.to(device)
