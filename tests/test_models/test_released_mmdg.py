"""The converter of released MMDG weights: nothing is lost either way; the whole released model is reproduced."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_vectors import golden, released_names
from mmengine.config import Config
from torch import Tensor

from mmfas.cli.weights.convert import main
from mmfas.models import MultiModalFAS
from mmfas.models.weights.mmdg import mmfas_to_released_mmdg, released_mmdg_to_mmfas
from mmfas.registry import MODELS
from mmfas.structures import MODALITIES
from mmfas.utils.checkpoint import load_checkpoint, load_into

REPO = Path(__file__).parents[2]
PRESET = REPO / 'configs' / '_base_' / 'models' / 'mmdg_vit_base_p16_released.py'
NAMES = released_names('released_mmdg')
SHAPES = {name: tuple(int(n) for n in shape.split('x')) for name, shape in NAMES}

pytestmark = pytest.mark.engine


def released_weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """Draw a tensor of the released model, as the golden vectors prescribe."""
    scale = np.float32(0.3 if name.startswith('adapter_') else 0.05)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    value = rng.standard_normal(shape, dtype=np.float32) * scale
    return torch.from_numpy(value + 1 if name.endswith('weight') and len(shape) == 1 else value)


def tiny_shapes(width: int = 8, blocks: int = 2) -> dict[str, tuple[int, ...]]:
    """Shrink the released model: fewer blocks and another width, the same names."""
    sizes = {768: width, 2304: 3 * width, 3072: 4 * width, 197: 5}
    shapes = {}
    for name, shape in SHAPES.items():
        head, _, rest = name.partition('.')
        number = rest.partition('.')[0]
        if head.startswith('adapter_') and int(number) >= blocks:
            continue
        if head == 'ViT_Encoder':
            if blocks < int(number) <= 12:
                continue
            name = name.replace('.13.', f'.{blocks + 1}.')
        shapes[name] = tuple(sizes.get(n, n) for n in shape)
    return shapes


def tiny_state() -> dict[str, Tensor]:
    return {name: released_weight(name, shape) for name, shape in tiny_shapes().items()}


def tiny_model() -> MultiModalFAS:
    cfg = Config.fromfile(PRESET).model
    cfg.trunk.vit.arch = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=32)
    cfg.trunk.vit.img_size, cfg.trunk.frozen = 32, ()
    cfg.trunk.pretrained = None
    return MODELS.build(cfg)


def test_released_mmdg_weights_survive_both_ways() -> None:
    released = tiny_state()
    ours = released_mmdg_to_mmfas(released)
    back = mmfas_to_released_mmdg(ours)
    assert set(back) == set(released)
    assert all(torch.equal(value, released[name]) for name, value in back.items())
    again = released_mmdg_to_mmfas(back)
    assert list(again) == list(ours) and all(torch.equal(value, ours[name]) for name, value in again.items())
    numbers = sum(value.numel() for value in released.values())
    own = {name: value for name, value in ours.items() if name not in ('head.prototypes', 'head.seen')}
    assert sum(value.numel() for value in own.values()) == numbers
    tiny_model().load_state_dict(ours)


def test_golden_mmdg_names_are_all_converted() -> None:
    meta = {name: torch.empty(shape, device='meta') for name, shape in SHAPES.items()}
    assert len(meta) == 832
    back = mmfas_to_released_mmdg(released_mmdg_to_mmfas(meta))
    assert {name: tuple(value.shape) for name, value in back.items()} == SHAPES


def test_wrong_files_are_refused() -> None:
    released = tiny_state()
    ours = released_mmdg_to_mmfas(released)
    with pytest.raises(ValueError, match=r'not a state dict of released MMDG: .* is the direction right'):
        released_mmdg_to_mmfas(ours)
    with pytest.raises(ValueError, match='not a state dict of MMDG of mmfas'):
        mmfas_to_released_mmdg(released)
    with pytest.raises(ValueError, match='MMDG: 1 unexpected: extra; '):
        released_mmdg_to_mmfas({**released, 'extra': torch.zeros(1)})
    del released['fc_all.0.bias']
    with pytest.raises(ValueError, match='1 missing: fc_all.0.bias; '):
        released_mmdg_to_mmfas(released)


def test_command_writes_both_directions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    released = tiny_state()
    torch.save({'state_dict': {f'module.{name}': value for name, value in released.items()}}, tmp_path / 'in.pth')
    assert main(['released_mmdg', str(tmp_path / 'in.pth'), str(tmp_path / 'ours.pth')]) == 0
    assert 'tensors' in capsys.readouterr().out
    model = tiny_model()
    load_into(model, tmp_path / 'ours.pth')
    assert torch.equal(model.trunk.embedding.cls_token[2:], released['class_token3'])
    assert main(['released_mmdg', str(tmp_path / 'ours.pth'), str(tmp_path / 'back.pth'), '--reverse']) == 0
    back = load_checkpoint(tmp_path / 'back.pth')
    assert set(back) == set(released) and all(torch.equal(back[name], released[name]) for name in back)
    assert main(['released_mmdg', str(tmp_path / 'back.pth'), str(tmp_path / 'no.pth'), '--reverse']) == 1
    assert 'is the direction right?' in capsys.readouterr().err


@pytest.fixture(scope='module')
def released_mmdg() -> MultiModalFAS:
    """The whole released model, from the released preset and converted weights."""
    cfg = Config.fromfile(PRESET).model
    cfg.trunk.pretrained = None
    cfg.neck.uncertainty = dict(mode='closed_form')  # as the golden vectors; the release draws samples
    model = MODELS.build(cfg)
    state = {name: released_weight(name, shape) for name, shape in SHAPES.items()}
    model.load_state_dict(released_mmdg_to_mmfas(state))
    return model.eval()


@pytest.fixture(scope='module')
def golden_inputs() -> dict[str, Tensor]:
    rng = np.random.default_rng(12345)
    return {m: torch.from_numpy(rng.standard_normal((2, 3, 224, 224), dtype=np.float32)) for m in MODALITIES}


@torch.no_grad()
def run(model: MultiModalFAS, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    features = model.extract_feat(inputs)
    named = dict(zip(('feat_rgb', 'feat_depth', 'feat_ir'), features.per_modality, strict=True))
    return dict(logits=model.head(features), uc_cls_mean=features.confidence.mean(1).double(), **named)


def test_golden_full_mmdg(released_mmdg: MultiModalFAS, golden_inputs: dict[str, Tensor]) -> None:
    published = golden('full_mmdg')
    found = run(released_mmdg, golden_inputs)
    assert set(found) == set(published)
    for name, value in published.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-4, msg=name)


@pytest.mark.parametrize('part', ['uncertainty', 'convolve_cls', 'edges'])
def test_golden_full_mmdg_notices_each_part(
    part: str, released_mmdg: MultiModalFAS, golden_inputs: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    neck: Any = released_mmdg.neck
    if part == 'uncertainty':
        monkeypatch.setattr(neck.uncertainty, 'rate', 0.0)  # U = 1 everywhere
    for adapter in neck.adapters:
        if part == 'convolve_cls':
            monkeypatch.setattr(adapter, 'convolve_prefix', False)
        elif part == 'edges':  # the first two adapters of rgb change places
            monkeypatch.setitem(adapter._buffers, '_partner', adapter._partner[[1, 0, 2, 3]])
    moved = (run(released_mmdg, golden_inputs)['logits'] - golden('full_mmdg')['logits']).abs().max().item()
    assert moved > 100 * 1e-4
    if part == 'uncertainty':
        assert math.isclose(moved, 0.21, abs_tol=0.01)
