"""Tensor files: a flipped bit is seen wherever it is, bombs are refused, odd files get one sentence."""

from __future__ import annotations

import io
import logging
import pickle
import random
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from malicious import Call

from mmfas.utils.checkpoint import CheckpointError, load_checkpoint, load_into, load_weights, write_checkpoint
from mmfas.utils.seals import seal, verify


def training_state() -> dict[str, Any]:
    """Return what a training run saves: weights, averaged weights, state of the optimizer, plain values."""
    generator = torch.Generator().manual_seed(0)
    weights = {f'layer{i}.weight': torch.randn(20, 30, generator=generator) for i in range(3)}
    momenta = {i: dict(exp_avg=torch.randn(20, 30, generator=generator)) for i in range(3)}
    return dict(
        state_dict=weights,
        ema_state_dict={f'module.{name}': 2 * value for name, value in weights.items()},
        optimizer=dict(state=momenta, param_groups=[dict(lr=0.1)]),
        meta=dict(epoch=3, seed=7),
    )


def flipped(content: bytes, position: int, bit: int) -> bytes:
    """Flip one bit."""
    changed = bytearray(content)
    changed[position] ^= 1 << bit
    return bytes(changed)


@pytest.fixture(scope='module')
def sealed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp('sealed') / 'epoch_3.pth'
    write_checkpoint(training_state(), path)
    return path.read_bytes()


def positions(content: bytes) -> list[int]:
    """Return 60 positions: the first and last bytes, around every kind of record of the archive, and anywhere."""
    marks = [
        content.find(mark) for mark in (b'PK\x01\x02', b'PK\x05\x06', b'PK\x06\x06', b'PK\x06\x07', b'mmfas sha')
    ]
    assert all(mark > 0 for mark in marks)
    near = [mark + offset for mark in marks for offset in (0, 5, 11, 19)]
    edges = [0, 3, 9, 30, len(content) - 1, len(content) - 64, len(content) - 65, len(content) - 79]
    anywhere = random.Random(0).sample(range(len(content)), 60 - len(near) - len(edges))
    return [*near, *edges, *anywhere]


@pytest.mark.parametrize('bit', [0, 7])
def test_every_flipped_bit_of_our_files_is_seen(sealed: bytes, tmp_path: Path, bit: int) -> None:
    path = tmp_path / 'x.pth'
    for position in positions(sealed):
        path.write_bytes(flipped(sealed, position, bit))
        with pytest.raises(CheckpointError, match=r"x.pth' \(\d+ bytes\) is not a complete checkpoint") as caught:
            load_checkpoint(path)
        assert '\n' not in str(caught.value), position


def test_every_byte_of_a_small_file_is_under_the_seal() -> None:
    stream = io.BytesIO()
    torch.save({'a': torch.ones(2)}, stream)
    content = seal(stream.getvalue())
    assert verify(io.BytesIO(content), 1 << 20).is_verified
    for position in range(len(content)):
        with pytest.raises(
            ValueError, match=r'its content is not the one|SHA-256 at its end cannot be read|not whole'
        ):
            verify(io.BytesIO(flipped(content, position, position % 8)), 1 << 20)


@pytest.mark.parametrize(('num_cut', 'num_added'), [(1, 0), (70, 0), (0, 1), (0, 9000)])
def test_a_seal_that_is_cut_or_has_something_behind_it_is_seen(
    sealed: bytes, tmp_path: Path, num_cut: int, num_added: int
) -> None:
    """Readers of zip archives accept all of these."""
    path = tmp_path / 'x.pth'
    path.write_bytes(sealed[: len(sealed) - num_cut] + b'x' * num_added)
    assert zipfile.ZipFile(path).testzip() is None
    with pytest.raises(CheckpointError, match='the SHA-256 at its end cannot be read'):
        load_checkpoint(path)


