"""Every registered neck x head exports with a batch of any size, to a program of torch.export and to ONNX.

A head sees of a neck what is in `FusedFeatures`, and nothing else. So every neck is traced with one of the heads,
and all heads are traced once behind features of every form (fields, kinds, widths) that some neck yields: together
these are all pairs. Every graph is traced once and serves both formats, since tracing takes most of the time.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch
from contracts.cases import SIZE, SLOTS, names_in
from export_models import features_of, features_only, form_of, require_same_scores, small_head, small_model

from mmfas.deploy.export import export_program, run_program, to_onnx
from mmfas.deploy.export_module import ExportModule
from mmfas.deploy.onnx_file import OnnxHeader, pack
from mmfas.deploy.onnx_runtime import OnnxRuntime
from mmfas.models import MultiModalFAS
from mmfas.registry import FUSION_NECKS

TRUNKS, NECKS, HEADS = (names_in(SLOTS[slot]) for slot in ('trunk', 'neck', 'head'))
#: Every neck behind the trunk that has what it needs, each with another head; the other trunk with the plainest.
MODELS = [
    *(('MultiStreamViT', neck, HEADS[number % len(HEADS)]) for number, neck in enumerate(NECKS)),
    ('MultiStreamCNN', 'ConcatNeck', HEADS[0]),
]
#: How many pairs of neck and head there are; change it when a part is added.
NUM_PAIRS = 48

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.usefixtures('small_and_quiet')]
needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ('onnxruntime', 'onnxscript')),
    reason="the extra deploy is missing: pip install 'mmfas[deploy]'",
)


#: One neck of every form of features; the test below says which ones they must be.
LEADERS = ('AMANeck', 'ConcatNeck', 'IsolatedGatingMoENeck')


@lru_cache(maxsize=1)
def forms() -> list[list[str]]:
    """Necks whose features have one form, by form."""
    found: dict[tuple[object, ...], list[str]] = {}
    for neck in NECKS:
        found.setdefault(form_of(features_of(small_model(neck=neck))), []).append(neck)
    return list(found.values())


@lru_cache
def traced(trunk: str, neck: str, head: str) -> tuple[ExportModule, Any]:
    """Trace a model; without a head, all heads behind features like those of the neck."""
    model: MultiModalFAS = small_model(trunk, neck)
    if head:
        model.head = small_head(head, model.neck.feature_spec)
    else:
        model = features_only(model, HEADS)
    module = ExportModule(model)
    return module, export_program(module, (SIZE, SIZE))


def test_every_pair_is_there() -> None:
    assert [set(names) for names in zip(*MODELS)] == [set(TRUNKS), set(NECKS), set(HEADS)]
    assert len(NECKS) * len(HEADS) == NUM_PAIRS
    assert [necks[0] for necks in forms()] == list(LEADERS)
    assert not FUSION_NECKS.get('ConcatNeck').needs_tokens


def test_no_head_scores_anything_but_the_features() -> None:
    model = small_model(neck='UAdapterNeck')
    features = features_of(model)
    assert features.confidence is not None and features.maps
    for name in HEADS:
        head = small_head(name, model.neck.feature_spec).eval()
        assert torch.equal(head(features), head(replace(features, confidence=None, maps={}))), name


def test_heads_behind_necks_of_one_form_are_one_graph() -> None:
    for necks in forms():
        specs = [small_model(neck=neck).neck.feature_spec for neck in necks]
        for head in HEADS:
            shapes = [{k: v.shape for k, v in small_head(head, spec).state_dict().items()} for spec in specs]
            assert all(found == shapes[0] for found in shapes), (head, necks)


CASES = [*MODELS, *(('MultiStreamViT', neck, '') for neck in LEADERS)]


@pytest.mark.parametrize('form', ['program', pytest.param('onnx', marks=needs_onnx)])
@pytest.mark.parametrize(('trunk', 'neck', 'head'), CASES, ids=['-'.join(filter(None, case)) for case in CASES])
def test_exports_for_every_batch_size(trunk: str, neck: str, head: str, form: str) -> None:
    module, program = traced(trunk, neck, head)
    if form == 'program':
        require_same_scores(module, run_program(program, module.modalities))
        return
    content = pack(to_onnx(program, module.input_names), OnnxHeader(module.modalities, (SIZE, SIZE), 'fp32', {}))
    require_same_scores(module, OnnxRuntime(content, threads=1).run)
