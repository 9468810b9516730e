"""Attacks on checkpoints."""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import torch
from harness import CANARY, Attack, must_be_refused
from mutators import cut

from mmfas.utils.checkpoint import load_into, load_weights

sys.path.append(str(Path(__file__).parents[1] / 'test_utils'))
from malicious import GetattrPayload, Payload  # noqa: E402


def _saved(content: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def checkpoints(rng: Random, folder: Path) -> Attack:
    """Cut files, foreign files, payloads in every place, weights that do not fit.

    Left out until every load verifies its file: flipped bits and holes (torch reads them as other weights),
    tensors made by calls of torch's own rebuilding functions, NaN, sparse and integer weights, bombs.
    """
    torch.manual_seed(rng.randrange(2**31))
    model = torch.nn.Linear(rng.randint(1, 9), rng.randint(1, 9))
    good = {'state_dict': model.state_dict(), 'meta': {'epoch': 3}}
    path = folder / 'weights.pth'
    kind = rng.choice(['cut', 'payload', 'payload', 'foreign', 'content', 'shape', 'names', 'sound'])
    wrong: Any = must_be_refused
    if kind == 'cut':
        data = cut(_saved(good), rng)
    elif kind == 'payload':
        data = _with_payload(rng, folder, good)
    elif kind == 'foreign':
        data = _foreign(rng)
    elif kind == 'content':
        data = _saved(
            rng.choice([[1], 'text', {}, {'state_dict': {}}, {'a': 1}, {'state_dict': {'w': 'text'}}, None])
        )
    elif kind == 'shape':
        data = _saved({'state_dict': {name: value[..., None] for name, value in model.state_dict().items()}})
    elif kind == 'names':
        data = _saved({'state_dict': {f'x.{name}': value for name, value in model.state_dict().items()}})
    else:
        data = _saved(good, _use_new_zipfile_serialization=rng.random() < 0.5)
        wrong = lambda weights: None if torch.equal(weights['bias'], model.bias) else 'other weights'  # noqa: E731
    path.write_bytes(data)
    read = (lambda: load_into(model, path)) if kind in ('shape', 'names') else (lambda: load_weights(path))
    return Attack(f'checkpoint, {kind}', read, wrong, may_refuse=kind != 'sound')


def _with_payload(rng: Random, folder: Path, good: dict[str, Any]) -> bytes:
    payload = rng.choice([Payload, GetattrPayload])(folder / CANARY)
    place = rng.choice(['state_dict', 'meta', 'optimizer', 'inside', 'alone', 'legacy', 'plain pickle'])
    if place == 'inside':
        return _saved({**good, 'state_dict': {**good['state_dict'], 'extra': payload}})
    if place == 'alone':
        return _saved(payload)
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
