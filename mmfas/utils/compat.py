"""Everything that makes the two engine stacks (OneDL forks, OpenMMLab originals) behave alike, in one file."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import sysconfig
import warnings
from collections.abc import Callable, Mapping
from importlib import metadata, util
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urldefrag, urlparse

ONEDL_COMMAND = "pip install 'mmfas[onedl]'"
OPENMMLAB_COMMAND = "pip install 'mmfas[openmmlab]'"


def _installed(*names: str) -> list[str]:
    """Return those distributions of `names` that are installed."""
    found = []
    for name in names:
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found


def check_engine() -> None:
    """Check that exactly one engine stack is installed.

    Raises:
        ImportError: If no stack is installed, or both are: they write the same `mmengine` folder, so one
            silently overwrites half of the other.
    """
    if util.find_spec('mmengine') is None:
        raise ImportError(
            'mmfas needs mmengine, from one of two stacks with the same import names: '
            f'{ONEDL_COMMAND} (maintained, default) or {OPENMMLAB_COMMAND} (the originals)'
        )
    onedl, original = _installed('onedl-mmengine'), _installed('mmengine', 'mmengine-lite')
    if onedl and original:
        raise ImportError(
            f'{onedl[0]} and {original[0]} are both installed and overwrite each other: '
            f'uninstall both (pip uninstall -y {onedl[0]} {original[0]}), then {ONEDL_COMMAND}'
        )


def _plain_installed_path(package: str) -> str:
    """Return the folder of an importable package (0.10.7 asks `pkg_resources`, which setuptools 82 removed)."""
    spec = util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"'{package}' is not installed, or has no __init__.py")
    return str(Path(spec.origin).parent)


def _plain_is_installed(package: str) -> bool:
    """Tell whether a package can be imported."""
    spec = util.find_spec(package)
    return spec is not None and spec.origin is not None


def _mend_original(config: Any) -> None:
    """Make mmengine 0.10.7 work with today's setuptools and inside virtual environments.

    Args:
        config: `mmengine.config.config`.
    """
    from mmengine import utils
    from mmengine.config import utils as config_utils
    from mmengine.utils import package_utils

    for module in (package_utils, utils, config):
        module.is_installed = _plain_is_installed
        module.get_installed_path = _plain_installed_path
    # 0.10.7 takes a standard library outside /usr/lib/python for third-party code and refuses to import it.
    config_utils.SYSTEM_PYTHON_PREFIX = sysconfig.get_paths()['stdlib']
    known = config_utils._is_builtin_module

    def is_builtin(name: str) -> bool:
        return name.partition('.')[0] in sys.stdlib_module_names or known(name)

    config_utils._is_builtin_module = config._is_builtin_module = is_builtin


def unscope_functions(loader: dict[str, Any]) -> dict[str, Any]:
    """Take the scope out of the functions of a loader.

    Inheritance as in `mmfas::baselines/...` adds `_scope_` to everything with a type, and mmengine would hand it
    to `collate_fn` and `worker_init_fn` as an argument.

    Args:
        loader: Config of a data loader.

    Returns:
        A shallow copy without it.

    >>> unscope_functions(dict(batch_size=2, collate_fn=dict(type='default_collate', _scope_='mmfas')))
    {'batch_size': 2, 'collate_fn': {'type': 'default_collate'}}
    """
    functions = {
        key: {name: value for name, value in loader[key].items() if name != '_scope_'}
        for key in ('collate_fn', 'worker_init_fn')
        if isinstance(loader.get(key), Mapping)
    }
    return {**loader, **functions}


def plain_message_hub(state: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the state of mmengine's message hub into plain numbers.

    Args:
        state: `MessageHub.state_dict()`, whose scalars are `HistoryBuffer` objects.

    Returns:
        The same with every buffer as a dictionary of `values`, `counts` and `max_length`.
    """
    from mmfas.utils.checkpoint import plain

    scalars = {
        name: dict(values=plain(buffer.data[0]), counts=plain(buffer.data[1]), max_length=buffer.max_length)
        for name, buffer in state['log_scalars'].items()
    }
    return dict(
        log_scalars=scalars, runtime_info=plain(state['runtime_info']), resumed_keys=plain(state['resumed_keys'])
    )


