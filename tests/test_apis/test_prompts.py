"""Prompts are encoded class by class with the weights that are given; what does not fit is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmfas.apis.prompts import encode_prompts
from mmfas.cli.weights.prompts import main
from mmfas.models.heads import TextAnchors, TextTower

PROMPTS = {0: ['a spoof', 'a mask'], 1: ['a face']}
SIZES = dict(context_length=16, width=8, heads=2, layers=1)
TINY = dict(embed_dim=4, **SIZES)


@pytest.fixture
def weights() -> dict[str, Tensor]:
    """Half-precision weights of a whole CLIP, as far as its text tower is concerned."""
    pytest.importorskip('open_clip', reason="open_clip is missing: pip install 'mmfas[clip]'")
    state = TextTower(['a'], arch=TINY).encoder.state_dict()
    return {'visual.proj': torch.zeros(1), 'vocab_size': torch.tensor(49408)} | {
        name: torch.randn(value.shape).half() for name, value in state.items()
    }


def test_anchors_are_the_encoded_prompts_spoof_first(weights: dict[str, Tensor]) -> None:
    anchors = encode_prompts(weights, {1: PROMPTS[1], 0: PROMPTS[0]}, arch=TINY)
    assert anchors['prompts'] == ['a spoof', 'a mask', 'a face'] and anchors['num_anchors'] == [2, 1]
    alone = [encode_prompts(weights, {0: [text]}, arch=TINY)['embeddings'][0] for text in anchors['prompts']]
    torch.testing.assert_close(anchors['embeddings'], torch.stack(alone))
    assert anchors['embeddings'].dtype == torch.float32 and not anchors['embeddings'].requires_grad
    assert torch.cdist(torch.stack(alone), torch.stack(alone)).topk(2, largest=False).values[:, 1].min() > 1e-3


def test_command_writes_a_file_that_a_head_reads(weights: dict[str, Tensor], tmp_path: Path) -> None:
    import open_clip

    arch = tmp_path / 'tiny-of-test-prompts.json'  # open_clip finds a model by the name of its file
    arch.write_text(json.dumps(dict(embed_dim=4, quick_gelu=True, vision_cfg=dict(layers=1), text_cfg=SIZES)))
    open_clip.add_model_config(arch)
    torch.save(weights, tmp_path / 'clip.pth')
    (tmp_path / 'prompts.yml').write_text('spoof: [a spoof, a mask]\nlive: [a face]')
    out = tmp_path / 'anchors.pth'
    options = ['--prompts', str(tmp_path / 'prompts.yml'), '--arch', arch.stem]
    assert main([str(tmp_path / 'clip.pth'), str(out), *options]) == 0
    anchors = TextAnchors(4, num_anchors=(2, 1), file=str(out))
    anchors.init_weights()
    torch.testing.assert_close(anchors(), encode_prompts(weights, PROMPTS, arch=TINY)['embeddings'])


def test_refusals(weights: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    weights['extra'] = weights.pop('text_projection')
    with pytest.raises(ValueError, match='1 missing: text_projection; 1 unexpected: extra'):
        encode_prompts(weights, PROMPTS, arch=TINY)
    monkeypatch.setitem(sys.modules, 'open_clip', None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mmfas\[clip\]'"):
        encode_prompts(weights, PROMPTS)
