"""Everything that makes the two engine stacks (OneDL forks, OpenMMLab originals) behave alike, in one file."""

from __future__ import annotations

from importlib import metadata, util

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


def prepare_engine() -> None:
    """Check the engine stack and let its config loader accept `_base_ = 'mmfas::...'`."""
    check_engine()
    from mmengine.config.utils import MODULE2PACKAGE

    MODULE2PACKAGE.setdefault('mmfas', 'mmfas')
