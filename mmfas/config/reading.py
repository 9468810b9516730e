"""Reading a config file and the options that change it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfas.config.files import FileFault, check_files, unset_variables
from mmfas.config.keys import PLACES, TOP_LEVEL_KEYS, set_there
from mmfas.config.wording import shown
from mmfas.utils.errors import ConfigError as ConfigError

if TYPE_CHECKING:
    from mmengine.config import Config


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
        check_files(path)
        cfg = Config.fromfile(path)
        unset = next(unset_variables(cfg.to_dict()), None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a config is a program: it can fail in any way, and end the process
        raise ConfigError(f"config '{path}' cannot be read: {_reason(error)}") from error
    if unset is not None:
        raise ConfigError(f"config '{path}': {unset}")
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
        name = key.partition('.')[0]
        if name == 'custom_imports':
            raise ConfigError(f'--cfg-options {key}: modules are imported while the file is read; name them there')
        if name not in TOP_LEVEL_KEYS:
            near = difflib.get_close_matches(name, TOP_LEVEL_KEYS, n=1)
            place = PLACES.get(name)
            remedy = set_there(place) if place else f'did you mean {near[0]}?' if near else 'take it out'
            raise ConfigError(f'--cfg-options {key}: nothing reads {name} once the file was read; {remedy}')
    try:
        cfg.merge_from_dict(dict(options or {}))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        given = ' '.join(f'{key}={shown(value)}' for key, value in (options or {}).items())
        raise ConfigError(f'--cfg-options {given}: does not fit the config: {_reason(error)}') from error
    return cfg


def _reason(error: BaseException) -> str:
    """Say in one line why a config cannot be read."""
    if isinstance(error, FileFault):
        return str(error)
    if isinstance(error, SystemExit):
        return f'it ends the process (sys.exit({error.code!r})); take that out of the config'
    if isinstance(error, RecursionError):
        return 'its values are nested too deeply, or hold themselves'
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
    # One line: errors of others may show whole files.
    return f'{type(error).__name__}: {" ".join(str(text).split()):.400}'
