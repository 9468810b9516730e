"""Small real data sets in the exact layouts and list formats of the published benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest

from .data_files import write_padisi, write_wmca


@pytest.fixture
def wmca_root(tmp_path: Path) -> Path:
    """Six WMCA frames and `W-train.txt`."""
    write_wmca(tmp_path)
    return tmp_path


@pytest.fixture
def padisi_root(tmp_path: Path) -> Path:
    """Four PADISI archives with a tab-separated list `P-train.txt`."""
    names = ['zd6c8787.npz', 'zb50f8f6.npz', '1c7d905a.npz', '074b487a.npz']
    for seed, name in enumerate(names):
        write_padisi(tmp_path, name, seed)
    lines = [f'{name}\t{int(index < 2)}\n' for index, name in enumerate(names)]
    (tmp_path / 'P-train.txt').write_text(''.join(lines))
    return tmp_path
