"""The manifest of a rendered folder: what it was made with, and a checksum per chunk of videos."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmfas.synthfas.plan.plan import Setting
from mmfas.synthfas.plan.stress import DIALS_VERSION
from mmfas.utils.jobs import ChunkEntry, write_atomic

__all__ = ['Manifest', 'load_manifest']

MANIFEST_NAME = 'manifest.json'


@dataclass
class Manifest:
    """Settings and finished chunks of a folder; chunk names are ``<domain>-<split>-<number>``."""

    setting: Setting
    chunks: dict[str, ChunkEntry] = field(default_factory=dict)

    def header(self) -> dict[str, object]:
        """Return what must agree between two runs in the same folder."""
        stress = self.setting.stress.as_dict()
        return {
            'renderer_version': self.setting.renderer,
            'size': self.setting.size,
            'seed': self.setting.seed,
            'stress': stress,
            **({'dials_version': DIALS_VERSION} if stress else {}),  # 0 is the undialled data, manifest included
        }

    def save(self, root: Path) -> None:
        """Write ``manifest.json`` into the folder."""
        chunks = {name: vars(entry) for name, entry in sorted(self.chunks.items())}
        text = json.dumps({'benchmark': 'SynthFAS', **self.header(), 'chunks': chunks}, indent=1)
        write_atomic(root / MANIFEST_NAME, (text + '\n').encode())


def load_manifest(root: Path, setting: Setting) -> Manifest:
    """Read the manifest of a folder, or start one.

    Args:
        root: folder of the data.
        setting: what is about to be rendered.

    Returns:
        The manifest with the finished chunks.

    Raises:
        ValueError: if the folder holds data of another version, size, seed or other dials, other files, or a
            broken manifest.
    """
    fresh = Manifest(setting)
    path = root / MANIFEST_NAME
    if not path.is_file():
        if root.is_dir() and any(not child.name.startswith('.') for child in root.iterdir()):
            raise ValueError(f'{root} is not empty and has no {MANIFEST_NAME}; give an empty or a new folder.')
        return fresh
    try:
        found = json.loads(path.read_text())
        chunks = {name: ChunkEntry(**entry) for name, entry in found['chunks'].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f'{path} is broken ({error}); delete the folder and render it again.') from error
    for key, wanted in fresh.header().items():
        if found.get(key) != wanted:
            raise ValueError(
                f'{root} holds SynthFAS data with {key} = {found.get(key)!r}, this run has {wanted!r}; '
                'give another folder, or delete this one.'
            )
    return Manifest(setting, chunks)


def manifest_identity(data_root: str) -> dict[str, Any]:
    """Say which benchmark lies in a folder: renderer version, size, seed and dials of its manifest."""
    manifest = json.loads(Path(data_root, 'manifest.json').read_text(encoding='utf-8'))
    return {key: manifest.get(key) for key in ('renderer_version', 'size', 'seed', 'stress')}


def render_command(data_root: str | Path) -> str:
    """Return the command that renders what a folder holds, or is to hold where it has no manifest."""
    if not Path(data_root, 'manifest.json').is_file():
        return f'mmfas render_synthfas {data_root}'
    made = manifest_identity(str(data_root))
    stress = ''.join(f' {dial}={value}' for dial, value in (made['stress'] or {}).items())
    options = f'--size {made["size"]} --seed {made["seed"]} --renderer {made["renderer_version"]}'
    return f'mmfas render_synthfas {data_root} {options}{" --stress" + stress if stress else ""}'
