"""Many files in one: the same samples as from the files, in any process, and clear refusals."""

from __future__ import annotations

import pickle
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mmfas.cli.data.pack import main as pack
from mmfas.cli.measure.loading import main as measure
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


@pytest.mark.parametrize('clock', ['wall', 'cpu'])
def test_both_ways_are_measured_side_by_side(clock: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure(['--packed', '--num', '4', '--rounds', '2', '--clock', clock]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f'{clock} time per sample')
    assert lines[1].split() == ['files', 'packed', 'packed/files'] and len(lines) == 4
    for files, packed, ratio in (map(float, line.split()) for line in lines[2:]):
        assert files > 0 and ratio == pytest.approx(packed / files, rel=0.05)


def test_a_clock_without_packed_files_would_change_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        measure(['--clock', 'cpu'])
    assert '--clock goes with --packed' in capsys.readouterr().err


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


@pytest.fixture
def served(faces: Path) -> Iterator[str]:
    """Address of a server of the files."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=str(faces)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


def with_petrel(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a client of a store in the place of `petrel_client`, whose buckets are folders."""

    class Client:
        def __init__(self, **_: Any) -> None:
            """Take what the engine gives."""

        def Get(self, address: str) -> bytes | None:  # noqa: N802  the name of the client
            assert address.startswith('s3://bucket/')
            path = faces / address.removeprefix('s3://bucket/')
            return path.read_bytes() if path.is_file() else None

    module = ModuleType('petrel_client')
    module.client = SimpleNamespace(Client=Client)  # type: ignore[attr-defined]  # a module takes any attribute
    monkeypatch.setitem(sys.modules, 'petrel_client', module)


def elsewhere(root: str, faces: Path, backend_args: dict[str, Any]) -> MultiModalFaceDataset:
    """Data set whose list is a file of this machine, and whose pictures are elsewhere."""
    steps = [dict(type='LoadMultiModalImages', backend_args=backend_args), dict(type='PackFASInputs')]
    return MultiModalFaceDataset(str(faces / 'train.txt'), root, pipeline=steps)


def is_same(found: MultiModalFaceDataset, faces: Path) -> bool:
    pairs = zip(dataset_of(faces), found, strict=True)
    return all(torch.equal(a['inputs'][m], b['inputs'][m]) for a, b in pairs for m in ('rgb', 'depth', 'ir'))


def without(faces: Path, found: MultiModalFaceDataset, root: str) -> None:
    """Ask for a picture that is not there."""
    info = dict(found.get_data_info(0), modalities=('rgb',), img_paths=dict(rgb=f'{root}/rgb/99.jpg'))
    found.pipeline(info)


def test_pictures_come_over_http(faces: Path, served: str) -> None:
    found = elsewhere(served, faces, dict(backend='http'))
    assert is_same(found, faces)
    with pytest.raises(ValueError, match=r'rgb image http://.*/rgb/99.jpg.*cannot be read: HTTP Error 404'):
        without(faces, found, served)


def test_pictures_come_from_petrel_or_s3(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    args = dict(backend='petrel')
    monkeypatch.setitem(sys.modules, 'petrel_client', None)
    with pytest.raises(ImportError, match='backend_args=.*petrel.*install petrel_client'):
        elsewhere('s3://bucket', faces, args)[0]
    with_petrel(faces, monkeypatch)
    for root in ('s3://bucket', 'petrel://bucket'):
        assert is_same(elsewhere(root, faces, args), faces)
    with pytest.raises(FileNotFoundError, match='image s3://bucket/rgb/99.jpg.*PetrelBackend has no such file'):
        without(faces, elsewhere('s3://bucket', faces, args), 's3://bucket')


def test_pictures_come_from_lmdb(faces: Path, tmp_path: Path) -> None:
    lmdb = pytest.importorskip('lmdb', reason='lmdb is missing: pip install lmdb')
    with lmdb.open(str(tmp_path / 'faces.lmdb'), map_size=2**24) as store, store.begin(write=True) as writing:
        for path in faces.rglob('*.*g'):
            writing.put(f'faces/{path.relative_to(faces)}'.encode(), path.read_bytes())
    found = elsewhere('faces', faces, dict(backend='lmdb', db_path=str(tmp_path / 'faces.lmdb')))
    assert is_same(found, faces)
    with pytest.raises(FileNotFoundError, match='LmdbBackend has no such file'):
        without(faces, found, 'faces')
    gone = elsewhere('faces', faces, dict(backend='lmdb', db_path=str(tmp_path / 'none')))
    with pytest.raises(ValueError, match='rgb image .*LmdbBackend cannot read it'):
        gone[0]


def test_a_backend_that_does_not_exist_is_refused_before_loading(faces: Path) -> None:
    for wrong in (dict(backend='htp'), dict(db_path='x')):
        with pytest.raises(ValueError, match='backend_args.backend must be one of .*http, lmdb, .*packed, petrel'):
            dataset_of(faces, wrong)
    with pytest.raises(ValueError, match='backend_args=.*is not accepted: LocalBackend'):
        dataset_of(faces, dict(backend='local', file='x'))[0]
