"""The converter of the released MMDA adaptor: nothing is lost either way; the whole adaptor is reproduced."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_vectors import assert_near, difference, golden, largest, released_names
from mmengine.config import Config
from torch import Tensor

from mmfas.cli.weights.convert import main
from mmfas.models import MD2ANeck, TextAlignHead
from mmfas.models.weights.mmda import mmfas_to_released_mmda, released_mmda_to_mmfas
from mmfas.registry import FUSION_NECKS, HEADS
from mmfas.structures import MODALITIES, FusedFeatures
from mmfas.utils.checkpoint import load_checkpoint

REPO = Path(__file__).parents[2]
PRESET = REPO / 'configs' / '_base_' / 'models' / 'mmda_clip_vit_base_p16_released.py'
NAMES = released_names('released_mmda')
SHAPES = {name: tuple(int(n) for n in shape.split('x')) for name, shape in NAMES}

pytestmark = pytest.mark.engine


def released_weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """Draw a tensor of the released adaptor, as the golden vectors prescribe; buffers keep their values."""
    if 'threshold' in name:
        return torch.tensor([1e-9, 0.2])
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    value = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
    is_norm = (name.endswith('weight') and len(shape) == 1) or name.endswith('mult_bias')
    return torch.from_numpy(value + 1 if is_norm else value)


def tiny_state() -> dict[str, Tensor]:
    """The released adaptor with two levels and width 8."""
    sizes = {512: 8, 1536: 24, 2730: 42, 1365: 21}
    kept = {n: s for n, s in SHAPES.items() if not n.startswith('u_align') or int(n.split('.')[2]) < 2}
    return {name: released_weight(name, tuple(sizes.get(n, n) for n in shape)) for name, shape in kept.items()}


def parts(width: int, **u_dsa: int) -> tuple[MD2ANeck, TextAlignHead]:
    """Neck and head of the released preset, with the second expert always kept, as the golden vectors."""
    cfg = Config.fromfile(PRESET).model
    for options in (cfg.neck.experts, cfg.head.u_dsa.experts, cfg.head.classifier):
        options.sampled_second = False
    cfg.head.anchors = dict(dims=width)
    cfg.head.u_dsa.update(u_dsa)
    num_heads = min(16, width)
    neck = FUSION_NECKS.build(
        {**cfg.neck, 'num_heads': num_heads}, spec=dict(modalities=MODALITIES, embed_dims=width)
    )
    return neck.eval(), HEADS.build(cfg.head, spec=neck.feature_spec).eval()


def load(neck: MD2ANeck, head: TextAlignHead, state: Mapping[str, Tensor]) -> None:
    """Fill both parts; every name must have a place."""
    for part, prefix in ((neck, 'neck.'), (head, 'head.')):
        part.load_state_dict({n[len(prefix) :]: v for n, v in state.items() if n.startswith(prefix)})


def test_released_mmda_weights_survive_both_ways() -> None:
    released, anchors = tiny_state(), torch.randn(48, 8)
    ours = released_mmda_to_mmfas(released, anchors=anchors)
    back = mmfas_to_released_mmda({**ours, 'trunk.left_out': torch.zeros(1)})
    assert set(back) == set(released)
    assert all(torch.equal(value, released[name]) for name, value in back.items())
    load(*parts(8, num_levels=2, num_heads=8), ours)


def test_golden_mmda_names_are_all_converted() -> None:
    meta = {name: torch.empty(shape, device='meta') for name, shape in SHAPES.items()}
    back = mmfas_to_released_mmda(released_mmda_to_mmfas(meta))
    assert {name: tuple(value.shape) for name, value in back.items()} == SHAPES


def test_wrong_files_are_refused() -> None:
    released = tiny_state()
    with pytest.raises(
        ValueError, match=r'not a state dict of the adaptor of released MMDA: .* is the direction right'
    ):
        released_mmda_to_mmfas(released_mmda_to_mmfas(released))
    with pytest.raises(ValueError, match='not a state dict of MMDA of mmfas'):
        mmfas_to_released_mmda(released)
    del released['fusion.ln1.bias']
    with pytest.raises(ValueError, match='1 missing: fusion.ln1.bias; '):
        released_mmda_to_mmfas(released)


def test_command_writes_both_directions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    released, anchors = tiny_state(), torch.randn(48, 8)
    torch.save({'state_dict': released}, tmp_path / 'in.pth')
    torch.save(dict(embeddings=anchors, num_anchors=[24, 24]), tmp_path / 'anchors.pth')
    given, ours, anchor_file = (str(tmp_path / f'{name}.pth') for name in ('in', 'ours', 'anchors'))
    assert main(['released_mmda', given, ours, '--anchors', anchor_file]) == 0
    assert 'tensors' in capsys.readouterr().out
    assert torch.equal(load_checkpoint(tmp_path / 'ours.pth')['state_dict']['head.anchors.embeddings'], anchors)
    assert main(['released_mmda', str(tmp_path / 'ours.pth'), str(tmp_path / 'back.pth'), '--reverse']) == 0
    back = load_checkpoint(tmp_path / 'back.pth')
    assert set(back) == set(released) and all(torch.equal(back[name], released[name]) for name in back)
    assert main(['released_mmda', str(tmp_path / 'back.pth'), str(tmp_path / 'no.pth'), '--reverse']) == 1
    assert 'is the direction right?' in capsys.readouterr().err


@torch.no_grad()
def run(neck: MD2ANeck, head: TextAlignHead) -> dict[str, Tensor]:
    rng = np.random.default_rng(777)
    readouts = torch.from_numpy(rng.standard_normal((4, 3, 512), dtype=np.float32)).transpose(0, 1)
    state = dict(present=torch.ones(4, 3, dtype=torch.bool), domain=torch.tensor([0, 0, 1, 1]))
    features: FusedFeatures = neck.finish(readouts, state, lambda streams: streams)
    states = head.states(features)
    return dict(logits=head(features), states=states.image, align=head.alignments(states))


@pytest.mark.slow
def test_golden_full_mmda_adaptor_and_each_of_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    published = golden('full_mmda_adaptor')
    rng = np.random.default_rng(777)
    rng.standard_normal((4, 3, 512), dtype=np.float32)
    anchors = torch.cat([torch.from_numpy(rng.standard_normal((24, 512), dtype=np.float32)) for _ in range(2)])
    neck, head = parts(512)
    weights = {name: released_weight(name, shape) for name, shape in SHAPES.items()}
    load(neck, head, released_mmda_to_mmfas(weights, anchors=anchors))
    found = run(neck, head)
    assert len(found['states']) == len(found['align']) == len(published['align']) == 15
    for level in range(15):
        assert_near(found['states'][level], published[f'states.{level}'], f'states {level}')
        assert_near(found['align'][level], published['align'][level], f'align {level}')
    torch.testing.assert_close(found['logits'], published['logits'], rtol=0, atol=1e-6)

    def moved() -> float:
        """Largest relative change of the last state."""
        last = published['states.14']
        return float(difference(run(neck, head)['states'][-1], last).abs().max()) / largest(last)

    with monkeypatch.context() as patch:
        patch.setattr(neck, 'reference', 'partner')
        assert moved() > 100 * 1e-5, 'reference'
    with monkeypatch.context() as patch:
        patch.setattr(head.u_dsa.adapt[0], 'across_batch', False)
        assert moved() > 100 * 1e-5, 'attention across the batch'
    with monkeypatch.context() as patch:
        patch.setattr(head.u_dsa, 'up', 'chained')
        assert moved() > 100 * 1e-5, 'parallel way up'
    with monkeypatch.context() as patch:
        patch.setattr(head.u_dsa.adapt[0], 'doubled_skip', False)
        assert moved() > 100 * 1e-5, 'input added twice'
    with monkeypatch.context() as patch:
        patch.setattr(head.u_dsa.adapt[0].experts, 'constants', None)
        assert moved() > 100 * 1e-5, 'constant experts'
