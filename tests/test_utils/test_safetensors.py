"""Safetensors files: equal content has equal bytes, and reads back."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save

from mmfas.utils.safetensors import read_safetensors, write_safetensors

TENSORS = {
    'b.weight': torch.arange(6.0).view(2, 3),
    'a': torch.ones(3, dtype=torch.int64),
    'c': torch.tensor(True),
}
METADATA = {'format': 'pt', 'licence': 'CC-BY-4.0', 'note': 'für "alle"\n', 'sha256': '0' * 64, 'made': '日本'}


def test_what_is_written_twice_has_the_same_bytes(tmp_path: Path) -> None:
    assert len({save(TENSORS, METADATA) for _ in range(20)}) > 1, 'the library itself has no fixed order'
    files = [tmp_path / f'{number}.safetensors' for number in range(8)]
    for number, file in enumerate(files):
        parts = [dict(list(part.items())[:: 1 if number % 2 else -1]) for part in (TENSORS, METADATA)]
        write_safetensors(parts[0], file, metadata=parts[1])
    assert len({file.read_bytes() for file in files}) == 1
    tensors, metadata = read_safetensors(files[0])
    assert metadata == METADATA and tensors.keys() == TENSORS.keys()
    assert all(torch.equal(value, TENSORS[name]) for name, value in tensors.items())


def test_the_header_is_that_of_the_library(tmp_path: Path) -> None:
    write_safetensors(TENSORS, tmp_path / 'one.safetensors', metadata={'format': 'pt'})
    assert (tmp_path / 'one.safetensors').read_bytes() == save(TENSORS, {'format': 'pt'})
