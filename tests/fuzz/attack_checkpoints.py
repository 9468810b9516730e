"""Attacks on checkpoints."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from harness import CANARY, Attack, must_be_refused
from mutators import cut, flip_bits, hole, splice

from mmfas.utils.checkpoint import load_checkpoint, load_into, load_weights, pack_checkpoint

sys.path.append(str(Path(__file__).parents[1] / 'test_utils'))
from malicious import Call, GetattrPayload, Payload  # noqa: E402


def _saved(content: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


#: Name -> what damages the bytes of a file.
DAMAGES = {'cut': cut, 'flipped bits': flip_bits, 'hole': hole, 'splice': splice}


def checkpoints(rng: Random, folder: Path) -> Attack:
    """Damaged and foreign files, payloads in every place, odd calls, bombs, weights that do not fit."""
    torch.manual_seed(rng.randrange(2**31))
    model = torch.nn.Linear(rng.randint(1, 9), rng.randint(1, 9))
    good = {'state_dict': model.state_dict(), 'meta': {'epoch': 3}}
    path = folder / 'weights.pth'
    kind = rng.choice(
        ['ours', 'ours', 'theirs', 'payload', 'payload', 'call', 'bomb', 'weights', 'other', 'sound']
    )
    read: Callable[[], Any] = lambda: load_weights(path)  # noqa: E731
    wrong: Any = must_be_refused
    what, data = kind, b''
    if kind in ('ours', 'theirs'):
        what, data, wrong = _damaged(good, rng, is_ours=kind == 'ours')
    elif kind == 'payload':
        data = _with_payload(rng, folder, good)
    elif kind == 'call':
        data = _with_pickle(good, {'state_dict': {'a': rng.choice(_odd_calls())}})
    elif kind == 'bomb':
        data, read = _bomb(rng), lambda: load_checkpoint(path, max_unpacked=1 << 20)
    elif kind == 'weights':
        what, data = _odd_weights(model.state_dict(), rng)
        read = lambda: load_into(model, path)  # noqa: E731
    elif kind == 'other':
        data = _saved(rng.choice(NO_WEIGHTS)) if rng.random() < 0.5 else _foreign(rng)
    else:
        data = pack_checkpoint(good) if rng.random() < 0.5 else _saved(good, **_form(rng))
        wrong = lambda weights: None if _same(weights, good['state_dict']) else 'other weights'  # noqa: E731
    path.write_bytes(data)
    return Attack(f'checkpoint, {kind}: {what}', read, wrong, may_refuse=kind != 'sound')


def _form(rng: Random) -> dict[str, Any]:
    return {'_use_new_zipfile_serialization': rng.random() < 0.5}


def _same(weights: dict[str, Any], expected: dict[str, Any]) -> bool:
    return weights.keys() == expected.keys() and all(
        torch.equal(weights[name], expected[name]) for name in expected
    )


def _damaged(
    good: dict[str, Any], rng: Random, *, is_ours: bool
) -> tuple[str, bytes, Callable[[Any], str | None]]:
    """Damage a file: under our seal no bit may change; under the checksums of torch no weight.

    A file of torch that is no archive has neither and is read with a warning, so it is only cut.
    """
    sound = pack_checkpoint(good) if is_ours else _saved(good)
    what = rng.choice(list(DAMAGES))
    data = DAMAGES[what](sound, rng)
    if what == 'cut' and rng.random() < 0.3:
        sound = _saved(good, _use_new_zipfile_serialization=False)
        data = cut(sound, rng)

    def wrong(weights: Any) -> str | None:
        if data == sound:  # the hole was zero before
            return None
        if is_ours:
            return must_be_refused(weights)
        return None if _same(weights, good['state_dict']) else 'other weights'

    return what, data, wrong


def _with_pickle(good: dict[str, Any], content: Any) -> bytes:
    """Replace the pickle in a checkpoint; the checksums of the new file agree."""
    return _repacked(_saved(good), pickle.dumps(content, 2))


def _repacked(archive: bytes, data: bytes | None = None, method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(out, 'w', method) as target:
        for entry in source.infolist():
            is_pickle = data is not None and entry.filename.endswith('data.pkl')
            target.writestr(entry.filename, data if is_pickle else source.read(entry))
    return out.getvalue()


def _odd_calls() -> list[Call]:
    """Calls of functions that torch's restricted unpickler lets through."""
    rebuild = torch._utils
    return [
        Call(rebuild._rebuild_tensor_v2, 1, 0, (2,), (1,), False, {}),
        Call(rebuild._rebuild_tensor_v2, 1),
        Call(rebuild._rebuild_tensor_v2, None, -1, (2**62, 2**62), (1, 1), False, {}),
        Call(rebuild._rebuild_parameter, 'a', 'b', 'c'),
        Call(rebuild._rebuild_sparse_tensor, torch.sparse_coo, (1, 2, 3)),
        Call(rebuild._rebuild_meta_tensor_no_storage, torch.float32, (2**40,), (1,), False),
        Call(rebuild._rebuild_qtensor, 1, 0, (2,), (1,), (), False, {}),
        Call(rebuild._rebuild_wrapper_subclass, torch.Tensor, torch.float32, (2,), (1,), 0, None, 'cpu', False),
        Call(torch.device, 'nowhere'),
        Call(torch.Size, 'abc'),
        Call(bytearray, 1 << 60),
        Call(bytearray, 'text', 'no-such-codec'),
        Call(OrderedDict, 5),
        Call(Counter, 5),
    ]


