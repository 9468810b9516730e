"""Pictures that look the same in two lists, beside a plain loop; byte copies; the command."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmfas.cli.data.overlap import main
from mmfas.datasets import MultiModalFaceDataset
from mmfas.datasets.near_copies import difference_hash, hash_distances, near_copies


def picture(seed: int) -> np.ndarray:
    """Smooth blobs, other ones for each seed."""
    noise = np.random.default_rng(seed).random((6, 6, 3)).astype(np.float32)
    return (cv2.resize(noise, (96, 96), interpolation=cv2.INTER_CUBIC).clip(0, 1) * 255).astype(np.uint8)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """List A of six pictures; B has a byte copy, a recompressed and a scaled one, three others and a flat one."""
    root = tmp_path_factory.mktemp('copies')
    for index in range(6):
        cv2.imwrite(str(root / f'a{index}.png'), picture(index))
    cv2.imwrite(str(root / 'a6.png'), np.full((96, 96, 3), 90, np.uint8))
    shutil.copy(root / 'a0.png', root / 'b0.png')
    cv2.imwrite(str(root / 'b1.jpg'), picture(1), [cv2.IMWRITE_JPEG_QUALITY, 60])
    cv2.imwrite(str(root / 'b2.png'), cv2.resize(picture(2), (60, 60), interpolation=cv2.INTER_AREA))
    for index in (3, 4, 5):
        cv2.imwrite(str(root / f'b{index}.png'), picture(100 + index))
    cv2.imwrite(str(root / 'b6.png'), np.full((96, 96, 3), 91, np.uint8))
    for name in 'ab':
        files = sorted(path.name for path in root.glob(f'{name}?.*'))
        rows = [f'{file[:2]},{file},{number % 2}' for number, file in enumerate(files)]
        (root / f'{name}.csv').write_text('\n'.join(['sample_id,rgb,label', *rows]))
    return root


def test_distances_are_those_of_a_plain_loop() -> None:
    hashes = [difference_hash(picture(seed)) for seed in range(5)]
    bits = np.stack([h for h in hashes if h is not None])
    for row, one in enumerate(bits):
        for column, other in enumerate(bits):
            assert hash_distances(bits, bits)[row, column] == sum(a != b for a, b in zip(one, other, strict=True))
    assert difference_hash(np.full((20, 20, 3), 7, np.uint8)) is None


def test_a_hash_is_who_is_brighter_than_the_right_neighbour() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (16, 17)).astype(np.uint8)
    bits = difference_hash(np.stack([grey] * 3, axis=-1))
    assert bits is not None
    assert bits.reshape(16, 16).tolist() == [[bool(r[i] > r[i + 1]) for i in range(16)] for r in grey.tolist()]


def test_copies_are_found_and_other_pictures_are_not(folder: Path) -> None:
    sets = [MultiModalFaceDataset(f'{name}.csv', str(folder)) for name in 'ab']
    found = near_copies(*sets)
    pairs = {(one.split()[-1], other.split()[-1]) for one, other, _ in found.pairs}
    assert pairs == {('a0', 'b0'), ('a1', 'b1'), ('a2', 'b2')}
    assert found.pairs[0][2] == 0 and [bits for *_, bits in found.pairs] == sorted(
        bits for *_, bits in found.pairs
    )
    assert (found.num_flat, found.num_compared) == (2, (6, 6))
    assert near_copies(*sets, modality='ir').pairs == ()


def test_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ['a.csv', 'b.csv', '--data-root', str(folder)]
    assert main([*call, '--out', str(tmp_path / 'pairs.csv')]) == 1
    text = capsys.readouterr().out
    assert 'the same file, or a byte copy: 1' in text and 'that look the same, byte copies too: 3' in text
    assert '6 x 6 pictures compared, 2 too flat' in text
    with open(tmp_path / 'pairs.csv', encoding='utf-8', newline='') as file:
        assert [row['kind'] for row in csv.DictReader(file)] == ['exact'] + ['looks the same'] * 3
    (folder / 'c.csv').write_text('sample_id,rgb,label\nb3,b3.png,1')
    assert main(['a.csv', str(folder / 'c.csv'), '--data-root', str(folder), '--exact-only']) == 0
    assert capsys.readouterr().out == 'the same file, or a byte copy: 0\n'


def test_pictures_of_16_bits_are_compared_and_lists_without_any_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in 'de':
        depth = 300 + 6 * picture(8)[..., 0].astype(np.uint16) + (name == 'e')
        cv2.imwrite(str(folder / f'{name}8.png'), depth)
        (folder / f'{name}.csv').write_text(f'sample_id,depth,label\n{name}8,{name}8.png,1')
    call = ['d.csv', 'e.csv', '--data-root', str(folder)]
    assert main([*call, '--modality', 'depth']) == 1
    assert 'that look the same, byte copies too: 1' in capsys.readouterr().out
    assert main([*call, '--modality', 'ir']) == 2
    assert 'A has no ir picture that shows enough to be compared' in capsys.readouterr().err
