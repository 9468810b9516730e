"""A checkpoint of the released MMDA trainer, CLIP and adaptor in one file, becomes one that a model here loads."""

from __future__ import annotations

import copy
from pathlib import Path
from types import ModuleType

import pytest
import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.nn import functional

from mmfas.cli.weights.convert import main
from mmfas.models.heads import read_prompts
from mmfas.models.weights.mmda import mmfas_to_released_mmda, released_mmda_to_mmfas, released_prompts
from mmfas.registry import MODELS
from mmfas.structures import LIVE, MODALITIES, SPOOF
from mmfas.utils.checkpoint import load_into, load_weights
from test_models.test_released_mmda import PRESET, tiny_state

WIDTH, LEVELS = 8, 2
#: Neither where CLIP starts (100) nor what any default says.
LOG_SCALE = 3.25

pytestmark = pytest.mark.engine


@pytest.fixture
def open_clip() -> ModuleType:
    return pytest.importorskip('open_clip', reason="open_clip is missing: pip install 'mmfas[clip]'")


def clip_of(open_clip: ModuleType) -> nn.Module:
    """A small CLIP in the names of OpenAI, with large random weights."""
    torch.manual_seed(0)
    vision = dict(image_size=32, patch_size=16, width=16, layers=2, head_width=8)
    text = dict(context_length=24, width=64, heads=1, layers=2)
    model = open_clip.CLIP(embed_dim=WIDTH, vision_cfg=vision, text_cfg=text, quick_gelu=True).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        model.logit_scale.fill_(LOG_SCALE)
    return model


def trainer_checkpoint(clip: nn.Module) -> dict[str, Tensor]:
    """The file of the trainer: flat names, `model.` and `adapter.`."""
    state = {f'model.{name}': value for name, value in clip.state_dict().items()}
    return state | {f'adapter.{name}': value for name, value in tiny_state().items()}


def model_of_the_preset() -> nn.Module:
    """The released preset with a small trunk, 23 live prompts, and no random draws."""
    cfg = Config.fromfile(PRESET).model
    vit = cfg.trunk.vit
    vit.update(img_size=32, arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=64))
    cfg.trunk.update(proj_dims=WIDTH, pretrained=None)
    cfg.neck.update(num_heads=8)
    cfg.head.u_dsa.update(num_levels=LEVELS, num_heads=8)
    cfg.head.anchors = dict(dims=WIDTH, num_anchors=(24, 23))
    for options in (cfg.neck.experts, cfg.head.u_dsa.experts, cfg.head.classifier):
        options.sampled_second = False
    return MODELS.build(dict(cfg, _scope_='mmfas')).eval()


def test_released_prompts_are_23_for_live_faces() -> None:
    ours, theirs = read_prompts(), released_prompts()
    assert theirs[SPOOF] == ours[SPOOF] and (len(theirs[SPOOF]), len(theirs[LIVE])) == (24, 23)
    assert ''.join(theirs[LIVE]) == ''.join(ours[LIVE])
    (joined,) = set(theirs[LIVE]) - set(ours[LIVE])
    assert joined == 'This is a photo of a credible faceThis is an example of a real face'


