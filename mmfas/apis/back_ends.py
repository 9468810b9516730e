"""What the back ends that curves go to need, looked for before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from mmfas.utils.errors import MissingPackageError

__all__ = ['require_back_ends']

#: Back end of mmengine -> package that it imports, once the first value is written.
_PACKAGES = {
    'AimVisBackend': 'aim',
    'ClearMLVisBackend': 'clearml',
    'DVCLiveVisBackend': 'dvclive',
    'MLflowVisBackend': 'mlflow',
    'NeptuneVisBackend': 'neptune',
    'TensorboardVisBackend': 'tensorboard',
    'WandbVisBackend': 'wandb',
}


def require_back_ends(cfg: Mapping[str, Any]) -> None:
    """Look for the packages of the `vis_backends` of a config.

    Args:
        cfg: Whole config.

    Raises:
        ImportError: If one is not installed.
    """
    for back_end in (cfg.get('visualizer') or {}).get('vis_backends') or ():
        kind = back_end.get('type') if isinstance(back_end, Mapping) else None
        name = getattr(kind, '__name__', str(kind)).rpartition('.')[2]
        package = _PACKAGES.get(name)
        if package is not None and find_spec(package) is None:
            raise MissingPackageError(
                f"visualizer.vis_backends: {name} needs the package '{package}', which is not installed: "
                f'pip install {package}, or leave the back end out'
            )
