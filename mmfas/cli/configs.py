"""Reading and checking the configs of commands that build a model, before any work starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmfas.cli.errors import ConfigProblems
from mmfas.config.reading import read_config

if TYPE_CHECKING:
    from mmengine.config import Config


def read_checked_config(path: str, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config and check it.

    Args:
        path: Config file.
        options: Values by dotted key, from `--cfg-options`.

    Returns:
        The config.

    Raises:
        ConfigError: If it cannot be read, or an option does not fit it.
        ConfigProblems: If anything in it is wrong; the message lists everything.
    """
    from mmfas.config.check import check_config

    cfg = read_config(path, options)
    problems = check_config(cfg)
    if problems:
        raise ConfigProblems.of(path, problems)
    return cfg
