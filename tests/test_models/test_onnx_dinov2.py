"""ONNX files with the layout of DINOv2 in Hugging Face's names, with positions cut in two by the exporter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmfas.cli.weights import convert as weights_convert
from mmfas.registry import BACKBONES
from test_models.helpers import VIT
from test_models.test_converters import ReferenceTower, assert_equal_features, onnx_of, rename, to_timm

POSITIONS = 'backbone.embeddings.position_embeddings'

pytestmark = pytest.mark.engine


def to_hugging_face_dinov2(tower: ReferenceTower) -> dict[str, Tensor]:
    """Name a tower as the trunk of a model with a decoder."""
    table = {
        'conv1': 'backbone.embeddings.patch_embeddings.projection',
        'class_embedding': 'backbone.embeddings.cls_token', 'positional_embedding': POSITIONS,
        'transformer.resblocks': 'backbone.encoder.layer', 'ln_1': 'norm1', 'ln_2': 'norm2',
        'ln_post': 'backbone.layernorm', 'attn.out_proj': 'attention.output.dense', 'mlp.c_fc': 'mlp.fc1',
        'mlp.c_proj': 'mlp.fc2',
    }  # fmt: skip
    state = rename(tower.state_dict(), table)
    for name in [n for n in state if 'attn.in_proj_' in n]:
        stem, kind = name.split('attn.in_proj_')
        for part, value in zip(('query', 'key', 'value'), state.pop(name).chunk(3), strict=True):
            state[f'{stem}attention.attention.{part}.{kind}'] = value
    state['backbone.embeddings.cls_token'] = state['backbone.embeddings.cls_token'].view(1, 1, -1)
    state[POSITIONS] = state[POSITIONS][None]
    return {**state, 'decoder.bn1.weight': torch.ones(2)}


def cut_positions(path: Path) -> None:
    """Put the class token's and the patches' positions in place of all, under names that say nothing."""
    onnx = pytest.importorskip('onnx', reason="onnx is missing: pip install 'mmfas[deploy]'")
    model = onnx.load(str(path))
    graph = model.graph
    whole = next(tensor for tensor in graph.initializer if tensor.name == POSITIONS)
    values = onnx.numpy_helper.to_array(whole)
    graph.initializer.remove(whole)
    for kind, part in (('Concat', values[:, :1]), ('Reshape', values[:, 1:])):
        graph.initializer.append(onnx.numpy_helper.from_array(part.copy(), f'onnx::{kind}_9'))
        node = onnx.helper.make_node(
            kind, [f'onnx::{kind}_9', 'x'], [f'out_{kind}'], name=f'/backbone/embeddings/{kind}_1'
        )
        graph.node.append(node)
    onnx.save(model, str(path))


@torch.no_grad()
@pytest.mark.parametrize('source', ['onnx', 'onnx_dinov2'])
def test_trunk_under_a_decoder(source: str, tmp_path: Path) -> None:
    tower = ReferenceTower(clip=False).eval()
    path, out = tmp_path / 'model.onnx', tmp_path / 'trunk.pth'
    onnx_of(to_hugging_face_dinov2(tower), path, notes_scopes=False)
    cut_positions(path)
    assert weights_convert.main([source, str(path), str(out)]) == 0
    trunk = BACKBONES.build({**VIT, 'pretrained': str(out)})
    trunk.init_weights()
    assert_equal_features(trunk.train(False), tower)


def test_other_layouts_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / 'model.onnx', tmp_path / 'trunk.pth'
    state = {f'visual.{name}': value for name, value in to_timm(ReferenceTower(clip=False)).items()}
    onnx_of(state, path, notes_scopes=False)
    assert weights_convert.main(['onnx_dinov2', str(path), str(out)]) == 1
    assert 'not a vision transformer of dinov2, hf_dinov2: ' in capsys.readouterr().err
    assert not out.exists()
