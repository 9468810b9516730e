"""Regimes: one trunk in three methods, and what is trained of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmfas.config.check import check_config
from mmfas.models import MultiModalFAS
from mmfas.registry import MODELS, register_all_modules
from mmfas.utils.shipped import SHIPPED_FOLDER, load_pretrained, shipped_record

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
STEM = 'mini-vit_1xb32-12e_synthfas-cps2w'
METHODS = {'concat': 'baselines', 'ama': 'baselines', 'mmdg': 'mmdg'}
#: Settings of the regimes, as config files name them.
SETTINGS = ('frozen_trunk', 'finetuned_trunk', 'finetuned_rates')
LEAVES = sorted(CONFIGS.glob('*/*_pretrained-*.py'))
REGIMES = ('', '_pretrained-frozen', '_pretrained-finetuned')

pytestmark = pytest.mark.engine


def load(method: str, regime: str) -> Config:
    return Config.fromfile(CONFIGS / METHODS[method] / f'{method}_{STEM}{regime}.py')


def build(cfg: Config) -> MultiModalFAS:
    register_all_modules()
    return MODELS.build(cfg.model)


def test_what_is_compared_between_regimes_is_there_in_all() -> None:
    found = {path.stem for path in LEAVES}
    assert {f'{method}_{STEM}{regime}' for method in METHODS for regime in REGIMES[1:]} <= found
    assert {path.stem.split('_')[0] for path in LEAVES} >= {
        'mean',
        'big-moe',
        'mmda',
        'cmfl',
        'dadm',
        'flip',
        'safas',
    }


@pytest.mark.parametrize('regime', REGIMES)
def test_methods_differ_in_neck_head_and_rule_alone(regime: str) -> None:
    first = load('concat', regime)
    for method in ('ama', 'mmdg'):
        cfg = load(method, regime)
        for key in ('trunk', 'modalities', 'data_preprocessor'):
            assert cfg.model[key] == first.model[key], (method, key)
        for key in ('optimizer', 'paramwise_cfg', 'clip_grad'):
            assert cfg.optim_wrapper[key] == first.optim_wrapper[key], (method, key)
        for key in ('param_scheduler', 'train_cfg', 'train_dataloader', 'val_dataloader', 'test_dataloader'):
            assert cfg[key] == first[key], (method, key)


@pytest.mark.parametrize('path', LEAVES, ids=[path.stem for path in LEAVES])
def test_regimes_differ_in_the_trunk_and_its_rate_alone(path: Path) -> None:
    name, _, regime = path.stem.rpartition('_pretrained-')
    scratch = Config.fromfile(path.with_name(f'{name}.py')).to_dict()
    cfg = {key: value for key, value in Config.fromfile(path).to_dict().items() if key not in SETTINGS}
    assert cfg['model']['trunk'].pop('pretrained') == 'mmfas://mini_vit'
    assert cfg['model']['trunk'].pop('frozen', ()) == (('patch', 'blocks') if regime == 'frozen' else ())
    custom = cfg['optim_wrapper']['paramwise_cfg'].pop('custom_keys', None)
    assert (custom is None) == (regime == 'frozen')
    assert cfg == scratch


@pytest.mark.parametrize('method', METHODS)
def test_a_frozen_trunk_trains_class_token_positions_and_the_final_norm(method: str) -> None:
    cfg = load(method, '_pretrained-frozen')
    assert check_config(cfg) == []
    model = build(cfg).train()
    trained = {name for name, p in model.trunk.named_parameters() if p.requires_grad}
    assert trained == {
        *('embedding.cls_token', 'embedding.pos_embed'),
        *(f'vit.ln{number}.{kind}' for number in (1, 2) for kind in ('weight', 'bias')),
    }
    # 3 class tokens, 3 x 17 positions and 2 norms of width 128
    assert sum(p.numel() for p in model.trunk.parameters() if p.requires_grad) == (3 + 51 + 4) * 128
    rest = [p for part in (model.neck, model.head) for p in part.parameters()]
    assert rest and all(p.requires_grad for p in rest)
    # the same neck and head as from scratch
    scratch = build(load(method, ''))
    assert sum(p.numel() for p in rest) == sum(
        p.numel() for part in (scratch.neck, scratch.head) for p in part.parameters()
    )
    assert all(p.requires_grad for p in scratch.parameters())


@pytest.mark.parametrize('method', METHODS)
def test_a_finetuned_trunk_has_a_tenth_of_the_rate(method: str) -> None:
    cfg = load(method, '_pretrained-finetuned')
    assert check_config(cfg) == []
    model = build(cfg)
    assert all(p.requires_grad for p in model.parameters())
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    of_trunk = {id(p) for p in model.trunk.parameters()}
    rates = {(id(p) in of_trunk, round(g['lr'], 9)) for g in optimizer.param_groups for p in g['params']}
    assert rates == {(True, 1e-4), (False, 1e-3)}
    assert {g['weight_decay'] for g in optimizer.param_groups if id(g['params'][0]) in of_trunk} == {0.0}


def test_the_weights_that_come_with_the_package_fill_the_trunk() -> None:
    record, file = shipped_record('mini_vit'), SHIPPED_FOLDER / 'mini_vit.safetensors'
    assert file.stat().st_size < 5e6 and record['licence'] == 'Apache-2.0'
    assert record['sha256'] in (SHIPPED_FOLDER / 'mini_vit.md').read_text(encoding='utf-8')
    weights = load_pretrained('mmfas://mini_vit')
    cfg = Config.fromfile(CONFIGS / '_base_' / 'models' / 'mini_vit_pretrained.py')
    model = build(cfg)
    model.init_weights()
    state = model.trunk.state_dict()
    assert set(state) == set(weights) and all(torch.equal(state[name], value) for name, value in weights.items())
