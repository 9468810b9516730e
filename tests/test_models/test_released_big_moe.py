"""The converter of released BIG-MoE weights: nothing is lost; the whole released model is reproduced."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_vectors import difference, golden, released_names
from mmengine.config import Config
from torch import Tensor

from mmfas.cli.weights.convert import main
from mmfas.models import MultiModalFAS
from mmfas.models.weights.big_moe import mmfas_to_released_big_moe, released_big_moe_to_mmfas
from mmfas.registry import MODELS
from mmfas.structures import MODALITIES
from mmfas.utils.checkpoint import load_checkpoint, load_into

REPO = Path(__file__).parents[2]
PRESET = REPO / 'configs' / '_base_' / 'models' / 'big_moe_vit_base_p16_released.py'
NAMES = released_names('released_big_moe')
SHAPES = {name: tuple(int(n) for n in shape.split('x')) for name, shape in NAMES}

pytestmark = pytest.mark.engine


def released_weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """Draw a tensor of the released model, as the golden vectors prescribe."""
    scale = np.float32(0.2 if name.startswith(('adaptors.', 'VP_learner.')) else 0.05)
    value = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32) * scale
    is_norm = (name.endswith('weight') and len(shape) == 1) or name.endswith('gamma')
    return torch.from_numpy(value + 1 if is_norm else value)


def tiny_state(width: int = 8, blocks: int = 2) -> dict[str, Tensor]:
    """Shrink the released model to 2 blocks, another width and 32 pixels; the names are the same."""
    sizes = {768: width, 2304: 3 * width, 3072: 4 * width, 589: 13, 224: 32, 1600: 16, 40: 4}
    kept = {
        name: tuple(sizes.get(n, n) for n in shape)
        for name, shape in SHAPES.items()
        if not name.startswith(('ViT_Encoder.', 'adaptors.')) or int(name.split('.')[1]) < blocks
    }
    return {name: released_weight(name, shape) for name, shape in kept.items()}


def tiny_model() -> MultiModalFAS:
    cfg = Config.fromfile(PRESET).model
    cfg.trunk.vit.arch = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=32)
    cfg.trunk.vit.img_size, cfg.trunk.frozen, cfg.trunk.pretrained = 32, (), None
    cfg.neck.experts.num_experts = 16
    return MODELS.build(cfg)


def test_released_big_moe_weights_survive_both_ways() -> None:
    released = tiny_state()
    ours = released_big_moe_to_mmfas(released)
    back = mmfas_to_released_big_moe(ours)
    assert set(back) == set(released)
    assert all(torch.equal(value, released[name]) for name, value in back.items())
    again = released_big_moe_to_mmfas(back)
    assert all(torch.equal(value, ours[name]) for name, value in again.items())
    tiny_model().load_state_dict(ours)


def test_everything_with_a_modality_axis_is_permuted() -> None:
    released = tiny_state()
    ours = released_big_moe_to_mmfas(released)
    positions = released['pos_embedding'][0]
    for modality, start in (('rgb', 1), ('ir', 5), ('depth', 9)):
        own = ours['trunk.embedding.pos_embed'][MODALITIES.index(modality)]
        assert torch.equal(own, torch.cat([positions[:1], positions[start : start + 4]]))
    codes = released['VP_learner.modality_prompt']
    for theirs, bits in enumerate([(), (0,), (2,), (0, 2), (1,), (0, 1), (1, 2), (0, 1, 2)]):
        assert torch.equal(ours['neck.generator.by_code'][sum(2**b for b in bits)], codes[theirs])
    mix, theirs = ours['neck.generator.mix.weight'][0], released['VP_learner.conv_d.conv.weight']
    assert torch.equal(mix[:, 3:6], theirs[:, 6:]) and torch.equal(mix[:, 6:], theirs[:, 3:6])
    for name, own in (
        ('G_down.weight', 'gate_features.weight'),
        ('adaptor.norm.gamma', 'experts.norm.weight'),
        ('adaptor.weight_up_embed.weight', 'experts.table.up'),
        ('adaptor.weight_down_embed.weight', 'experts.table.down'),
    ):
        mine, other = ours[f'neck.adapters.1.{own}'], released[f'adaptors.1.{name}']
        assert torch.equal(mine[..., :8], other[..., :8]) and torch.equal(mine[..., 8:16], other[..., 16:])


def test_golden_big_moe_names_are_all_converted() -> None:
    meta = {name: torch.empty(shape, device='meta') for name, shape in SHAPES.items()}
    back = mmfas_to_released_big_moe(released_big_moe_to_mmfas(meta))
    assert {name: tuple(value.shape) for name, value in back.items()} == SHAPES


def test_wrong_files_are_refused() -> None:
    released = tiny_state()
    with pytest.raises(ValueError, match=r'not a state dict of released BIG-MoE: .* is the direction right'):
        released_big_moe_to_mmfas(released_big_moe_to_mmfas(released))
    with pytest.raises(ValueError, match='not a state dict of BIG-MoE of mmfas, as released'):
        mmfas_to_released_big_moe(released)
    del released['fc.0.bias']
    with pytest.raises(ValueError, match='1 missing: fc.0.bias; '):
        released_big_moe_to_mmfas(released)


def test_command_writes_both_directions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    released = tiny_state()
    torch.save({'state_dict': {f'module.{name}': value for name, value in released.items()}}, tmp_path / 'in.pth')
    assert main(['released_big_moe', str(tmp_path / 'in.pth'), str(tmp_path / 'ours.pth')]) == 0
    assert 'tensors' in capsys.readouterr().out
    model = tiny_model()
    load_into(model, tmp_path / 'ours.pth')
    assert torch.equal(model.neck.generator.shared, released['VP_learner.P_s'])
    assert main(['released_big_moe', str(tmp_path / 'ours.pth'), str(tmp_path / 'back.pth'), '--reverse']) == 0
    back = load_checkpoint(tmp_path / 'back.pth')
    assert set(back) == set(released) and all(torch.equal(back[name], released[name]) for name in back)
    assert main(['released_big_moe', str(tmp_path / 'back.pth'), str(tmp_path / 'no.pth'), '--reverse']) == 1
    assert 'is the direction right?' in capsys.readouterr().err


@pytest.fixture(scope='module')
def released_big_moe() -> MultiModalFAS:
    """The whole released model, from the released preset and converted weights."""
    cfg = Config.fromfile(PRESET).model
    cfg.trunk.pretrained = None
    model = MODELS.build(cfg)
    state = {name: released_weight(name, shape) for name, shape in SHAPES.items()}
    model.load_state_dict(released_big_moe_to_mmfas(state))
    return model.eval()


@pytest.fixture(scope='module')
def golden_inputs() -> dict[str, Tensor]:
    rng = np.random.default_rng(12345)
    return {m: torch.from_numpy(rng.standard_normal((2, 3, 224, 224), dtype=np.float32)) for m in MODALITIES}


@torch.no_grad()
def run(model: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return logits, patch tokens in the released order, and prompt."""
    caught: list[Tensor] = []
    finish: Callable = model.neck.finish

    def catch(streams: Tensor, *args: Any) -> Any:
        caught.append(streams)
        return finish(streams, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.neck, 'finish', catch)
        features = model.extract_feat(inputs)
    tokens = caught[0][0, :, 1:].unflatten(1, (3, 196))[:, [0, 2, 1]].flatten(1, 2)
    prompt = features.maps['prompt'].flatten(1, 2)
    return dict(logits=model.head(features), patch_tokens=tokens[:, ::49], prompt=prompt[:, ::14])