@torch.no_grad()
def test_one_command_makes_one_checkpoint_of_it(
    open_clip: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = clip_of(open_clip)
    torch.save(trainer_checkpoint(clip), tmp_path / 'released.pth')
    assert main(['released_mmda', str(tmp_path / 'released.pth'), str(tmp_path / 'ours.pth')]) == 0
    told = capsys.readouterr().out
    assert 'factor of the cosines: 25.79, as trained' in told and 'num_anchors="(24,23)"' in told
    model = model_of_the_preset()
    load_into(model, tmp_path / 'ours.pth')  # every name and shape, nothing left over

    images = torch.randn(3, 4, 3, 32, 32)
    features = model.extract_feat(dict(zip(MODALITIES, images, strict=True)))
    torch.testing.assert_close(
        features.per_modality, torch.stack([clip.encode_image(x) for x in images]), rtol=1e-4, atol=1e-4
    )
    tokens = open_clip.SimpleTokenizer(context_length=24)(sum(released_prompts().values(), []))
    texts = clip.encode_text(tokens)
    torch.testing.assert_close(model.head.anchors(), texts, rtol=1e-5, atol=1e-5)
    first = model.head.alignments(model.head.states(features))[0]
    cosines = functional.normalize(model.head.project(features.fused)) @ functional.normalize(texts).t()
    expected = clip.logit_scale.exp() * torch.stack([cosines[:, :24].amax(1), cosines[:, 24:].amax(1)], dim=1)
    torch.testing.assert_close(first, expected, rtol=1e-4, atol=1e-4)


def test_trained_scale_and_image_tower_survive_both_ways(open_clip: ModuleType, tmp_path: Path) -> None:
    released = trainer_checkpoint(clip_of(open_clip))
    torch.save({'state_dict': {f'module.{n}': v for n, v in released.items()}}, tmp_path / 'released.pth')
    assert main(['released_mmda', str(tmp_path / 'released.pth'), str(tmp_path / 'ours.pth')]) == 0
    assert (
        main(['released_mmda', str(tmp_path / 'ours.pth'), str(tmp_path / 'back.pth'), '--reverse', '--with-clip'])
        == 0
    )
    back = load_weights(tmp_path / 'back.pth')
    assert all(torch.equal(value, released[name]) for name, value in back.items())
    # a frozen text tower is not part of a model here: its prompts are encoded
    left = {name for name in released if name not in back}
    assert left == {
        f'model.{n}' for n in clip_of(open_clip).state_dict() if not n.startswith(('visual.', 'logit_'))
    }


def test_scale_beside_the_adaptor_is_kept_and_a_missing_one_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    released = tiny_state()
    for extra, told in (
        ({'logit_scale': torch.tensor(4.0)}, '54.60, as trained'),
        ({}, '100.00, where CLIP starts'),
    ):
        torch.save({**released, **extra}, tmp_path / 'in.pth')
        assert main(['released_mmda', str(tmp_path / 'in.pth'), str(tmp_path / 'out.pth')]) == 0
        assert told in capsys.readouterr().out
        found = load_weights(tmp_path / 'out.pth')['head.log_scale']
        assert found.shape == () and found.item() == pytest.approx(4.0 if extra else 4.60517, abs=1e-5)
    assert released_mmda_to_mmfas({**released, **extra}, logit_scale=7.0)['head.log_scale'].exp().item() == (
        pytest.approx(7.0)
    )


def test_anchors_of_ones_own_stand_in_for_the_text_tower(open_clip: ModuleType) -> None:
    released, anchors = trainer_checkpoint(clip_of(open_clip)), torch.randn(10, WIDTH)
    assert released_mmda_to_mmfas(released, anchors=anchors)['head.anchors.embeddings'] is anchors
    without = {
        n: v for n, v in released.items() if n.startswith(('adapter.', 'model.visual.', 'model.logit_scale'))
    }
    assert 'head.anchors.embeddings' not in released_mmda_to_mmfas(without)
    with pytest.raises(ValueError, match=r'anchors must be \(K, 8\), as wide as the adaptor, got \(10, 9\)'):
        released_mmda_to_mmfas(released, anchors=torch.randn(10, 9))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('optimizer.step', r"left over are \['optimizer.step'\]"),
        ('-model.logit_scale', r"missing are \['model.logit_scale'\]"),
        ('-model.visual.class_embedding', r"missing are \['model.visual.class_embedding'\]"),
        ('-model.ln_final.bias', 'not those of the text tower .*1 missing: ln_final.bias'),
        ('model.visual.layer1.weight', 'not a vision transformer of openai_clip'),
        ('-adapter.fusion.ln1.bias', '1 missing: fusion.ln1.bias'),
    ],
)
def test_other_checkpoints_are_refused(open_clip: ModuleType, change: str, message: str) -> None:
    released = copy.copy(trainer_checkpoint(clip_of(open_clip)))
    if change.startswith('-'):
        del released[change[1:]]
    else:
        released[change] = torch.zeros(1)
    with pytest.raises(ValueError, match=message):
        released_mmda_to_mmfas(released)


def test_a_trunk_that_is_no_clip_is_refused() -> None:
    ours = released_mmda_to_mmfas(tiny_state())
    three = {**ours, 'trunk.embedding.cls_token': torch.zeros(3, 1, 16)}
    with pytest.raises(ValueError, match=r'trunk.embedding.cls_token \(3, 1, 16\) has no place in CLIP'):
        mmfas_to_released_mmda(three, with_clip=True)
    assert set(mmfas_to_released_mmda(three)) == set(tiny_state())