def test_seal_survives_copies_and_every_reader(sealed: bytes, tmp_path: Path) -> None:
    copy = tmp_path / 'other name.bin'
    copy.write_bytes(sealed)
    assert load_checkpoint(copy)['meta'] == dict(epoch=3, seed=7)
    for options in ({}, dict(mmap=True)):
        weights = torch.load(copy, weights_only=True, **options)['state_dict']
        assert torch.equal(weights['layer0.weight'], training_state()['state_dict']['layer0.weight'])
    with zipfile.ZipFile(copy) as archive:
        assert archive.testzip() is None
    with pytest.raises(ValueError, match='without a comment'):
        seal(sealed)


def test_content_of_other_files_is_under_their_own_checksums(tmp_path: Path) -> None:
    path = tmp_path / 'x.pth'
    torch.save(training_state(), path)
    content = path.read_bytes()
    assert load_checkpoint(path)['meta']['epoch'] == 3
    with zipfile.ZipFile(path) as archive:
        entries = [
            (entry.header_offset, entry.file_size) for entry in archive.infolist() if entry.file_size > 1000
        ]
    assert len(entries) >= 9
    for offset, size in entries:
        path.write_bytes(flipped(content, offset + 200 + size // 2, 3))
        with pytest.raises(CheckpointError, match="content of '.*' in it does not have the checksum"):
            load_checkpoint(path)


@pytest.mark.parametrize('kind', ['old format', 'no checksums'])
def test_files_without_checksums_are_read_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path, written = tmp_path / 'old.pth', torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(kind == 'old format')
    torch.save(training_state(), path, _use_new_zipfile_serialization=kind != 'old format')
    torch.serialization.set_crc32_options(written)
    said: list[tuple[str, int]] = []
    monkeypatch.setattr(
        'mmengine.logging.print_log', lambda text, logger=None, level=logging.INFO: said.append((text, level))
    )
    assert load_checkpoint(path)['meta']['epoch'] == 3
    (digest,) = {text.rpartition('sha256 ')[2].rstrip(')') for text, level in said if level == logging.INFO}
    (warning,) = (text for text, level in said if level == logging.WARNING)
    assert 'has no checksums' in warning and digest in warning and len(digest) == 64


def bomb(path: Path, megabytes: int) -> Path:
    """Write a checkpoint of zeros, packed: a thousandth of what it unpacks to."""
    stream = io.BytesIO()
    torch.save({'a': torch.zeros(megabytes << 18)}, stream)
    with zipfile.ZipFile(stream) as source, zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    return path


def test_bombs_are_refused_before_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bomb(tmp_path / 'bomb.pth', 8)
    assert path.stat().st_size < 1 << 20
    with monkeypatch.context() as patch:
        patch.setattr(torch, 'load', lambda *_, **__: pytest.fail('it was unpacked'))
        with pytest.raises(
            CheckpointError, match=r'would unpack [\d,]+ bytes to 8,38\d,\d{3}, .* MMFAS_MAX_UNPACKED_MB=9'
        ):
            load_checkpoint(path, max_unpacked=4 << 20)
        patch.setenv('MMFAS_MAX_UNPACKED_MB', '4')
        with pytest.raises(CheckpointError, match='at most 4,194,304 are allowed'):
            load_checkpoint(path)
        patch.setenv('MMFAS_MAX_UNPACKED_MB', 'much')
        with pytest.raises(CheckpointError, match="must be a whole number of MiB, such as 1024, got 'much'"):
            load_checkpoint(path)
    monkeypatch.setenv('MMFAS_MAX_UNPACKED_MB', '9')
    assert load_checkpoint(path)['a'].shape == (8 << 18,)


def test_entries_that_share_their_bytes_are_a_bomb(tmp_path: Path) -> None:
    path = tmp_path / 'x.pth'
    torch.save({'a': torch.zeros(1 << 18)}, path)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    end = content.rfind(b'PK\x05\x06')
    # The directory a thousand times: every entry of it is the same megabyte.
    directory = content[start : content.find(b'PK\x06\x06', start) if b'PK\x06\x06' in content else end]
    count = 6 * 1000
    last = struct.pack('<4sHHHHLLH', b'PK\x05\x06', 0, 0, count, count, len(directory) * 1000, start, 0)
    path.write_bytes(content[:start] + directory * 1000 + last)
    with pytest.raises(CheckpointError, match=r'would unpack|not whole'):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ('make', 'words'),
    [
        (lambda: torch.tensor([1.0, float('nan')]), 'holds NaN or infinite values in 1 of 2 tensors: weight'),
        (lambda: torch.tensor([1.0, -float('inf')]), 'holds NaN or infinite values in 1 of 2 tensors: weight'),
        (lambda: torch.tensor([1, 2], dtype=torch.int32), '1 of another type: weight int32 instead of float32'),
        (lambda: torch.tensor([1, 2j]), '1 of another type: weight complex64 instead of float32'),
        (lambda: torch.tensor([True, False]), '1 of another type: weight bool instead of float32'),
        (lambda: torch.ones(2).to_sparse(), r'1 of 2 tensors are not plain dense ones: weight \(sparse_coo\)'),
        (
            lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
            r'not plain dense ones: weight \(quantized\)',
        ),
        (lambda: torch.empty(2, device='meta'), r'not plain dense ones: weight \(without data\)'),
        (
            lambda: torch.ones(1).expand(1 << 40),
            r'not plain dense ones: weight \(expanded to \(1099511627776,\)\)',
        ),
    ],
)
def test_weights_that_are_no_weights_are_named(
    tmp_path: Path, make: Callable[[], torch.Tensor], words: str
) -> None:
    path = tmp_path / 'odd.pth'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.save(dict(state_dict={'weight': make(), 'bias': torch.ones(2)}), path)
        with pytest.raises(CheckpointError, match=rf"odd.pth'.*{words}"):
            load_into(torch.nn.LayerNorm(2), path)


def test_half_precision_fits(tmp_path: Path) -> None:
    model = torch.nn.LayerNorm(2)
    write_checkpoint(
        {'weight': torch.tensor([0.5, 2.0]).half(), 'bias': torch.zeros(2).bfloat16()}, tmp_path / 'h'
    )
    load_into(model, tmp_path / 'h')
    assert model.weight.tolist() == [0.5, 2.0]


def test_the_origin_of_weights_comes_from_one_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'x.pth'
    sha256 = write_checkpoint(dict(state_dict=torch.nn.LayerNorm(2).state_dict(), meta=dict(epoch=3)), path)
    loads, load = [], torch.load
    monkeypatch.setattr(torch, 'load', lambda *args, **options: loads.append(1) or load(*args, **options))
    origin = load_into(torch.nn.LayerNorm(2), path)
    assert (origin.path, origin.sha256, origin.meta, loads) == (str(path), sha256, {'epoch': 3}, [1])


@pytest.mark.parametrize(
    'odd',
    [
        Call(torch._utils._rebuild_tensor_v2, 1, 0, (2,), (1,), False, {}),
        Call(torch._utils._rebuild_tensor_v2, 1),
        Call(torch._utils._rebuild_parameter, 'a', 'b', 'c'),
        Call(torch.device, 'nowhere'),
        Call(bytearray, 1 << 60),
    ],
)
def test_pickles_of_odd_calls_get_one_sentence(tmp_path: Path, odd: Call) -> None:
    path = tmp_path / 'odd.pth'
    stream = io.BytesIO()
    torch.save({'a': torch.zeros(2)}, stream)
    with zipfile.ZipFile(stream) as source, zipfile.ZipFile(path, 'w') as target:
        for entry in source.infolist():
            is_pickle = entry.filename.endswith('data.pkl')
            target.writestr(entry.filename, pickle.dumps({'a': odd}, 2) if is_pickle else source.read(entry))
    with pytest.raises(CheckpointError, match=r"odd.pth'.* (is not a complete checkpoint|more memory)") as caught:
        load_weights(path)
    assert '\n' not in str(caught.value)


def test_permission_denied_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint({'a': torch.ones(1)}, tmp_path / 'x.pth')

    def refuse(*_: Any) -> None:
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr('mmfas.utils.checkpoint.open', refuse, raising=False)
    with pytest.raises(PermissionError, match="no permission to read checkpoint '.*x.pth'"):
        load_checkpoint(tmp_path / 'x.pth')
