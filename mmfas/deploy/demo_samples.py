"""The sample triples of the demo page: rendered, so that no person is in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2

from mmfas.deploy.bundle import Bundle
from mmfas.deploy.golden_sample import rendered_triple
from mmfas.synthfas import SIZES
from mmfas.utils.files import write_atomically

__all__ = ['SAMPLES', 'size_for', 'write_samples']

#: What the samples show, by label of SynthFAS.
SAMPLES = {
    'live': 'live',
    'print': 'print on paper',
    'replay': 'screen',
    'papermask': 'paper mask',
    'mask3d': '3D mask',
    'silicone': 'silicone mask',
    'fakehead': 'mannequin',
    'glasses': 'glasses',
}


def write_samples(
    folder: Path, labels: Iterable[str] = tuple(SAMPLES), *, size: str = 'small'
) -> dict[str, dict[str, str]]:
    """Render sample triples and write them as `<label>_<modality>.png`.

    Args:
        folder: Where to write.
        labels: Labels of SynthFAS.
        size: Size of SynthFAS, not `'tiny'`, which has no sample of some labels.

    Returns:
        Label -> modality -> file.
    """
    found: dict[str, dict[str, str]] = {}
    for label in labels:
        found[label] = {}
        for modality, picture in rendered_triple(label, size=size).items():
            path = folder / f'{label}_{modality}.png'
            stored = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
            write_atomically(path, cv2.imencode('.png', stored)[1].tobytes())  # `imwrite` hides a full disk
            found[label][modality] = str(path)
    return found


def size_for(bundle: Bundle) -> str:
    """Return the size of SynthFAS whose samples resemble what a bundle was trained on.

    Args:
        bundle: The bundle.
    """
    data = (bundle.origin.get('data') or {}).get('synthfas')
    size = data['size'] if isinstance(data, Mapping) else None
    return size if size in SIZES and size != 'tiny' else 'small'
