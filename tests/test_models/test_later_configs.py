"""The configs of CMFL, FLIP and the mean: they pass the check and say what their names say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from mmengine.config import Config

from mmfas.analysis.complexity import measure_complexity
from mmfas.config.check import check_config
from mmfas.models import ConcatNeck, CrossModalFocalHead, MeanNeck, MultiModalFAS, TextContrastHead
from mmfas.registry import MODELS
from test_models.helpers import configs_of, samples

CONFIGS = Path(__file__).parents[2] / 'configs'
LEAVES = configs_of('cmfl/*.py', 'flip/*.py', 'baselines/mean_*.py')
BASELINE = CONFIGS / 'baselines' / 'concat_mini-vit_1xb32-12e_synthfas-cps2w.py'
NARROW = dict(embed_dims=24, num_layers=1, num_heads=2, feedforward_channels=32)

pytestmark = pytest.mark.engine


def build(cfg: Config) -> MultiModalFAS:
    """Build a model, with everything large made narrow, for time; texts are fixed, as open_clip is optional."""
    model = cfg.model
    if model.trunk.get('vit', {}).get('arch') == 'base':
        model.trunk.vit.arch = NARROW
    if model.trunk.get('cnn', {}).get('arch') == '161':
        model.trunk.cnn.arch = dict(growth_rate=4, depths=[2, 2, 1], init_channels=8)
    if model.head.get('anchors', {}).get('train_text'):
        assert model.head.anchors.text_tower == dict(prompts='flip', pretrained='checkpoints/clip_vit_b_16.pth')
        model.head.anchors = dict(dims=16, num_anchors=model.head.anchors.num_anchors)
        model.trunk.proj_dims = 16
    return MODELS.build(model)


def steps_of(cfg: Config, name: str) -> list[dict[str, Any]]:
    return list(cfg[f'{name}_dataloader'].dataset.pipeline)


def test_all_are_found() -> None:
    assert len(LEAVES) == 8 + 9 + 5


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_configs_build_what_their_names_say(path: Path) -> None:
    if path.stem.startswith('flip_clip'):
        pytest.importorskip('open_clip', reason="open_clip is missing: pip install 'mmfas[clip]'")
    cfg = Config.fromfile(path)
    assert check_config(cfg) == []
    model, method = build(cfg), path.stem.partition('_')[0]
    is_released = path.stem.endswith('released')
    views = [step for step in steps_of(cfg, 'train') if step['type'] == 'AddViews']
    assert not any(step['type'] == 'AddViews' for name in ('val', 'test') for step in steps_of(cfg, name))
    if method == 'flip':
        head = model.head
        assert isinstance(head, TextContrastHead) and head.anchors.num_anchors == (6, 6)
        assert head.needs_views == bool(views) == (not path.stem.endswith('no-views'))
        assert isinstance(model.neck, ConcatNeck if path.stem.endswith('_concat') else MeanNeck)
        assert (head.with_replacement, model.modalities == ('rgb',)) == (is_released, is_released)
    elif method == 'cmfl':
        assert isinstance(model.head, CrossModalFocalHead) and not views
        assert model.head.gamma == (0.0 if path.stem.endswith('no-focal') else 3.0)
        assert model.head.squash == (model.trunk.__class__.__name__ == 'MultiStreamCNN')
        assert (model.modalities == ('rgb', 'depth')) == is_released
    else:
        assert isinstance(model.neck, MeanNeck)
    target = path.stem.split('cpsw-')[-1].split('synthfas-')[-1].split('_')[0][-1].upper()
    assert [Path(name).name for name in cfg.test_dataloader.dataset.ann_file] == [f'{target}-test.txt']


def test_views_and_head_must_fit_before_anything_starts() -> None:
    cfg = Config.fromfile(CONFIGS / 'flip' / 'flip_mini-vit_1xb32-12e_synthfas-cps2w.py')
    with_views = cfg.train_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset.pipeline = [step for step in with_views if step.type != 'AddViews']
    (problem,) = check_config(cfg)
    assert problem.startswith('train_dataloader: TextContrastHead needs further views of every sample; put dict(')
    plain = Config.fromfile(BASELINE)
    plain.train_dataloader.dataset.pipeline = plain.test_dataloader.dataset.pipeline = with_views
    assert check_config(plain) == [
        'train_dataloader: LinearFASHead has no use for further views of the samples; take AddViews out',
        'test_dataloader: scoring has no use for further views of the samples; take AddViews out',
    ]


def test_metafiles_hold_the_sizes_of_the_models() -> None:
    listed = {
        model['Name']: (model['Metadata']['Parameters'], model['Metadata']['FLOPs'])
        for folder in ('cmfl', 'flip', 'baselines')
        for model in yaml.safe_load((CONFIGS / folder / 'metafile.yml').read_text(encoding='utf-8'))['Models']
        if 'Parameters' in model['Metadata']
    }
    assert set(listed) >= {path.stem for path in LEAVES}
    for path in LEAVES:
        if '_mini-vit_' in path.stem:
            found = measure_complexity(MODELS.build(Config.fromfile(path).model).eval())
            assert listed[path.stem] == (found.total, found.flops), path.stem


def test_small_configs_share_trunk_data_and_schedule() -> None:
    baseline = Config.fromfile(BASELINE)
    for path in LEAVES:
        cfg = Config.fromfile(path)
        if '_mini-vit_' in path.stem:
            assert cfg.model.trunk == baseline.model.trunk
        if '_mini-' in path.stem:
            assert cfg.optim_wrapper == baseline.optim_wrapper
            own = [step for step in steps_of(cfg, 'train') if step['type'] != 'AddViews']
            assert own == steps_of(baseline, 'train')


def test_a_small_step_of_flip_from_pictures_to_losses() -> None:
    cfg = Config.fromfile(CONFIGS / 'flip' / 'flip_mini-vit_1xb32-12e_synthfas-cps2w.py')
    model = MODELS.build(cfg.model)
    batch = dict(
        inputs={m: torch.randint(0, 256, (2, 3, 64, 64)).byte() for m in model.modalities},
        inputs_view={m: torch.randint(0, 256, (2, 2, 3, 64, 64)).byte() for m in model.modalities},
    )
    losses = model(**model.data_preprocessor({**batch, 'data_samples': samples(2)}, True), mode='loss')
    sum(losses.values()).backward()
    assert set(losses) == {f'loss_{name}' for name in ('cls', 'contrast', 'consistency', *model.modalities)}
    assert all(p.grad is not None for p in model.parameters())
