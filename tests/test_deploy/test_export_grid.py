"""Every registered neck x head can be traced with a batch of any size; one trace of a neck holds all heads."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from contracts.cases import SIZE, SLOTS, names_in
from export_models import require_same_scores, small_head, small_model
from torch import Tensor, nn

from mmfas.deploy.export import export_program, run_program
from mmfas.deploy.export_module import ExportModule
from mmfas.registry import FUSION_NECKS
from mmfas.structures import FusedFeatures

TRUNKS, NECKS, HEADS = (names_in(SLOTS[slot]) for slot in ('trunk', 'neck', 'head'))
#: Every neck, on the first trunk that has what it needs; the other trunks with the plainest neck.
TRACES = [*(('MultiStreamViT', neck) for neck in NECKS), ('MultiStreamCNN', 'ConcatNeck')]
#: How many pairs of neck and head there are; change it when a part is added.
NUM_PAIRS = 48

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.usefixtures('small_and_quiet')]


class EveryHead(nn.Module):
    """All heads side by side; the sum of their logits (B, 2) is wrong where one of them is."""

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, features: FusedFeatures) -> Tensor:
        return torch.stack([head(features) for head in self.heads]).sum(0)


def test_every_part_is_there() -> None:
    assert [set(names) for names in zip(*TRACES)] == [set(TRUNKS), set(NECKS)]
    assert len(NECKS) * len(HEADS) == NUM_PAIRS
    assert not FUSION_NECKS.get('ConcatNeck').needs_tokens


@pytest.mark.parametrize(('trunk', 'neck'), TRACES)
def test_neck_exports_with_every_head_for_every_batch_size(trunk: str, neck: str) -> None:
    model = small_model(trunk, neck)
    model.head = EveryHead([small_head(name, model) for name in HEADS])
    module = ExportModule(model)
    program = export_program(module, (SIZE, SIZE))
    require_same_scores(module, run_program(program, module.modalities))
