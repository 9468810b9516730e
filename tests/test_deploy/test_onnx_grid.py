"""Every registered neck and every head runs in ONNX, with a batch of any size."""

from __future__ import annotations

import pytest
from contracts.cases import SIZE, SLOTS, names_in
from export_models import require_same_scores, small_head, small_model

from mmfas.deploy.export import export_program, to_onnx
from mmfas.deploy.export_module import ExportModule
from mmfas.deploy.onnx_file import OnnxHeader, pack
from mmfas.deploy.onnx_runtime import OnnxRuntime

NECKS, HEADS = (names_in(SLOTS[slot]) for slot in ('neck', 'head'))
#: Necks beyond the heads have the first head, which is the smallest: translating a graph takes seconds.
PAIRS = [(neck, HEADS[number if number < len(HEADS) else 0]) for number, neck in enumerate(NECKS)]
#: How many there are; change it when a part is added.
NUM_PAIRS = 8

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.usefixtures('small_and_quiet')]
for _package in ('onnxruntime', 'onnxscript'):
    pytest.importorskip(_package, reason="the extra deploy is missing: pip install 'mmfas[deploy]'")


def test_every_part_is_there() -> None:
    assert len(PAIRS) == NUM_PAIRS
    assert [set(names) for names in zip(*PAIRS)] == [set(NECKS), set(HEADS)]


@pytest.mark.parametrize(('neck', 'head'), PAIRS)
def test_parts_run_in_onnx_for_every_batch_size(neck: str, head: str) -> None:
    model = small_model(neck=neck)
    model.head = small_head(head, model)
    module = ExportModule(model)
    graph = to_onnx(export_program(module, (SIZE, SIZE)), module.input_names)
    content = pack(graph, OnnxHeader(module.modalities, (SIZE, SIZE), 'fp32', {}))
    require_same_scores(module, OnnxRuntime(content, threads=1).run)
