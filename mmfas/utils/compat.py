"""Everything that makes the two engine stacks (OneDL forks, OpenMMLab originals) behave alike, in one file."""

from __future__ import annotations

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

from mmfas.utils.errors import MissingPackageError, PackageError
from mmfas.utils.joined_bases import join_bases
from mmfas.utils.loading import load_from_file, load_from_url, refuse_scheme

ONEDL_COMMAND = "pip install 'mmfas[onedl]'"
OPENMMLAB_COMMAND = "pip install 'mmfas[openmmlab]'"
#: Name under which the engine knows files that are written atomically, see `mmfas.engine.hooks.checkpoint`.
ATOMIC_BACKEND = 'mmfas_atomic'


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
        raise PackageError(
            'mmfas needs mmengine, from one of two stacks with the same import names: '
            f'{ONEDL_COMMAND} (maintained, default) or {OPENMMLAB_COMMAND} (the originals)'
        )
    onedl, original = _installed('onedl-mmengine'), _installed('mmengine', 'mmengine-lite')
    if onedl and original:
        raise PackageError(
            f'{onedl[0]} and {original[0]} are both installed and overwrite each other: '
            f'uninstall both (pip uninstall -y {onedl[0]} {original[0]}), then {ONEDL_COMMAND}'
        )


def _plain_installed_path(package: str) -> str:
    """Return the folder of an importable package (0.10.7 asks `pkg_resources`, which setuptools 82 removed)."""
    spec = util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingPackageError(f"'{package}' is not installed, or has no __init__.py")
    return str(Path(spec.origin).parent)


def _plain_is_installed(package: str) -> bool:
    """Tell whether a package can be imported."""
    spec = util.find_spec(package)
    return spec is not None and spec.origin is not None


def _patch_original(config: Any) -> None:
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


def stream_checkpoints(module: ModuleType) -> None:
    """Let the engine write checkpoints of mmfas straight into their file.

    Its own code makes the whole file in memory first: a second copy of model and optimizer.

    Args:
        module: `mmengine.runner.checkpoint`.
    """
    known = module.save_checkpoint

    def save_checkpoint(
        checkpoint: dict[str, Any], filename: str, file_client_args: Any = None, backend_args: Any = None
    ) -> None:
        if backend_args != {'backend': ATOMIC_BACKEND}:
            known(checkpoint, filename, file_client_args=file_client_args, backend_args=backend_args)
            return
        from mmfas.utils.checkpoint import write_checkpoint

        write_checkpoint(checkpoint, filename)

    module.save_checkpoint = save_checkpoint  # type: ignore[attr-defined]  # a module takes any attribute


def _patch_checkpoints(module: ModuleType) -> None:
    """Load strictly, write straight; `module` is `mmengine.runner.checkpoint`."""
    harden_loading(module)
    stream_checkpoints(module)


def _know_our_configs(module: ModuleType) -> None:
    """Let `_base_ = 'mmfas::...'` and the scope `mmfas` resolve; `module` is `mmengine.config.utils`."""
    module.MODULE2PACKAGE.setdefault('mmfas', 'mmfas')


def _patch_config(module: ModuleType) -> None:
    """Patch `mmengine.config.config`, once."""
    join_bases(module)
    if not _installed('onedl-mmengine') and module._is_builtin_module.__module__.startswith('mmengine'):
        _patch_original(module)


#: Module of the engine -> function that patches it as soon as it is imported.
_PATCHES: dict[str, Callable[[ModuleType], None]] = {
    'mmengine.config.utils': _know_our_configs,
    'mmengine.config.config': _patch_config,
    'mmengine.runner.checkpoint': _patch_checkpoints,
}


class _PatchWhenImported(MetaPathFinder):
    """Import hook that patches the engine's modules on import; importing them early would cost seconds."""

    def __init__(self) -> None:
        self._asked: set[str] = set()

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find the modules to patch, with loaders that patch them after running them."""
        if fullname not in _PATCHES or fullname in self._asked:
            return None
        self._asked.add(fullname)  # so that the next line asks the other finders
        spec = util.find_spec(fullname)
        self._asked.discard(fullname)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def run_and_patch(module: ModuleType) -> None:
            run(module)
            _PATCHES[fullname](module)

        spec.loader.exec_module = run_and_patch  # type: ignore[method-assign]
        return spec


def prepare_engine() -> None:
    """Check the engine stack and patch its modules, now or on import; cheap, may be called again."""
    check_engine()
    # mmcv's advice to install another mmcv: it is about compiled operators, of which mmfas needs none.
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
    for name, patch in _PATCHES.items():
        if name in sys.modules:
            patch(sys.modules[name])
    if not any(isinstance(finder, _PatchWhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _PatchWhenImported())