def assert_golden(found: dict[str, Tensor], prefix: str = '') -> None:
    published = golden('full_big_moe')
    for name, value in found.items():
        limit = 1e-4 if name == 'logits' else 2e-4
        assert difference(value, published[prefix + name]).abs().max() <= limit, prefix + name


@pytest.mark.slow
def test_golden_full_big_moe(released_big_moe: MultiModalFAS, golden_inputs: dict[str, Tensor]) -> None:
    assert_golden(run(released_big_moe, golden_inputs))


def test_golden_full_big_moe_with_missing_modalities(
    released_big_moe: MultiModalFAS, golden_inputs: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    present = torch.tensor([[True, True, False], [True, False, True]])
    missing = {m: x * present[:, i, None, None, None] for i, (m, x) in enumerate(golden_inputs.items())}
    # the golden vectors were made with the code; the released model gives none at test
    neck: Any = released_big_moe.neck
    monkeypatch.setattr(neck, 'prompt', replace(neck.prompt, code_at_test=True))
    assert_golden(run(released_big_moe, {**missing, 'present': present}), 'missing_')


@pytest.mark.parametrize('part', ['bypass', 'experts', 'swap_grid'])
def test_golden_full_big_moe_notices_each_part(
    part: str, released_big_moe: MultiModalFAS, golden_inputs: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    neck: Any = released_big_moe.neck
    for adapter in neck.adapters:
        if part == 'bypass':
            monkeypatch.setattr(adapter.bypass, 'forward', lambda prompt, gate, grid: prompt)
        elif part == 'experts':
            monkeypatch.setattr(adapter.experts.table, 'forward', lambda x, routing: torch.zeros_like(x))
        else:
            monkeypatch.setattr(adapter.bypass, 'options', replace(neck.prompt, swap_grid=False))
    one = {m: x[:1] for m, x in golden_inputs.items()}
    moved = (run(released_big_moe, one)['logits'] - golden('full_big_moe')['logits'][:1]).abs().max().item()
    assert moved > 100 * 1e-4
