"""The manifest of a rendered folder: what it was made with, and a checksum per chunk of videos."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmfas.synthfas.plan.plan import Setting
from mmfas.synthfas.plan.stress import PERTURBATIONS_VERSION
from mmfas.utils.errors import InputError
from mmfas.utils.files import is_leftover, write_atomically
from mmfas.utils.jobs import ChunkEntry

__all__ = ['Manifest', 'load_manifest']

MANIFEST_NAME = 'manifest.json'


@dataclass
class Manifest:
    """Settings and finished chunks of a folder; chunk names are `<domain>-<split>-<number>`, or random sites.

    `extra` is what a folder of random sites depends on beside the setting.
    """

    setting: Setting
    chunks: dict[str, ChunkEntry] = field(default_factory=dict)
    extra: dict[str, object] = field(default_factory=dict)

    def header(self) -> dict[str, object]:
        """Return what must agree between two runs in the same folder."""
        stress = self.setting.stress.as_dict()
        return {
            'renderer_version': self.setting.renderer,
            'size': self.setting.size,
            'seed': self.setting.seed,
            'stress': stress,
            # Without perturbations it is the manifest of clean data, byte for byte.
            **({'dials_version': PERTURBATIONS_VERSION} if stress else {}),
            **self.extra,
        }

    def save(self, root: Path) -> None:
        """Write `manifest.json` into the folder."""
        chunks = {name: vars(entry) for name, entry in sorted(self.chunks.items())}
        text = json.dumps({'benchmark': 'SynthFAS', **self.header(), 'chunks': chunks}, indent=1)
        write_atomically(root / MANIFEST_NAME, text + '\n')


def load_manifest(root: Path, setting: Setting, extra: Mapping[str, object] | None = None) -> Manifest:
    """Read the manifest of a folder, or start one.

    Args:
        root: Folder of the data.
        setting: What is about to be rendered.
        extra: What random sites depend on beside it; None for the domains of the benchmark.

    Returns:
        The manifest with the finished chunks.

    Raises:
        ValueError: If the folder holds data of another version, size, seed or other perturbations, other files, or
            a broken manifest.
    """
    fresh = Manifest(setting, extra=dict(extra or {}))
    path = root / MANIFEST_NAME
    if not path.is_file():
        names = [child.name for child in root.iterdir()] if root.is_dir() else []
        if any(not name.startswith('.') and not is_leftover(name) for name in names):
            raise InputError(f'{root} is not empty and has no {MANIFEST_NAME}; give an empty or a new folder')
        return fresh
    try:
        found = json.loads(path.read_text())
        chunks = {name: ChunkEntry(**entry) for name, entry in found['chunks'].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f'{path} is broken ({error}); delete the folder and render it again') from error
    # Random sites and the domains of the benchmark never share a folder.
    for key, wanted in {'sites_version': None, **fresh.header()}.items():
        if found.get(key) != wanted:
            raise InputError(
                f'{root} holds SynthFAS data with {key} = {found.get(key)!r}, this run has {wanted!r}; '
                'give another folder, or delete this one'
            )
    return replace(fresh, chunks=chunks)


def manifest_identity(data_root: str) -> dict[str, Any]:
    """Say which benchmark lies in a folder: renderer version, size, seed and perturbations of its manifest."""
    manifest = json.loads(Path(data_root, 'manifest.json').read_text(encoding='utf-8'))
    return {key: manifest.get(key) for key in ('renderer_version', 'size', 'seed', 'stress')}


def render_command(data_root: str | Path) -> str:
    """Return the command that renders what a folder holds, or is to hold where it has no manifest."""
    if not Path(data_root, 'manifest.json').is_file():
        return f'mmfas data render {data_root}'
    made = manifest_identity(str(data_root))
    stress = ''.join(f' {name}={value}' for name, value in (made['stress'] or {}).items())
    options = f'--size {made["size"]} --seed {made["seed"]} --renderer {made["renderer_version"]}'
    return f'mmfas data render {data_root} {options}{" --stress" + stress if stress else ""}'
