"""The converter of released DADM weights: nothing that is used is lost; the whole released model is reproduced."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_vectors import golden, released_names
from mmengine.config import Config
from torch import Tensor
from torch.nn import functional

from mmfas.cli.weights.convert import main
from mmfas.models import InformationLoss, MultiModalFAS
from mmfas.models.weights.dadm import mmfas_to_released_dadm, released_dadm_to_mmfas
from mmfas.registry import MODELS
from mmfas.structures import MODALITIES
from mmfas.utils.checkpoint import load_checkpoint

REPO = Path(__file__).parents[2]
PRESET = REPO / 'configs' / '_base_' / 'models' / 'dadm_vit_base_p16_released.py'
NAMES = released_names('released_dadm')
SHAPES = {name: tuple(int(n) for n in shape.split('x')) for name, shape in NAMES}
PRIORS = ('prior_m2', 'prior_m3')

pytestmark = pytest.mark.engine


def released_weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """Draw a tensor of the released model, as the golden vectors prescribe."""
    if name.endswith('num_batches_tracked'):
        return torch.tensor(0)
    scale = np.float32(0.15 if name.startswith('adapter_') else 0.05)
    value = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32) * scale
    if name.endswith('running_var'):
        return torch.from_numpy(1 + np.abs(value))
    return torch.from_numpy(value + 1 if name.endswith('weight') and len(shape) == 1 else value)


def tiny_state(width: int = 8, blocks: int = 2) -> dict[str, Tensor]:
    """Shrink the released model: fewer blocks and other widths, the same names."""
    sizes = {768: width, 1536: 2 * width, 2304: 3 * width, 3072: 4 * width, 197: 5, 256: 4, 128: 2, 896: width + 2}
    state = {}
    for name, shape in SHAPES.items():
        head, _, rest = name.partition('.')
        number = rest.partition('.')[0]
        if head.startswith(('adapter_', 'mim_')) and int(number) >= blocks:
            continue
        if head == 'ViT_Encoder':
            if blocks < int(number) <= 12:
                continue
            name = name.replace('.13.', f'.{blocks + 1}.')
        small = shape if name in PRIORS else tuple(sizes.get(n, n) for n in shape)
        state[name] = torch.zeros(small) if name in PRIORS else released_weight(name, small)
    state['fc_all.weight'] = torch.stack([state[f'fc_d{i}.weight'] for i in (1, 2, 3)]).mean(0)
    return state


def preset(**arch: Any) -> MultiModalFAS:
    cfg = Config.fromfile(PRESET).model
    cfg.trunk.pretrained, cfg.head.domains = None, ('C', 'P', 'S')
    if arch:
        cfg.trunk.vit.arch, cfg.trunk.vit.img_size, cfg.trunk.frozen = arch, 32, ()
        cfg.neck.interaction_dims = 4
    return MODELS.build(cfg)


def test_released_dadm_weights_survive_both_ways(tmp_path: Path) -> None:
    released = tiny_state()
    ours = released_dadm_to_mmfas(released)
    preset(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=32).load_state_dict(ours)
    back = mmfas_to_released_dadm(ours)
    assert set(back) == set(released)
    assert all(torch.equal(value, released[name]) for name, value in back.items())
    again = released_dadm_to_mmfas({name: value for name, value in back.items() if name not in PRIORS})
    assert list(again) == list(ours) and all(torch.equal(value, ours[name]) for name, value in again.items())
    with pytest.raises(ValueError, match=r'not a state dict of released DADM: .* is the direction right'):
        released_dadm_to_mmfas(ours)
    with pytest.raises(ValueError, match='classifiers of 3 domains, but head.planes has 2'):
        mmfas_to_released_dadm({**ours, 'head.planes': ours['head.planes'][:2]})
    torch.save(released, tmp_path / 'in.pth')
    assert main(['released_dadm', str(tmp_path / 'in.pth'), str(tmp_path / 'ours.pth')]) == 0
    assert main(['released_dadm', str(tmp_path / 'ours.pth'), str(tmp_path / 'back.pth'), '--reverse']) == 0
    found = load_checkpoint(tmp_path / 'back.pth')
    assert all(torch.equal(found[name], value) for name, value in released.items())


def test_golden_dadm_names_are_all_converted() -> None:
    meta = {name: torch.empty(shape, device='meta') for name, shape in SHAPES.items()}
    ours = released_dadm_to_mmfas(meta)
    ours |= {'head.planes': torch.zeros(3, 2, 2304), 'head.is_trained': torch.ones(3, dtype=torch.bool)}
    assert set(mmfas_to_released_dadm(ours)) == set(SHAPES)


@pytest.fixture(scope='module')
def released_dadm() -> MultiModalFAS:
    """The whole released model, from the released preset and converted weights."""
    model = preset()
    model.load_state_dict(
        released_dadm_to_mmfas({n: released_weight(n, s) for n, s in SHAPES.items() if n not in PRIORS})
    )
    return model


class Fixed(InformationLoss):
    """The released term with a in order and b reversed."""

    def forward(self, tokens: Tensor, pairs: Tensor, orders: Tensor | None = None) -> Tensor:
        order = torch.arange(pairs.shape[0]).expand(pairs.shape[1], -1)
        return super().forward(tokens, pairs, torch.stack([order, order.flip(-1)]))


@pytest.mark.slow
@torch.no_grad()
def test_golden_full_dadm(released_dadm: MultiModalFAS) -> None:
    published = golden('full_dadm')
    rng = np.random.default_rng(12345)
    inputs = {m: torch.from_numpy(rng.standard_normal((2, 3, 224, 224), dtype=np.float32)) for m in MODALITIES}
    model, neck, head = released_dadm, released_dadm.neck, released_dadm.head
    neck.terms = torch.nn.ModuleList(Fixed(num_pairs=3, width=768) for _ in range(12))
    infos: list[Tensor] = []
    take_note = neck._take_note

    def note(index: int, state: dict[str, Tensor], **given: Tensor) -> None:
        infos.append(torch.einsum('msb,sbc->mbc', given['weight'], given['info']))
        take_note(index, state, **given)

    neck._take_note = note
    features = model.train().extract_feat(inputs)  # batch norm as it is, dropout 0: training is evaluation here
    expected = model.eval().extract_feat(inputs).fused
    torch.testing.assert_close(features.fused, expected, rtol=0, atol=1e-4)
    info = torch.stack(infos).mean(0)
    found = {
        'logits_test': functional.linear(features.fused, released_weight('fc_all.weight', (2, 2304))),
        'mask_mean': features.maps['mask'].mean((3, 4, 5)),
        **{f'feat_{m}': features.per_modality[i] for i, m in enumerate(MODALITIES)},
        **{f'info_{m}': info[i] for i, m in enumerate(MODALITIES)},
        **{f'logits_head{i + 1}': logits for i, logits in enumerate(head.domain_logits(features))},
    }
    losses = features.modality_losses
    for m, pair in zip(MODALITIES, ('rgb_depth', 'rgb_ir', 'depth_ir'), strict=True):
        found[f'mi_loss_{pair}'] = losses[m] / neck.information.weight
    planes = head.planes.clone()
    head.after_step(0)
    found['logits_test_after_step'] = head(features)
    found |= {f'logits_head{i + 1}_after_step': logits for i, logits in enumerate(head.domain_logits(features))}
    head.planes.copy_(planes)
    assert set(found) == set(published) - {'num_parameters'}
    for name, value in found.items():
        torch.testing.assert_close(value, published[name].reshape(value.shape), rtol=0, atol=1e-4, msg=name)
    # it can fail
    moved = _logits_without_masks(model, inputs) - published['logits_test']
    assert abs(float(moved.abs().max()) - 0.12) < 0.01


def _logits_without_masks(model: MultiModalFAS, inputs: dict[str, Tensor]) -> Tensor:
    """Compute the logits with all masks 1/2."""
    for mask in model.neck.masks:
        for parameter in mask.norms[5].parameters():
            parameter.zero_()
    return functional.linear(model.extract_feat(inputs).fused, released_weight('fc_all.weight', (2, 2304)))


def test_golden_dadm_numbers_of_parameters() -> None:
    with torch.device('meta'):
        model = preset()
    published = golden('full_dadm')['num_parameters'].tolist()
    priors = 2 * 3 * 224 * 224
    test_head, domain_heads = 2 * 2304, 3 * 2 * 2304
    own = sum(parameter.numel() for parameter in model.parameters())
    assert domain_heads == model.head.planes.numel()
    assert own + priors + test_head == published[0] == 267_788_064
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trained == published[1] == 187_744_032
    assert sum(parameter.numel() for parameter in model.neck.masks[0].parameters()) == 3 * published[2]
    assert sum(parameter.numel() for parameter in model.neck.adapters[0].parameters()) == 3 * published[3]
