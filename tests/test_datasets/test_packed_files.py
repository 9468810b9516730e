"""Many files in one: the same samples as from the files, in any process, and clear refusals."""

from __future__ import annotations

import pickle
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mmfas.cli.data.pack import main as pack
from mmfas.datasets import MultiModalFaceDataset
from mmfas.datasets.packed_files import PackedBackend, index_path, pack_files

pytestmark = pytest.mark.engine
NUM = 6


@pytest.fixture(scope='module')
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with six samples of small JPEGs and PNGs, and their list."""
    root = tmp_path_factory.mktemp('faces')
    rng, lines = np.random.default_rng(0), []
    for number in range(NUM):
        names = [f'{kind}/{number}.{ending}' for kind, ending in (('rgb', 'jpg'), ('depth', 'png'), ('ir', 'jpg'))]
        for name in names:
            (root / name).parent.mkdir(exist_ok=True)
            cv2.imwrite(str(root / name), rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        lines.append(f'{" ".join(names)} {number % 2}')
    (root / 'train.txt').write_text('\n'.join(lines))
    return root


def dataset_of(root: Path, backend_args: dict[str, Any] | None = None) -> MultiModalFaceDataset:
    steps = [dict(type='LoadMultiModalImages', backend_args=backend_args), dict(type='PackFASInputs')]
    return MultiModalFaceDataset('train.txt', str(root), pipeline=steps)


def packed_as(kind: str, root: Path, out: Path) -> dict[str, Any]:
    """Pack the files in one way; return how they are read."""
    names = sorted(str(path.relative_to(root)) for path in root.rglob('*.*g'))
    file = out / f'faces.{"zip" if "zip" in kind else "tar"}'
    if 'zip' in kind:
        method = zipfile.ZIP_DEFLATED if kind == 'zip-deflated' else zipfile.ZIP_STORED
        with zipfile.ZipFile(file, 'w', method) as archive:
            for name in names:
                archive.write(root / name, name)
    elif kind == 'foreign-tar':
        with tarfile.open(file, 'w') as archive:
            for name in names:
                archive.add(root / name, f'./{name}')
    else:
        assert pack(['train.txt', '--data-root', str(root), '--out', str(file)]) == 0
    return dict(backend='packed', file=str(file), root=str(root))


@pytest.mark.parametrize('kind', ['tar', 'foreign-tar', 'zip', 'zip-deflated'])
def test_samples_are_those_of_the_files(kind: str, faces: Path, tmp_path: Path) -> None:
    plain, packed = dataset_of(faces), dataset_of(faces, packed_as(kind, faces, tmp_path))
    for one, two in zip(plain, pickle.loads(pickle.dumps(packed)), strict=True):
        assert all(torch.equal(one['inputs'][m], two['inputs'][m]) for m in ('rgb', 'depth', 'ir'))


def test_packing_is_repeatable_and_says_how_to_read(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = packed_as('tar', faces, tmp_path)
    out = capsys.readouterr().out
    assert out.startswith(f'{options["file"]}: {3 * NUM} files, ') and f'backend_args=dict({"backend"}=' in out
    again = tmp_path / 'again.tar'
    with tarfile.open(options['file']) as archive:
        pack_files(archive.getnames(), faces, again)
    assert again.read_bytes() == Path(options['file']).read_bytes()


def test_out_of_one_file_is_not_slower(faces: Path, tmp_path: Path) -> None:
    backend = PackedBackend(packed_as('tar', faces, tmp_path)['file'], str(faces))
    paths = [str(path) for path in sorted(faces.rglob('*.jpg'))] * 50

    def seconds(read: Any) -> float:
        start = time.process_time()
        for path in paths:
            read(path)
        return time.process_time() - start

    from mmfas.datasets.image_files import read_image_bytes

    files = min(seconds(read_image_bytes) for _ in range(5))
    packed = min(seconds(lambda path: read_image_bytes(path, backend)) for _ in range(5))
    assert packed < 1.2 * files, f'{packed / files:.2f} times the time of files'


def test_workers_that_were_forked_read_at_the_same_time(faces: Path, tmp_path: Path) -> None:
    dataset = dataset_of(faces, packed_as('tar', faces, tmp_path))
    first = dataset[0]['inputs']['rgb']  # opens the file before the workers are there
    loader = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=2)
    loaded = [sample['inputs']['rgb'] for sample in loader]
    assert len(loaded) == NUM and torch.equal(loaded[0], first)


def test_refusals(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = packed_as('tar', faces, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"rgb image .*holds no 'rgb/9.jpg'"):
        data = dataset_of(faces, options)
        info = dict(data.get_data_info(0), modalities=('rgb',), img_paths=dict(rgb=str(faces / 'rgb' / '9.jpg')))
        data.pipeline(info)
    with pytest.raises(FileNotFoundError, match='does not exist; check `backend_args`'):
        PackedBackend(str(tmp_path / 'none.tar'))
    (tmp_path / 'odd.tar').write_bytes(b'odd' * 1000)
    with pytest.raises(ValueError, match='neither a zip nor a tar without compression'):
        PackedBackend(str(tmp_path / 'odd.tar'))
    cut = Path(options['file'])
    cut.write_bytes(cut.read_bytes()[:2048])
    with pytest.raises(ValueError, match='is the index of another file'):
        PackedBackend(str(cut))
    index_path(cut).write_text(index_path(cut).read_text().replace('"size":', '"size":2048,"was":'))
    with pytest.raises(ValueError, match='ends within a file; copy it again'):
        PackedBackend(str(cut), str(faces)).get(str(faces / 'ir' / '5.jpg'))
    (faces / 'gone.txt').write_text('rgb/77.jpg depth/0.png ir/0.jpg 1')
    assert pack(['gone.txt', '--data-root', str(faces), '--out', str(tmp_path / 'x.tar')]) == 2
    assert 'does not exist' in capsys.readouterr().err
    assert not (tmp_path / 'x.tar').exists()
