"""Data sets, transforms, samplers and the synthetic benchmark; a name is imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmfas.datasets import transforms
    from mmfas.datasets.face_dataset import MultiModalFaceDataset
    from mmfas.datasets.protocols import Provenance, parse_provenance
    from mmfas.datasets.randomness import sample_randomness, set_dataset_epoch
    from mmfas.datasets.samplers import DomainClassBalancedSampler, group_keys_of

__all__ = [
    'DomainClassBalancedSampler',
    'MultiModalFaceDataset',
    'Provenance',
    'group_keys_of',
    'parse_provenance',
    'sample_randomness',
    'set_dataset_epoch',
    'transforms',
]

# Eager imports would make every worker process of the synthetic renderer load torch.
_HOMES = {
    'DomainClassBalancedSampler': 'samplers',
    'MultiModalFaceDataset': 'face_dataset',
    'Provenance': 'protocols',
    'group_keys_of': 'samplers',
    'parse_provenance': 'protocols',
    'sample_randomness': 'randomness',
    'set_dataset_epoch': 'randomness',
}


def __getattr__(name: str) -> Any:
    """Import the home of a public name on first use (PEP 562)."""
    if name == 'transforms':
        return import_module('mmfas.datasets.transforms')
    if name not in _HOMES:
        raise AttributeError(f"module 'mmfas.datasets' has no attribute {name!r}")
    return getattr(import_module(f'mmfas.datasets.{_HOMES[name]}'), name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
