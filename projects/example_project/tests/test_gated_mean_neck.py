"""The neck of the example project: small, found by its config, and right about absent modalities."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmfas.models.specs import StreamSpec
from mmfas.registry import FUSION_NECKS
from mmfas.structures import MODALITIES

PROJECT = Path(__file__).resolve().parents[1]
SPEC = StreamSpec(modalities=MODALITIES, embed_dims=4)


@pytest.fixture(autouse=True)
def _project(monkeypatch: pytest.MonkeyPatch) -> None:
    """Import the project as its config does."""
    monkeypatch.syspath_prepend(PROJECT.parents[1])
    import projects.example_project  # noqa: F401


def test_the_neck_takes_thirty_lines() -> None:
    tree = ast.parse((PROJECT / 'gated_mean_neck.py').read_text(encoding='utf-8'))
    (neck,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    assert neck.end_lineno - neck.lineno + 1 <= 30


def test_weights_are_a_softmax_over_the_present_modalities() -> None:
    neck = FUSION_NECKS.build({'type': 'GatedMeanNeck'}, spec=SPEC)
    features = torch.randn(3, 2, 4)
    present = torch.tensor([[True, True, True], [True, False, False]])
    out = neck.finish(features, {'present': present}, lambda streams: streams)
    assert out.fused.shape == (2, neck.out_dims)
    torch.testing.assert_close(out.confidence.sum(0), torch.ones(2))
    torch.testing.assert_close(out.fused[1], features[0, 1])
    gate = (features[:, 0] @ neck.gate.weight[0] + neck.gate.bias).softmax(0)
    torch.testing.assert_close(out.fused[0], (gate[:, None] * features[:, 0]).sum(0))


def test_an_absent_image_has_no_influence_at_all() -> None:
    neck = FUSION_NECKS.build(type_cfg := FUSION_NECKS.get('GatedMeanNeck').example_cfg(), spec=SPEC)
    assert type_cfg == {'type': 'GatedMeanNeck'}
    features = torch.randn(3, 1, 4)
    state = {'present': torch.tensor([[True, False, True]])}
    before = neck.finish(features, state, lambda streams: streams).fused
    features[1] = float('nan')
    assert torch.equal(neck.finish(features, state, lambda streams: streams).fused, before)


def test_its_config_passes_the_check_and_builds() -> None:
    from mmfas.config.check import check_config
    from mmfas.registry import MODELS

    (path,) = (PROJECT / 'configs').glob('*.py')
    cfg = Config.fromfile(path)
    assert check_config(cfg) == []
    assert type(MODELS.build(cfg.model).neck).__name__ == 'GatedMeanNeck'
