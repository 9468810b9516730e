"""Reading a config file and the options that change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

#: Variables that a config file only uses while it is read, and where their values end up.
_VARIABLE_PLACES = {
    'data_root': 'train_dataloader.dataset.data_root (and val_, test_)',
    'meta_file': 'train_dataloader.dataset.meta_file (and val_, test_)',
    'dataset_type': 'train_dataloader.dataset.type (and val_, test_)',
    'train_pipeline': 'train_dataloader.dataset.pipeline',
    'val_pipeline': 'val_dataloader.dataset.pipeline',
    'test_pipeline': 'val_dataloader.dataset.pipeline and test_dataloader.dataset.pipeline',
}


class ConfigError(ValueError):
    """A config that cannot be read, or an option that does not fit it; the message says which and why."""


def read_config(path: str, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config and apply `--cfg-options`.

    Args:
        path: Config file.
        options: Values by dotted key; None changes nothing.

    Returns:
        The config.

    Raises:
        ConfigError: If the file or one it inherits is missing or fails, or an option does not fit it.
    """
    from mmengine.config import Config

    if not Path(path).is_file():
        raise ConfigError(f"config '{path}' does not exist or is not a file; check the path")
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is a program: it can fail in any way
        raise ConfigError(f"config '{path}' cannot be read: {_reason(error)}") from error
    return merge_options(cfg, options)


def merge_options(cfg: Config, options: Mapping[str, Any] | None) -> Config:
    """Apply `--cfg-options` to a config.

    Args:
        cfg: Config, changed in place.
        options: Values by dotted key; None changes nothing.

    Returns:
        The same config.

    Raises:
        ConfigError: If an option does not fit the config.
    """
    for key in options or ():
        place = _VARIABLE_PLACES.get(key.partition('.')[0])
        if place is not None:
            raise ConfigError(
                f'--cfg-options {key}: the file was read before, so this changes nothing; set {place}'
            )
    try:
        cfg.merge_from_dict(dict(options or {}))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        told = ' '.join(f'{key}={value}' for key, value in (options or {}).items())
        raise ConfigError(f'--cfg-options {told}: does not fit the config: {_reason(error)}') from error
    return cfg


def _reason(error: Exception) -> str:
    """Say in one line why a config cannot be read."""
    if isinstance(error, ImportError):
        # mmengine adds all of sys.path; the missing module is named by what it wraps.
        cause = next((e for e in (error.__cause__, error.__context__) if isinstance(e, ImportError)), error)
        first = str(cause).strip().splitlines()[0]
        return f'{first} (from custom_imports or an import; its folder must be on PYTHONPATH)'
    if isinstance(error, SyntaxError):
        return f'line {error.lineno}: {error.msg}'
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"it inherits or needs '{error.filename}', which does not exist"
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return f'{type(error).__name__}: {text}'
