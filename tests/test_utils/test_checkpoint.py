"""The strict loader: what it reads, what it refuses and how it says so."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from malicious import GetattrPayload, Payload, proves_itself, write_malicious
from torch import nn

from mmfas.utils.checkpoint import (
    CheckpointError,
    load_checkpoint,
    load_into,
    load_weights,
    plain,
    sha256_of,
)
from mmfas.utils.files import write_atomically


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / 'a.pth'
    state = {'module.trunk.weight': torch.arange(6.0).view(2, 3), 'module.head.bias': torch.ones(2)}
    torch.save(dict(state_dict=state, meta=dict(epoch=3)), path)
    return path


def test_reads_what_was_written(file: Path) -> None:
    checkpoint = load_checkpoint(file)
    assert checkpoint['meta'] == dict(epoch=3)
    assert torch.equal(checkpoint['state_dict']['module.trunk.weight'], torch.arange(6.0).view(2, 3))


def test_weights_with_and_without_prefix(file: Path) -> None:
    assert set(load_weights(file)) == {'trunk.weight', 'head.bias'}
    assert list(load_weights(file, 'trunk')) == ['weight']
    with pytest.raises(CheckpointError, match="no weights below 'neck.'; its names start with head, trunk"):
        load_weights(file, 'neck')


@pytest.mark.parametrize('kind', [Payload, GetattrPayload])
def test_malicious_file_is_refused_and_does_not_run(tmp_path: Path, kind: type[Payload]) -> None:
    proof = tmp_path / 'proof'
    path = write_malicious(tmp_path / 'bad.pth', proof, kind)
    if kind is Payload:
        assert proves_itself(path, proof)
    with pytest.raises(
        CheckpointError, match=r"bad.pth' was refused: it asks to load '\S+'.*nothing of it was run"
    ):
        load_checkpoint(path)
    assert not proof.exists()


def test_advice_to_unprotect_is_not_passed_on(tmp_path: Path) -> None:
    path = write_malicious(tmp_path / 'bad.pth', tmp_path / 'proof')
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert 'weights_only=False' not in str(caught.value)
    assert 'add_safe_globals' not in str(caught.value)


def test_nothing_is_on_the_allow_list() -> None:
    assert getattr not in torch.serialization.get_safe_globals()


def test_missing_file() -> None:
    with pytest.raises(FileNotFoundError, match="'no/such.pth' does not exist"):
        load_checkpoint('no/such.pth')


@pytest.mark.parametrize('keep', [0, 10, 0.5, 0.98])
def test_truncated_file(file: Path, keep: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(keep if keep > 1 else keep * len(content))])
    with pytest.raises(CheckpointError, match=r"a.pth' \(\d+ bytes\) is not a complete checkpoint"):
        load_checkpoint(file)


@pytest.mark.parametrize('content', [b'hello world', b'\x89PNG\r\n\x1a\n' + bytes(100), b'{"a": 1}'])
def test_other_formats(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'x.pth'
    path.write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r'of another format \((not readable as tensors|[A-Z].*[^.])\); copy'
    ):
        load_checkpoint(path)


def test_an_address_is_not_taken_for_a_path() -> None:
    with pytest.raises(
        CheckpointError, match="'https://x.org/a.pth' is an address, .* download it and give its path"
    ):
        load_weights('https://x.org/a.pth')


def test_not_a_dictionary(tmp_path: Path) -> None:
    torch.save([torch.ones(2)], tmp_path / 'x.pth')
    with pytest.raises(CheckpointError, match='holds a list, but a checkpoint is a dictionary'):
        load_checkpoint(tmp_path / 'x.pth')


def test_no_weights_inside(tmp_path: Path) -> None:
    torch.save(dict(epoch=3, lr=0.1), tmp_path / 'x.pth')
    with pytest.raises(CheckpointError, match='holds no weights.*got epoch, lr'):
        load_weights(tmp_path / 'x.pth')


def test_load_into_lists_what_does_not_fit(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    torch.save(dict(state_dict={**model.state_dict()}), tmp_path / 'good.pth')
    load_into(model, tmp_path / 'good.pth')
    state = {'0.weight': torch.zeros(3, 9), '0.bias': torch.zeros(3), 'extra': torch.zeros(1)}
    torch.save(state, tmp_path / 'bad.pth')
    message = r'2 missing: 1.weight, 1.bias; 1 unexpected: extra; 1 of another shape: 0.weight \(3, 9\) instead'
    with pytest.raises(CheckpointError, match=message):
        load_into(model, tmp_path / 'bad.pth')


def test_plain_values(tmp_path: Path) -> None:
    value = dict(a=np.float32(0.5), b=[np.arange(3), Path('x')], c=(np.bool_(True), None), d=torch.ones(1))
    result = plain(value)
    assert result['a'] == 0.5
    assert type(result['a']) is float
    assert result['b'] == [[0, 1, 2], 'x']
    assert result['c'] == (True, None)
    torch.save(result, tmp_path / 'x.pth')
    assert load_checkpoint(tmp_path / 'x.pth')['c'] == (True, None)
    with pytest.raises(TypeError, match='plain values only, but got a Linear'):
        plain([nn.Linear(1, 1)])


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / 'x').write_bytes(b'abc')
    assert sha256_of(tmp_path / 'x') == 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'x.pth'
    write_atomically(path, b'old')

    def fail(*_: object) -> None:
        raise OSError('disk full')

    monkeypatch.setattr('os.fsync', fail)
    with pytest.raises(OSError, match='disk full'):
        write_atomically(path, b'new')
    assert path.read_bytes() == b'old'
    assert [p.name for p in tmp_path.iterdir()] == ['x.pth']


def test_torchscript_archive_is_refused_with_a_way_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'clip.pt'
    torch.jit.trace(nn.Linear(2, 3).half(), torch.zeros(1, 2).half()).save(str(path))
    with pytest.raises(
        CheckpointError, match="clip.pt' is a TorchScript archive .* nothing of it was run"
    ) as caught:
        load_checkpoint(path)
    advice = re.search(r'`(torch\.save.*?)`', str(caught.value))
    assert advice is not None
    monkeypatch.chdir(tmp_path)
    eval(advice[1], dict(torch=torch, FILE=path))  # what the message tells the user to run
    assert {name: value.dtype for name, value in load_weights('weights.pth').items()} == {
        'weight': torch.float32,
        'bias': torch.float32,
    }


def test_the_reason_given_is_no_advice_of_torch(tmp_path: Path) -> None:
    path = tmp_path / 'text.pth'
    path.write_text('no weights at all\n' * 50)
    with pytest.raises(CheckpointError, match=r'of another format \(not readable as tensors\)'):
        load_checkpoint(path)
