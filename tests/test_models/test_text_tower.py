"""The text tower: equal to open_clip's, trained only when asked, never run for a score."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from mmfas.models import TextAlignHead
from mmfas.models.heads import TextAnchors, TextTower, read_prompts
from mmfas.structures import MODALITIES
from test_models.helpers import build, images, samples

TINY = dict(embed_dim=16, context_length=20, width=8, heads=2, layers=2)
TEXTS = [text for own in read_prompts().values() for text in own]
FEW = dict(num_ffn=2, num_constant=1)
HEAD = dict(
    type='TextAlignHead', anchors=dict(dims=16), logit_scale=5.0, classifier=FEW,
    u_dsa=dict(num_levels=1, num_heads=2, experts=FEW),
)  # fmt: skip
TRAINED = {**HEAD, 'anchors': dict(dims=16, train_text=True, text_tower=dict(arch=TINY))}
SPEC = dict(modalities=MODALITIES, fused_dims=16)


@pytest.fixture
def open_clip() -> ModuleType:
    return pytest.importorskip('open_clip', reason="open_clip is missing: pip install 'mmfas[clip]'")


def clip_of(open_clip: ModuleType) -> nn.Module:
    """A whole CLIP of open_clip with a text tower like TINY and large random weights."""
    vision = dict(image_size=8, patch_size=8, width=8, layers=1, head_width=4)
    text = {name: value for name, value in TINY.items() if name != 'embed_dim'}
    model = open_clip.CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text, quick_gelu=True).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


@torch.no_grad()
def test_features_are_those_of_open_clip(open_clip: ModuleType) -> None:
    model = clip_of(open_clip)
    tower = TextTower(TEXTS, arch=TINY)
    tower.load_clip({**model.state_dict(), 'vocab_size': torch.tensor(49408)})
    tokens = open_clip.SimpleTokenizer(context_length=20)(TEXTS)
    torch.testing.assert_close(tower(), model.encode_text(tokens), rtol=0, atol=1e-6)
    assert tower().shape == (48, 16) and tower().std(0).min() > 1e-3, 'prompts differ'


def test_a_step_trains_the_tower_and_equals_the_cached_one(open_clip: ModuleType, tmp_path: Path) -> None:
    model = clip_of(open_clip)
    torch.save(model.state_dict(), tmp_path / 'clip.pth')
    tower = dict(arch=TINY, pretrained=str(tmp_path / 'clip.pth'))
    naive = build(head={**HEAD, 'anchors': dict(dims=16, train_text=True, text_tower=tower)}).train()
    with torch.no_grad():
        embeddings = naive.head.anchors.tower()
    torch.save(dict(embeddings=embeddings, num_anchors=[24, 24]), tmp_path / 'anchors.pth')
    cached = build(head={**HEAD, 'anchors': dict(dims=16, file=str(tmp_path / 'anchors.pth'))}).train()
    shared = {name: value for name, value in naive.state_dict().items() if 'anchors.tower' not in name}
    cached.load_state_dict(shared, strict=False)
    logs = [sum(each.loss(images(4), samples(4)).values()) for each in _same_draws(naive, cached)]
    torch.testing.assert_close(logs[0], logs[1])
    logs[0].backward()
    logs[1].backward()
    assert all(parameter.grad is not None for parameter in naive.parameters())
    assert naive.head.anchors.tower.encoder.text_projection.grad.abs().max() > 0
    for name, parameter in cached.named_parameters():
        torch.testing.assert_close(parameter.grad, naive.get_parameter(name).grad, msg=name)


def _same_draws(*models: Any) -> Any:
    """Yield models with the same state of the generator for each."""
    for model in models:
        torch.manual_seed(3)
        yield model


@torch.no_grad()
def test_no_score_runs_the_tower(open_clip: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(head=TRAINED).eval()
    calls = []
    monkeypatch.setattr(TextTower, 'forward', lambda self: calls.append(1) or torch.randn(48, 16))
    model(images(2), samples(2), mode='predict')
    assert not calls
    model.train().loss(images(2), samples(2))
    assert len(calls) == 1, 'one encoding serves all losses of a step'


def test_without_train_text_open_clip_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'open_clip', None)
    model = build(head=HEAD).train()
    assert model.head.anchors.tower is None and not model.head.anchors.embeddings.requires_grad
    assert sum(model.loss(images(2), samples(2)).values()) > 0
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mmfas\[clip\]'"):
        build(head=TRAINED)


def test_refusals(open_clip: ModuleType) -> None:
    tower = dict(arch=TINY)
    with pytest.raises(ValueError, match='with train_text=True the text tower makes the anchors'):
        TextAnchors(16, text_tower=tower)
    with pytest.raises(ValueError, match="but got train_text=True, file='a.pth'"):
        TextAnchors(16, train_text=True, file='a.pth')
    with pytest.raises(
        ValueError, match=r'makes \(24, 24\) anchors .* of width 16, but the config says .* width 12'
    ):
        TextAnchors(12, train_text=True, text_tower=tower)
    with pytest.raises(ValueError, match='train_text=True trains the text tower by align and text'):
        TextAlignHead(TRAINED['anchors'], align_weight=0.0, text_weight=0.0, spec=SPEC)
    with pytest.raises(ValueError, match="open_clip has no model 'ViT-B-17'"):
        TextTower(TEXTS, arch='ViT-B-17')
    with pytest.raises(
        ValueError, match=r"'roberta-ViT-B-32' is not of the kind of CLIP \(it has \['hf_model_name"
    ):
        TextTower(TEXTS, arch='roberta-ViT-B-32')
    with pytest.raises(ValueError, match=r"a text tower of your own needs embed_dim, but got \['width'\]"):
        TextTower(TEXTS, arch=dict(width=8))
    with pytest.raises(ValueError, match=r'text tower of .*: 1 of another shape: ln_final.bias \(3,\) instead'):
        weights = clip_of(open_clip).state_dict()
        TextTower(TEXTS, arch=TINY).load_clip({**weights, 'ln_final.bias': torch.zeros(3)})
