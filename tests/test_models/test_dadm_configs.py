"""The configs of DADM and SA-FAS: what their names say, what an ablation takes out, what the preset changes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from mmengine.config import Config

from mmfas.config.needed_hooks import missing_hooks
from mmfas.engine.modulators import ReGrad, SumModulator
from mmfas.models import ConcatNeck, HyperplaneHead, MultiModalFAS, MutualMaskNeck
from mmfas.registry import GRADIENT_MODULATORS, MODELS
from test_models.helpers import configs_of

CONFIGS = Path(__file__).parents[2] / 'configs'
LEAVES = configs_of('dadm/*.py', 'safas/*.py')
NAME = re.compile(
    r'(dadm|safas)_(mini-vit|vit-b16)_1xb(\d+)-(\d+)e_(synthfas|cpsw)-([cpsw]{3}2[cpsw])(?:_([a-z-]+))?'
)
#: Variant -> class of neck and modulator.
PARTS: dict[str | None, tuple[type, type]] = {
    **dict.fromkeys(
        (None, 'released', 'no-alignment', 'no-angle', 'no-mi', 'infonce', 'mine'), (MutualMaskNeck, ReGrad)
    ),
    'no-masks': (ConcatNeck, SumModulator),
    'no-regrad': (MutualMaskNeck, SumModulator),
}

pytestmark = pytest.mark.engine


def model_of(cfg: Any) -> MultiModalFAS:
    """Build the model of a config; the twelve blocks of ViT-B are made narrow, for time."""
    if cfg.model.trunk.vit.arch == 'base':
        cfg.model.trunk.vit.arch = dict(embed_dims=24, num_layers=12, num_heads=12, feedforward_channels=24)
        if cfg.model.neck.type == 'MutualMaskNeck':
            cfg.model.neck.interaction_dims = 4
    return MODELS.build(cfg.model)


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_dadm_configs_keep_what_their_names_say(path: Path) -> None:
    match = NAME.fullmatch(path.stem)
    assert match, f'{path.stem} does not follow the grammar'
    method, _, batch, epochs, data, split, variant = match.groups()
    cfg = Config.fromfile(path)
    assert cfg.train_dataloader.batch_size == int(batch) and cfg.train_cfg.max_epochs == int(epochs)
    assert data in cfg.train_dataloader.dataset.data_root
    lists = ' '.join(cfg.train_dataloader.dataset.ann_file)
    assert all(f'{domain.upper()}-train' in lists for domain in split[:3])
    assert list(missing_hooks(cfg.to_dict(), 'mmfas')) == []
    model = model_of(cfg)
    assert type(model.head) is HyperplaneHead and model.head.domains == ('C', 'P', 'S', 'W')
    if method == 'safas':
        assert type(model.neck) is ConcatNeck and cfg.optim_wrapper.type == 'OptimWrapper'
        assert model.head.planes.shape[:2] == (4, 1) and model.head.options.align_epoch < cfg.train_cfg.max_epochs
        return
    neck, modulator = PARTS[variant]
    rule = GRADIENT_MODULATORS.build(cfg.optim_wrapper.modulator)
    assert type(model.neck) is neck and type(rule) is modulator
    assert rule.refusal(model.modality_offer()) is None
    if modulator is ReGrad:
        assert (rule.order, rule.fast) == ('confidence', 'all_but_slowest')


def test_dadm_variants_are_all_there() -> None:
    matches = [NAME.fullmatch(path.stem) for path in LEAVES]
    assert len(LEAVES) == 9 + 5 + 5
    assert {match[7] for match in matches if match[1] == 'dadm'} == set(PARTS)
    for folder in ('dadm', 'safas'):
        meta = yaml.safe_load((CONFIGS / folder / 'metafile.yml').read_text(encoding='utf-8'))
        listed = [model['Config'] for model in meta['Models'] if '_pretrained-' not in model['Name']]
        assert listed == [f'configs/{folder}/{path.name}' for path in LEAVES if path.parent.name == folder]
        page = (CONFIGS / folder / 'README.md').read_text(encoding='utf-8')
        assert all(f'| `{Path(name).name}` |' in page for name in listed)


@pytest.mark.parametrize('method', ['dadm', 'safas'])
def test_dadm_is_compared_on_the_data_and_schedule_of_the_baselines(method: str) -> None:
    plain = Config.fromfile(next((CONFIGS / 'baselines').glob('concat_mini-vit_*_synthfas-cps2w.py')))
    ours = Config.fromfile(CONFIGS / method / f'{method}_mini-vit_1xb32-12e_synthfas-cps2w.py')
    for key in (
        'train_dataloader',
        'val_dataloader',
        'test_dataloader',
        'param_scheduler',
        'train_cfg',
        'randomness',
    ):
        assert ours[key] == plain[key], key
    assert ours.optim_wrapper.optimizer == plain.optim_wrapper.optimizer


def variant(name: str) -> MultiModalFAS:
    return model_of(Config.fromfile(CONFIGS / 'dadm' / f'dadm_mini-vit_1xb32-12e_synthfas-cps2w{name}.py'))


def test_what_the_variants_change() -> None:
    plain, released = variant(''), variant('_released')
    assert plain.neck.train_norm and not released.neck.train_norm
    assert plain.neck.mask_absent and not released.neck.mask_absent
    assert (plain.neck.information.weight, plain.neck.information.attach) == (0.1, 'partners')
    assert (released.neck.information.weight, released.neck.information.attach) == (0.15, 'numbered')
    assert [m.adapters[0].convolve_prefix for m in (plain.neck, released.neck)] == [False, True]
    assert (plain.head.angular.reduction, plain.head.angular_weight) == ('mean', 0.3)
    assert (released.head.angular.reduction, released.head.angular_weight) == ('released', 0.2)
    assert plain.head.mask_unseen and not released.head.mask_unseen
    assert variant('_no-alignment').head.options.keep == 1 and plain.head.options.keep == 0.995
    assert variant('_no-angle').head.angular_weight == 0 and variant('_no-mi').neck.information.weight == 0
    assert [variant(f'_{kind}').neck.information.kind for kind in ('infonce', 'mine')] == ['infonce', 'mine']
    page = (CONFIGS / 'dadm' / 'README.md').read_text(encoding='utf-8')
    of_neck = ('train_norm', 'dropout', 'convolve_cls', 'mask_absent', 'mutual_information')
    of_trunk = ('trunk.fresh', 'trunk.frozen', 'per_modality')
    for argument in (*of_neck, 'angular.reduction', 'mask_unseen', 'modulator.reach', 'modulator.eps', *of_trunk):
        assert f'{argument}`' in page, argument