def _bomb(rng: Random) -> bytes:
    """Zeros, packed, or a directory that names the same bytes many times."""
    archive = _saved({'state_dict': {'weight': torch.zeros(2 << 18)}})
    if rng.random() < 0.5:
        return _repacked(archive, method=rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        start, number = file.start_dir, len(file.infolist())
    stops = [at for mark in (b'PK\x06\x06', b'PK\x05\x06') if (at := archive.find(mark, start)) >= 0]
    directory, times = archive[start : min(stops)], rng.choice([2, 100])
    last = struct.pack(
        '<4sHHHHLLH', b'PK\x05\x06', 0, 0, number * times, number * times, len(directory) * times, start, 0
    )
    return archive[:start] + directory * times + last


def _odd_weights(weights: dict[str, Any], rng: Random) -> tuple[str, bytes]:
    """Weights that no model can be filled with; one of the two is changed."""
    name = rng.choice(list(weights))
    value = weights[name]
    poked = value.clone()
    poked.view(-1)[rng.randrange(value.numel())] = rng.choice([float('nan'), float('inf'), -float('inf')])
    odd: dict[str, Any] = {
        'NaN or infinite': poked,
        'sparse': value.to_sparse(),
        'integers': value.to(rng.choice([torch.int64, torch.int8, torch.bool])),
        'complex': value.to(torch.complex64),
        'without data': value.to('meta'),
        'quantized': torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
        'expanded': torch.ones(1).expand(1 << 40),
        'of another shape': value[..., None],
        'a list': value.tolist(),
        'missing': None,
    }
    what = rng.choice([*odd, 'of another name', 'too many'])
    changed = dict(weights)
    if what == 'missing':
        del changed[name]
    elif what == 'of another name':
        changed[f'x.{name}'] = changed.pop(name)
    elif what == 'too many':
        changed['extra'] = value
    else:
        changed[name] = odd[what]
    return what, _saved({'state_dict': changed})


#: What a file may hold instead of weights.
NO_WEIGHTS: list[Any] = [[1], 'text', {}, {'state_dict': {}}, {'a': 1}, {'state_dict': {'w': 'text'}}, None]


def _with_payload(rng: Random, folder: Path, good: dict[str, Any]) -> bytes:
    payload = rng.choice([Payload, GetattrPayload])(folder / CANARY)
    place = rng.choice(['state_dict', 'meta', 'optimizer', 'inside', 'alone', 'legacy', 'plain pickle', 'sealed'])
    if place == 'inside':
        return _saved({**good, 'state_dict': {**good['state_dict'], 'extra': payload}})
    if place == 'alone':
        return _saved(payload)
    if place == 'sealed':
        return pack_checkpoint({**good, 'meta': payload})
    if place == 'legacy':
        return _saved({**good, 'meta': payload}, _use_new_zipfile_serialization=False)
    if place == 'plain pickle':
        return pickle.dumps({**good, 'meta': payload}, protocol=rng.choice([2, 4, 5]))
    return _saved({**good, place: payload})


def _foreign(rng: Random) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, 'w') as file:
        file.writestr('readme.txt', 'x')
    return rng.choice(
        [
            b'',
            b'\0' * 100,
            rng.randbytes(300),
            b'PK\x03\x04' + rng.randbytes(50),
            archive.getvalue(),
            b'\x80\x04.',
            b'{}',
        ]
    )
