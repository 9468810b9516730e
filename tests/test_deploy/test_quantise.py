"""Half precision and 8-bit integers: what is converted, what stays, and how near the scores are to the model's."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from contracts.cases import SIZE, model_cfg, perturb

from mmfas.deploy import export
from mmfas.deploy.export import export_onnx, export_program, to_onnx
from mmfas.deploy.export_module import ExportModule
from mmfas.deploy.onnx_file import OnnxHeader, pack
from mmfas.deploy.onnx_runtime import OnnxRuntime
from mmfas.deploy.parity import Parity, compare_scores, draw_pictures
from mmfas.deploy.quantise import MIN_WEIGHTS, to_fp16, to_int8
from mmfas.registry import MODELS
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures('small_and_quiet')]
for _package in ('onnx', 'onnxruntime', 'onnxscript'):
    pytest.importorskip(_package, reason="the extra deploy is missing: pip install 'mmfas[deploy]'")

WIDTH = 128


@pytest.fixture(scope='module')
def made() -> SimpleNamespace:
    """A model of one block whose matrices are large enough, and its graph."""
    cfg = model_cfg()
    cfg.merge_from_dict({'model.trunk.vit.arch': dict(num_layers=1, embed_dims=WIDTH, feedforward_channels=WIDTH)})
    module = ExportModule(perturb(MODELS.build(cfg.model)))
    return SimpleNamespace(module=module, graph=to_onnx(export_program(module, (SIZE, SIZE)), module.input_names))


def parity_of(made: SimpleNamespace, graph: Any, precision: str) -> Parity:
    content = pack(graph, OnnxHeader(MODALITIES, (SIZE, SIZE), precision, {}))
    pictures = draw_pictures(MODALITIES, 5, size=(SIZE, SIZE), seed=7)
    return compare_scores(OnnxRuntime(content, threads=1).run, made.module.model, pictures)


def weights(graph: Any) -> dict[str, tuple[int, tuple[int, ...]]]:
    return {value.name: (value.data_type, tuple(value.dims)) for value in graph.graph.initializer}


def test_large_matrices_become_integers_and_nothing_else(made: SimpleNamespace) -> None:
    from onnx import TensorProto

    before = made.graph.SerializeToString()
    graph = to_int8(made.graph, draw_pictures(MODALITIES, 9, size=(SIZE, SIZE)))
    integers = [shape for kind, shape in weights(graph).values() if kind == TensorProto.INT8 and len(shape) == 2]
    assert sorted(integers) == [(WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, 3 * WIDTH)]
    scales = [shape for name, (_, shape) in weights(graph).items() if 'scale' in name and len(shape) == 1]
    assert (3 * WIDTH,) in scales  # one for every channel
    assert made.graph.SerializeToString() == before
    parity = parity_of(made, graph, 'int8')
    assert 1e-6 < parity.max_score < 0.05


def test_seven_bits_are_used_where_eight_may_overflow(made: SimpleNamespace) -> None:
    from onnx import TensorProto, numpy_helper

    graph = to_int8(made.graph, draw_pictures(MODALITIES, 2, size=(SIZE, SIZE)))
    values = [numpy_helper.to_array(v) for v in graph.graph.initializer if v.data_type == TensorProto.INT8]
    assert max(int(np.abs(value).max()) for value in values) <= 64


def test_half_precision_keeps_inputs_outputs_and_the_last_layer(made: SimpleNamespace) -> None:
    from onnx import TensorProto

    graph = to_fp16(copy.deepcopy(made.graph))
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.graph.input, *graph.graph.output)}
    assert kinds['rgb'] == TensorProto.UINT8 and kinds['score'] == kinds['logits'] == TensorProto.FLOAT
    halves = [shape for kind, shape in weights(graph).values() if kind == TensorProto.FLOAT16]
    assert (WIDTH, 3 * WIDTH) in halves
    assert not [shape for shape in halves if 2 in shape]  # the classifier
    parity = parity_of(made, graph, 'fp16')
    assert 1e-7 < parity.max_score < 5e-3


def test_model_of_small_matrices_is_refused(made: SimpleNamespace) -> None:
    with pytest.raises(InputError, match='no layer of the model has 1000000 weights'):
        to_int8(made.graph, draw_pictures(MODALITIES, 1, size=(SIZE, SIZE)), min_weights=10**6)
    assert MIN_WEIGHTS == WIDTH**2


@pytest.mark.parametrize('lost', ['modality', 'all', 'row', 'mask'])
def test_calibration_without_pictures_is_refused(made: SimpleNamespace, lost: str) -> None:
    pictures = draw_pictures(MODALITIES, 0 if lost == 'all' else 2, size=(SIZE, SIZE))
    if lost == 'modality':
        del pictures['ir']
    if lost == 'row':
        pictures['ir'] = pictures['ir'][:1]
    present = np.ones((3, 3), dtype=bool) if lost == 'mask' else None
    with pytest.raises(InputError, match='the calibration needs as many pictures of each of'):
        to_int8(made.graph, pictures, present=present)


def test_precision_and_calibration_must_fit(made: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / 'model.onnx'
    with pytest.raises(InputError, match="precision must be one of .*'fp8' without them"):
        export_onnx(made.module.model, path, size=(SIZE, SIZE), precision='fp8')
    with pytest.raises(
        InputError, match="'int8' alone takes pictures for the calibration, but got 'int8' without"
    ):
        export_onnx(made.module.model, path, size=(SIZE, SIZE), precision='int8')
    with pytest.raises(InputError, match="but got 'fp32' with them"):
        export_onnx(made.module.model, path, size=(SIZE, SIZE), calibration={})
    assert not path.exists()


@pytest.mark.parametrize('precision', ['fp16', 'int8'])
def test_lower_precision_is_written_and_left_to_the_caller_to_judge(
    made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    # the graph is there already, and making it takes seconds
    monkeypatch.setattr(export, 'export_program', lambda *args: None)
    monkeypatch.setattr(export, 'to_onnx', lambda *args, **kwargs: copy.deepcopy(made.graph))
    path = tmp_path / 'model.onnx'
    calibration = draw_pictures(MODALITIES, 3, size=(SIZE, SIZE)) if precision == 'int8' else None
    size = (SIZE, SIZE)
    parity = export_onnx(made.module.model, path, size=size, precision=precision, calibration=calibration)
    assert parity.max_score > 1e-5
    assert OnnxRuntime(path, threads=1).header.precision == precision


def test_log_is_as_loud_after_as_before(made: SimpleNamespace) -> None:
    before = logging.root.manager.disable
    with pytest.raises(InputError, match='no layer'):
        to_int8(made.graph, draw_pictures(MODALITIES, 1, size=(SIZE, SIZE)), min_weights=10**6)
    assert logging.root.manager.disable == before