def engine_message_hub(state: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `plain_message_hub`.

    Args:
        state: Result of `plain_message_hub`.

    Returns:
        What `MessageHub.load_state_dict` expects.
    """
    from mmengine.logging import HistoryBuffer

    scalars = {
        name: HistoryBuffer(entry['values'], entry['counts'], entry['max_length'])
        for name, entry in state['log_scalars'].items()
    }
    return {**state, 'log_scalars': scalars}


def load_from_file(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Load a local checkpoint for the engine, strictly (see `mmfas.utils.checkpoint`).

    Args:
        filename: Path of the file.
        map_location: Device of the tensors, as in `torch.load`.

    Returns:
        The checkpoint, with its message hub as the engine expects it.
    """
    from mmfas.utils.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(filename, map_location=map_location)
    if 'message_hub' in checkpoint:
        checkpoint['message_hub'] = engine_message_hub(checkpoint['message_hub'])
    return checkpoint


def cached_path(url: str) -> Path:
    """Return where the file of an address is kept: one folder per address, for many files have one name.

    Args:
        url: Address; its query counts, its fragment does not.

    Returns:
        `<torch's hub folder>/checkpoints/<16 digits of the address's SHA-256>/<file name>`.
    """
    from torch import hub

    address = urldefrag(url).url
    digest = hashlib.sha256(address.encode()).hexdigest()[:16]
    return Path(hub.get_dir(), 'checkpoints', digest, Path(urlparse(address).path).name or 'checkpoint')


def _announced_hash(name: str) -> str | None:
    """Return the start of the SHA-256 that a name such as `vit-02b8425a.pth` ends in; None for a date."""
    found = re.search(r'-([0-9a-f]{8,64})\.\w+$', name)
    return found[1] if found and not found[1].isdigit() else None


def _download(url: str, target: Path) -> None:
    """Fetch a file, completely or not at all.

    Raises:
        CheckpointError: If it cannot be fetched, or is not the one its name announces.
    """
    from torch import hub

    from mmfas.utils.checkpoint import CheckpointError

    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        hub.download_url_to_file(url, str(target), _announced_hash(target.name), progress=sys.stderr.isatty())
    except (OSError, RuntimeError) as error:  # no connection or refused; a wrong hash
        raise CheckpointError(
            f"cannot download '{url}': {error}; check the address, or download it yourself and give the path"
        ) from error


def load_from_url(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Download a checkpoint (once, on the main process of each machine) and load it strictly.

    Args:
        filename: Address that starts with http:// or https://.
        map_location: Device of the tensors, as in `torch.load`.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: If the file cannot be fetched, its name ends in a hash (`-<8 or more digits>.pth`) that is
            not its own, or it is refused.
    """
    from mmengine.dist import barrier, get_local_rank

    target = cached_path(filename)
    if get_local_rank() == 0 and not target.is_file():
        _download(filename, target)
    barrier()
    return load_from_file(str(target), map_location)


def refuse_scheme(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Refuse an address of a kind that mmfas does not load from.

    Raises:
        CheckpointError: Always.
    """
    from mmfas.utils.checkpoint import CheckpointError

    raise CheckpointError(f"cannot load '{filename}': give the path of a file, or an http(s) address")


def harden_loading(module: ModuleType) -> None:
    """Let the engine load checkpoints only through the strict loader.

    Both stacks are too trusting: OneDL's loader falls back to the full pickle when the safe one refuses a file,
    and old torch versions read the full pickle by default.

    Args:
        module: `mmengine.runner.checkpoint`.
    """
    schemes = module.CheckpointLoader._schemes
    for prefix in list(schemes):
        schemes[prefix] = refuse_scheme
    schemes.update({'http://': load_from_url, 'https://': load_from_url, '': load_from_file})


def _know_our_configs(module: ModuleType) -> None:
    """Let `_base_ = 'mmfas::...'` and the scope `mmfas` resolve; `module` is `mmengine.config.utils`."""
    module.MODULE2PACKAGE.setdefault('mmfas', 'mmfas')


def _mend_config(module: ModuleType) -> None:
    """Mend `mmengine.config.config` where it is the original, once."""
    if not _installed('onedl-mmengine') and module._is_builtin_module.__module__.startswith('mmengine'):
        _mend_original(module)


#: Module of the engine -> what is done to it the moment it is imported.
_MENDS: dict[str, Callable[[ModuleType], None]] = {
    'mmengine.config.utils': _know_our_configs,
    'mmengine.config.config': _mend_config,
    'mmengine.runner.checkpoint': harden_loading,
}


class _MendWhenImported(MetaPathFinder):
    """Import hook that mends the engine's modules as they come; importing them early would cost seconds."""

    def __init__(self) -> None:
        self._asked: set[str] = set()

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find the modules this is about, with loaders that mend them after running them."""
        if fullname not in _MENDS or fullname in self._asked:
            return None
        self._asked.add(fullname)  # so that the next line asks the other finders
        spec = util.find_spec(fullname)
        self._asked.discard(fullname)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def run_and_mend(module: ModuleType) -> None:
            run(module)
            _MENDS[fullname](module)

        spec.loader.exec_module = run_and_mend  # type: ignore[method-assign]
        return spec


def prepare_engine() -> None:
    """Check the engine stack and mend its modules, now or when they are imported; cheap, may be called again."""
    check_engine()
    # mmcv's advice to install another mmcv: it is about compiled operators, of which mmfas needs none.
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
    for name, mend in _MENDS.items():
        if name in sys.modules:
            mend(sys.modules[name])
    if not any(isinstance(finder, _MendWhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _MendWhenImported())


def start_distributed(launcher: str) -> None:
    """Start the process group where mmengine's own start-up fails: on machines without a GPU.

    The runner skips its start-up, which calls `torch.cuda.set_device`, if a group exists.

    Args:
        launcher: `'none'` (does nothing), `'pytorch'`, `'slurm'` or `'mpi'`.

    Raises:
        RuntimeError: If the launcher is `'pytorch'` but the process was not started by torchrun.
    """
    import torch
    from torch import distributed

    if launcher == 'none' or torch.cuda.is_available() or distributed.is_initialized():
        return
    if launcher != 'pytorch':
        raise RuntimeError(f"launcher '{launcher}' needs GPUs; without one, use --launcher pytorch (gloo)")
    missing = [name for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT') if name not in os.environ]
    if missing:
        raise RuntimeError(
            f'--launcher pytorch needs {", ".join(missing)}: start with tools/dist_train.sh or torchrun'
        )
    distributed.init_process_group('gloo')


def finish_distributed() -> None:
    """Wait for the other processes and close the group; without it a process that ends first takes gloo down."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
