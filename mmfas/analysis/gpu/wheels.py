"""Which packages a machine without a network lacks, if it has torch and what usually comes with it."""

from __future__ import annotations

import importlib.metadata as metadata
import re
from collections.abc import Collection
from dataclasses import dataclass

from packaging.requirements import Requirement

from mmfas.utils.errors import MissingPackageError

#: What a machine that is set up for torch has as a rule; `--have` names more, `--lack` those that one lacks.
USUAL = frozenset({
    'torch', 'torchvision', 'numpy', 'scipy', 'scikit-image', 'scikit-learn', 'matplotlib', 'pillow', 'packaging',
    'pyyaml', 'filelock', 'rich', 'opencv-python', 'opencv-python-headless', 'onnx', 'onnxruntime', 'onnxscript',
    'typing-extensions', 'pygments', 'markdown-it-py', 'mdurl',
})  # fmt: skip
#: The checks run on this stack.
_EXTRA = 'onedl'


@dataclass(frozen=True)
class Wheel:
    """One package to carry.

    Args:
        name: Its name.
        version: Its version here.
        is_pure: Whether one wheel serves every machine; others are built for a Python and a processor.
        num_bytes: Size of its files once installed; the wheel is smaller.
    """

    name: str
    version: str
    is_pure: bool
    num_bytes: int


def wheels_to_carry(have: Collection[str] = (), lack: Collection[str] = ()) -> list[Wheel]:
    """Walk the requirements of mmfas as it is installed here.

    Args:
        have: Further packages that the other machine has.
        lack: Packages that it lacks, though machines set up for torch have them as a rule; what they need is
            carried, too, unless it is usual.

    Returns:
        Packages by name; mmfas itself runs from its folder.

    Raises:
        ModuleNotFoundError: If mmfas or something that it needs is not installed here.
    """
    known = {_normalised(name) for name in (*USUAL, *have)} - {_normalised(name) for name in lack}
    found: dict[str, Wheel] = {}
    waiting = ['mmfas', *(_normalised(name) for name in lack)]
    while waiting:
        name = waiting.pop()
        distribution = _distribution(name)
        if name != 'mmfas':
            found[name] = _wheel(name, distribution)
        for text in distribution.requires or ():
            needed = Requirement(text)
            extra = _EXTRA if name == 'mmfas' else ''
            if needed.marker is not None and not needed.marker.evaluate({'extra': extra}):
                continue
            key = _normalised(needed.name)
            if key not in known and key not in found and key not in waiting:
                waiting.append(key)
    return [found[name] for name in sorted(found)]


def _normalised(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name).lower()


def _distribution(name: str) -> metadata.Distribution:
    """Find an installed package."""
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise MissingPackageError(
            f"the package {name} is not installed here, so what it needs is not known; install 'mmfas[{_EXTRA}]'"
        ) from error


def _wheel(name: str, distribution: metadata.Distribution) -> Wheel:
    """Describe an installed package."""
    files = distribution.files or ()
    tags = re.findall(r'^Tag: (\S+)', distribution.read_text('WHEEL') or '', re.MULTILINE)
    return Wheel(
        name,
        distribution.version,
        is_pure=bool(tags) and all(tag.endswith('-none-any') for tag in tags),
        num_bytes=sum(file.size or 0 for file in files),
    )
