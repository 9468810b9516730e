"""`check_config`: every problem of a broken config at once, none in the configs that are shipped."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mmfas.config.check import check_config
from mmfas.datasets.building import sampling_problems

REPO = Path(__file__).resolve().parents[2]
CONFIGS = [*(REPO / 'configs').rglob('*.py'), *(REPO / 'projects').glob('*/configs/**/*.py')]
LEAVES = sorted(path for path in CONFIGS if '_base_' not in path.parts)

pytestmark = pytest.mark.engine

LOADER = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='MultiModalFaceDataset', ann_file='list.txt', pipeline=[dict(type='PackFASInputs')]),
    collate_fn=dict(type='pseudo_collate'),
)
GOOD: dict[str, Any] = dict(
    default_scope='mmfas',
    model=dict(
        type='MultiModalFAS',
        trunk=dict(type='MultiStreamViT', vit=dict(type='mmpretrain.VisionTransformer', img_size=32)),
        neck=dict(type='ConcatNeck'),
        head=dict(type='LinearFASHead', loss=dict(type='CrossEntropyLoss')),
        data_preprocessor=dict(type='FASDataPreprocessor'),
    ),
    train_dataloader=LOADER,
    train_cfg=dict(by_epoch=True, max_epochs=1),
    optim_wrapper=dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3), clip_grad=dict(type='norm', max_norm=1.0)
    ),
    param_scheduler=[dict(type='CosineAnnealingLR', T_max=1, by_epoch=True, convert_to_iter_based=True)],
    default_hooks=dict(logger=dict(type='LoggerHook', interval=1), checkpoint=dict(type='CheckpointHook')),
    custom_hooks=[dict(type='EMAHook', momentum=0.1)],
    visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
    log_processor=dict(window_size=5),
)


def broken(**changes: Any) -> dict[str, Any]:
    """The good config with values at dotted paths replaced (a number steps into a list)."""
    cfg = copy.deepcopy(GOOD)
    for path, value in changes.items():
        node: Any = cfg
        *way, last = path.split('__')
        for key in way:
            node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
        node[last] = value
    return cfg


def test_a_good_config_has_no_problem() -> None:
    assert check_config(GOOD) == []
    assert check_config(Config(GOOD)) == []
    assert check_config(broken(pipeline=[], dev_pipeline=[], data_root='data')) == []  # variables of the file


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'model__neck__dropot': 0.1}, 'model.neck.dropot: unexpected, '),
        ({'model__head__drop_out': 0.1}, 'model.head.drop_out: unexpected, did you mean dropout?'),
        ({'model__neck': dict(type='ConcatNek')}, 'did you mean ConcatNeck'),
        (
            {'model__neck': dict(type='LinearFASHead')},
            'model.neck.type: LinearFASHead is a head, not a fusion neck',
        ),
        ({'model__neck': {}}, 'model.neck.type: missing, a fusion neck needs it'),
        ({'model__head__loss__labl': 1}, 'model.head.loss.labl: unexpected'),
        ({'model__head__loss': dict(type='FocalLos')}, 'did you mean FocalLoss'),
        (
            {'model__trunk__vit': dict(type='mmpretrain.VisionTransformer', img_sizes=32)},
            'model.trunk.vit.img_sizes: unexpected, did you mean img_size?',
        ),
        ({'train_dataloader__batch_siz': 1}, 'train_dataloader.batch_siz: unexpected'),
        (
            {'train_dataloader__persistent_workers': True, 'train_dataloader__num_workers': 0},
            'train_dataloader.persistent_workers: needs workers, but train_dataloader.num_workers is 0',
        ),
        (
            {'extra_test_dataloaders': {'W': {**LOADER, 'sampler': dict(type='DefaltSampler')}}},
            "extra_test_dataloaders.W.sampler.type: 'DefaltSampler' is not in the data sampler registry",
        ),
        ({'extra_test_dataloader': {}}, 'extra_test_dataloader: unexpected, did you mean extra_test_dataloaders?'),
        (
            {'train_dataloader__sampler__shufle': 1},
            'train_dataloader.sampler.shufle: unexpected, did you mean shuffle?',
        ),
        (
            {'train_dataloader__dataset__pipeline': [dict(type='PackFASInputs'), dict(type='CheckpointHook')]},
            'train_dataloader.dataset.pipeline[1].type: CheckpointHook is a hook, not a transform',
        ),
        ({'train_dataloader__collate_fn': dict(type='psuedo_collate')}, 'did you mean pseudo_collate'),
        (
            {'train_cfg': dict(by_epoch=True, max_epoch=1)},
            'train_cfg.max_epoch: unexpected, did you mean max_epochs?',
        ),
        (
            {'model__head': dict(type='mmfas.PrototypeHead', domains=('C',))},
            "custom_hooks: mmfas.PrototypeHead of model.head needs dict(type='PrototypeRefreshHook')",
        ),
        ({'train_cfg': dict(by_epoch=False)}, 'train_cfg.max_iters: missing, IterBasedTrainLoop needs it'),
        (
            {'optim_wrapper__optimizer__weight_deca': 0},
            'optim_wrapper.optimizer.weight_deca: unexpected, did you mean',
        ),
        ({'optim_wrapper': dict(type='OptimWrapper')}, 'optim_wrapper.optimizer: missing, OptimWrapper needs it'),
        ({'optim_wrapper__constructor': 'DefaultOptimWraperConstructor'}, 'optim_wrapper.constructor: '),
        ({'param_scheduler__0__T_maxx': 2}, 'param_scheduler[0].T_maxx: unexpected'),
        (
            {'default_hooks__checkpont': dict(type='CheckpointHook')},
            'default_hooks.checkpont: unexpected, did you mean',
        ),
        (
            {'default_hooks__logger__intervall': 1},
            'default_hooks.logger.intervall: unexpected, did you mean interval?',
        ),
        (
            {'custom_hooks__0__type': 'EMAHok'},
            "custom_hooks[0].type: 'EMAHok' is not in the hook registry; did you mean",
        ),
        ({'visualizer__vis_backends__0__type': 'LocalVisBackendd'}, 'did you mean LocalVisBackend'),
        ({'log_processor__windowsize': 1}, 'log_processor.windowsize: unexpected, did you mean window_size?'),
        ({'modle': {}}, 'modle: unexpected, did you mean model?'),
        ({'train_dataloder': LOADER}, 'train_dataloder: unexpected, did you mean'),
        ({'val_dataloader': LOADER}, 'val_evaluator: missing, it goes together with val_dataloader'),
        ({'val_evaluator': dict(type='FASMetrc')}, 'did you mean FASMetric'),
        (
            {'model__neck': 'ConcatNeck'},
            "model.neck: must be a dict, got 'ConcatNeck'; write dict(type='ConcatNeck')",
        ),
        ({'model__neck': 'ConcatNek'}, "model.neck: must be a dict with a type, got 'ConcatNek'"),
        ({'model__head__loss': 'CrossEntropyLoss'}, "model.head.loss: must be a dict, got 'CrossEntropyLoss'; "),
        ({'model__trunk__vit': 'VisionTransformer'}, "model.trunk.vit: must be a dict, got 'VisionTransformer'"),
        ({'model__head__dropout': '0.1'}, "model.head.dropout: must be a number, got '0.1'"),
        ({'model__modalities': 3}, 'model.modalities: must be a list of strings, got 3'),
        ({'optim_wrapper__optimizer__lr': 'abc'}, "optim_wrapper.optimizer.lr: must be a number, got 'abc'"),
        (
            {'optim_wrapper__optimizer__betas': (0.9, 'a')},
            "optim_wrapper.optimizer.betas: must be a list of 2 numbers, got (0.9, 'a')",
        ),
        ({'optim_wrapper__optimizer': 'AdamW'}, 'optim_wrapper.optimizer: must be a dict, got'),
        ({'optim_wrapper__clip_grad': 1.0}, 'optim_wrapper.clip_grad: must be a dict, got 1.0'),
        ({'param_scheduler__0__T_max': 'ten'}, 'param_scheduler[0].T_max: must be an integer or None, got'),
        (
            {'custom_hooks': ['EMAHook']},
            "custom_hooks[0]: must be a dict, got 'EMAHook'; write dict(type='EMAHook')",
        ),
        ({'default_hooks__logger': 'LoggerHook'}, "default_hooks.logger: must be a dict, got 'LoggerHook'; "),
        ({'default_hooks__logger__interval': 'often'}, 'default_hooks.logger.interval: must be an integer, got'),
        (
            {'train_dataloader__dataset__pipeline': ['PackFASInputs']},
            "train_dataloader.dataset.pipeline[0]: must be a dict, got 'PackFASInputs'; ",
        ),
        ({'train_dataloader__num_workers': 1.5}, 'train_dataloader.num_workers: must be an integer, got 1.5'),
        ({'train_cfg__max_epochs': 'ten'}, "train_cfg.max_epochs: must be an integer, got 'ten'"),
        ({'train_cfg__max_epochs': 0}, 'train_cfg.max_epochs: must be at least 1, got 0'),
        ({'train_dataloader__batch_size': 0}, 'train_dataloader.batch_size: must be at least 1, got 0'),
        ({'train_dataloader__num_workers': -1}, 'train_dataloader.num_workers: must be at least 0, got -1'),
        (
            {'extra_test_dataloaders': {'W': {**LOADER, 'batch_size': -2}}},
            'extra_test_dataloaders.W.batch_size: must be at least 1, got -2',
        ),
        (
            {'optim_wrapper__optimizer__lr': float('nan')},
            'optim_wrapper.optimizer.lr: must be a finite number, 0 or more, got nan',
        ),
        ({'optim_wrapper__optimizer__lr': -1e-3}, 'optim_wrapper.optimizer.lr: must be a finite number'),
        ({'optim_wrapper__optimizer__lr': float('inf')}, 'optim_wrapper.optimizer.lr: must be a finite number'),
        (
            {'train_dataloader__dataset__modalities': ('rgb', 'thermal')},
            "train_dataloader.dataset.modalities: must be one or more of ('rgb', 'depth', 'ir'), each once and in "
            "this order, got ('rgb', 'thermal')",
        ),
        (
            {
                'train_dataloader__dataset': dict(
                    type='ConcatDataset', datasets=[{**LOADER['dataset'], 'modalities': 'nir'}]
                )
            },
            'train_dataloader.dataset.datasets[0].modalities: must be one or more of',
        ),
        (
            {'randomness': dict(seed=0, deterministic='yes')},
            'randomness.deterministic: must be True or False, got',
        ),
        ({'randomness': dict(sed=0)}, 'randomness.sed: unexpected, did you mean seed?'),
        ({'resume': 'last'}, "resume: must be True or False, got 'last'"),
        ({'model': 'MultiModalFAS'}, "model: must be a dict, got 'MultiModalFAS'; "),
    ],
)
def test_one_slip_is_found(changes: dict[str, Any], expected: str) -> None:
    problems = check_config(broken(**changes))
    assert len([problem for problem in problems if expected in problem]) == 1, problems


RULE = 'default_hooks.checkpoint.rule'


def _best(metric: str | list[str], rule: str | list[str] | None) -> dict[str, Any]:
    return {'default_hooks__checkpoint__save_best': metric, 'default_hooks__checkpoint__rule': rule}


def _validated(evaluator: Any, **changes: Any) -> dict[str, Any]:
    return broken(val_dataloader=LOADER, val_cfg={}, val_evaluator=evaluator, **changes)


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        (_best('dev/hter', 'less'), []),
        (_best(['dev/auc', 'auto'], None), []),
        (_best(['dev/auc', 'dev/hter'], ['greater', 'less']), []),
        (_best('dev/threshold', 'greater'), []),
        (_best('dev/hter', None), [f"{RULE}: say which values of 'dev/hter' are better: rule='less'"]),
        (
            _best('dev/threshold', None),
            [f"{RULE}: say which values of 'dev/threshold' are better: rule='less' or"],
        ),
        (
            _best('dev/auc', 'less'),
            [f"{RULE}: takes 'less' values of 'dev/auc' for better, but 'greater' ones are"],
        ),
        (_best(['dev/auc', 'dev/eer'], 'greater'), [f"{RULE}: takes 'greater' values of 'dev/eer' for better"]),
        (
            {'custom_hooks': [dict(type='EMAHook'), dict(type='EarlyStoppingHook', monitor='dev/acer_max')]},
            ["custom_hooks[1].rule: say which values of 'dev/acer_max' are better: rule='less'"],
        ),
        (
            {'param_scheduler': [dict(type='ReduceOnPlateauLR', monitor='dev/auc')]},
            ["param_scheduler[0].rule: takes 'less' values of 'dev/auc' for better, but 'greater' ones are"],
        ),
        ({'param_scheduler': dict(type='ReduceOnPlateauLR', monitor='dev/eer')}, []),
        (
            {'default_hooks__checkpoint__save_best': 'hter'},
            ["default_hooks.checkpoint.save_best: val_evaluator never gives 'hter', did you mean dev/hter?"],
        ),
        (
            _best(['dev/eer', 'dev/bpce'], 'less'),
            ["default_hooks.checkpoint.save_best: val_evaluator never gives 'dev/bpce', did you mean dev/bpcer?"],
        ),
        (
            {'custom_hooks': [dict(type='EMAHook'), dict(type='EarlyStoppingHook', monitor='accuracy/top1')]},
            [
                "custom_hooks[1].monitor: val_evaluator never gives 'accuracy/top1', it gives dev/threshold, "
                'dev/hter, dev/bpcer, dev/apcer_max, dev/acer_max, dev/acer_pooled, dev/auc, dev/eer'
            ],
        ),
        (
            {'param_scheduler': dict(type='ReduceOnPlateauLR', monitor='dev/hters')},
            ["param_scheduler.monitor: val_evaluator never gives 'dev/hters', did you mean dev/hter?"],
        ),
    ],
)
def test_watched_metrics_must_be_given(changes: dict[str, Any], expected: list[str]) -> None:
    metric = dict(type='FASMetric')
    for evaluator in (metric, [metric], dict(type='Evaluator', metrics=[metric])):
        problems = check_config(_validated(evaluator, **changes))
        assert len(problems) == len(expected)
        assert all(problem.startswith(start) for problem, start in zip(problems, expected)), problems


def test_metrics_that_do_not_say_what_they_give_are_trusted() -> None:
    best = {'default_hooks__checkpoint__save_best': 'accuracy/top1'}
    assert check_config(broken(**best)) == []  # no validation: nothing is watched
    evaluator = [dict(type='FASMetric'), dict(type='mmpretrain.Accuracy')]
    assert check_config(_validated(evaluator, **best)) == []
    assert check_config(_validated(dict(type='FASMetric', prefix='target'), **best)) != []
    best = _best('target/hter', 'less')
    assert check_config(_validated(dict(type='FASMetric', prefix='target'), **best)) == []


def test_all_problems_are_reported_together_and_only_those() -> None:
    problems = check_config(
        broken(
            model__head__drop_out=0.1,
            model__neck='ConcatNeck',
            train_dataloader__sampler__shufle=True,
            optim_wrapper__optimizer__lr='abc',
            custom_hooks__0__type='EMAHok',
        )
    )
    assert [problem.partition(':')[0] for problem in problems] == [
        'model.neck',
        'model.head.drop_out',
        'train_dataloader.sampler.shufle',
        'optim_wrapper.optimizer.lr',
        'custom_hooks[0].type',
    ]


def test_nothing_is_built_while_something_else_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmfas.registry import BACKBONES, MODELS

    MODELS.import_from_location()
    built = []
    monkeypatch.setattr(BACKBONES, 'build', lambda *args, **kwargs: built.append(args))
    monkeypatch.setattr(MODELS, 'build', lambda *args, **kwargs: built.append(args))
    assert check_config(broken(model__head__dropt=0.1)) != []
    assert built == []


def test_the_config_is_left_alone() -> None:
    before = copy.deepcopy(GOOD)
    assert check_config(GOOD) == []
    assert before == GOOD


def test_classes_may_stand_for_names() -> None:
    from mmengine.hooks import EMAHook

    assert check_config(broken(custom_hooks=[dict(type=EMAHook)])) == []
    assert check_config(broken(custom_hooks=[dict(type='mmengine.hooks.EMAHook')])) == []


def test_missing_model_and_empty_data(tmp_path: Path) -> None:
    assert check_config({}) == check_config({'model': None}) == ['model: missing, a config needs it']
    cfg = broken(train_dataloader__dataset__data_root=str(tmp_path))
    assert check_config(cfg) == []
    (problem,) = check_config(cfg, check_data=True)
    assert problem.startswith('train_dataloader.dataset.data_root: the folder ')
    (tmp_path / 'list.txt').touch()
    assert check_config(cfg, check_data=True) == []


def test_models_of_other_toolkits_are_bound_too() -> None:
    model = dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(type='mmpretrain.VisionTransformer', arch='b', norm_cfg=dict(type='LN', eps=1e-6)),
        head=dict(type='mmpretrain.LinearClsHead', num_classes=2, in_channels=4, los=1),
    )
    problems = check_config(broken(model=model))
    assert problems == ['model.head.los: unexpected, did you mean loss?']


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_shipped_configs_have_no_problem(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if path.stem.startswith('flip_clip'):
        pytest.importorskip('open_clip', reason="open_clip is missing: pip install 'mmfas[clip]'")
    if '_efficientnet-' in path.stem:
        pytest.importorskip('timm', reason="timm is missing: pip install 'mmfas[timm]'")
    monkeypatch.syspath_prepend(REPO)  # projects are imported by their path
    assert check_config(Config.fromfile(path)) == []


def test_shipped_configs_were_found() -> None:
    in_projects = [path for path in LEAVES if 'projects' in path.relative_to(REPO).parts]
    assert len(LEAVES) == len(list((REPO / 'configs').glob('[!_]*/**/*.py'))) + len(in_projects)
    assert len(in_projects) >= 1


def test_data_that_cannot_be_sampled_in_balance_are_found(tmp_path: Path) -> None:
    (tmp_path / 'own.csv').write_text('rgb,label\na.png,1\nb.png,0\n')
    dataset = dict(type='MultiModalFaceDataset', ann_file='own.csv', data_root=str(tmp_path))
    cfg = Config.fromfile(REPO / 'configs/baselines/concat_mini-vit_1xb32-12e_synthfas-cps2w.py').to_dict()
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[key]['dataset'] = {**dataset}
    assert check_config(cfg, check_data=True) == []
    (problem,) = sampling_problems(cfg)
    assert problem.startswith('train_dataloader: DomainClassBalancedSampler balances domains, but that of all 2')
    cfg['train_dataloader']['dataset']['domain'] = 'own'
    assert sampling_problems(cfg) == []
