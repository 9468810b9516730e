"""Values of any kind and size: the check never fails, names each wrong one, and says all of them at once."""

from __future__ import annotations

from typing import Any

import pytest
from config_samples import GOOD, changed, places
from mmengine.runner.priority import Priority

from mmfas.config.check import check_config

pytestmark = pytest.mark.engine

NAN, INF = float('nan'), float('inf')


def named(**changes: Any) -> list[str]:
    return [line.partition(':')[0] for line in check_config(changed(**changes))]


def test_the_good_config_is_good() -> None:
    assert check_config(GOOD) == []


# No ids of their own: pytest cannot write the large integer down either.
@pytest.mark.parametrize(
    'value',
    [5, ['X', 3], {'a': [1]}, None, 'a..b', 1e400, 10**6000, {1: 2}],
    ids=lambda value: type(value).__name__,
)
def test_the_check_survives_any_value_anywhere(value: Any) -> None:
    for place in places(GOOD):
        told = check_config(changed(**{'__'.join(place): value}))
        assert not any('cannot be checked' in line for line in told), (place, told)
        assert all('\n' not in line for line in told)


@pytest.mark.parametrize(
    'place',
    ['model', 'model.neck', 'model.trunk.vit', 'optim_wrapper.optimizer', 'custom_hooks[0]', 'param_scheduler[0]'],
)
@pytest.mark.parametrize('value', [5, ['X', 3], {'X': 3}])
def test_a_type_that_is_no_name(place: str, value: Any) -> None:
    way = place.replace('[0]', '.0').replace('.', '__')
    assert f'{place}.type: must be a name or a class, got {value!r}' in check_config(
        changed(**{f'{way}__type': value})
    )


@pytest.mark.parametrize(
    ('key', 'value', 'expected'),
    [
        ('optim_wrapper', 5, 'optim_wrapper: must be a dict, got 5'),
        ('default_hooks', 5, 'default_hooks: must be a dict, got 5'),
        ('default_scope', 5, 'default_scope: must be a string, got 5'),
        ('custom_hooks', 'EMAHook', "custom_hooks: must be a dict, got 'EMAHook'; write dict(type='EMAHook')"),
        ('train_dataloader', [1], 'train_dataloader: must be a dict, got [1]'),
        ('env_cfg', 'fork', "env_cfg: must be a dict, got 'fork'"),
        ('work_dir', 3, 'work_dir: must be a string, got 3'),
        ('launcher', 'torchrun', "launcher: must be one of ('none', 'pytorch', 'slurm', 'mpi'), got 'torchrun'"),
        ('log_level', 'INFOO', 'did you mean INFO?'),
        ('log_level', 'info', 'did you mean INFO?'),
        (5, 1, '5: a key at the top must be a name'),
    ],
)
def test_kinds_at_the_top(key: Any, value: Any, expected: str) -> None:
    problems = check_config({**GOOD, key: value})
    assert len([line for line in problems if expected in line]) == 1, problems


def test_all_problems_are_said_at_once() -> None:
    told = named(
        optim_wrapper=5,
        default_scope=5,
        model__neck__type=['X', 3],
        randomness__seed=-1,
        custom_hooks__0__priority='FIRST',
        env_cfg__mp_cfg__mp_strat_method='fork',
        train_dataloader__dataset__type=7,
    )
    assert set(told) == {
        'optim_wrapper',
        'default_scope',
        'model.neck.type',
        'randomness.seed',
        'custom_hooks[0].priority',
        'env_cfg.mp_cfg.mp_strat_method',
        'train_dataloader.dataset.type',
    }


@pytest.mark.parametrize(
    ('place', 'wrong', 'right'),
    [
        ('randomness.seed', [-1, 2**32, 1 << 40, 1.5, 'abc', True], [None, 0, 2**32 - 1]),
        ('env_cfg.mp_cfg.opencv_num_threads', [-1, 'two'], [0, 4]),
        ('env_cfg.mp_cfg.mp_start_method', ['frok', 3], ['spawn']),
        ('env_cfg.dist_cfg.timeout', [0, 'long'], [1800]),
        ('auto_scale_lr.base_batch_size', [0, -32, 1.5], [256]),
        ('auto_scale_lr.enable', ['yes', 1], [True]),
        ('log_processor.window_size', [0, -1], [10]),
        ('default_hooks.checkpoint.interval', [0, -2, NAN], [-1, 1, 5]),
        (
            'default_hooks.checkpoint.rule',
            ['lower', 'min', ['less', 'lower']],
            ['less', ['less', 'greater'], None],
        ),
        ('default_hooks.checkpoint.max_keep_ckpts', [0, -3], [-1, 2]),
        ('default_hooks.logger.interval', [0], [20]),
        ('default_hooks.logger.priority', [101, -1, 'FIRST', 1.5], [0, 100, 'VERY_LOW', 'low', Priority.HIGH]),
        ('custom_hooks[0].priority', ['', [1]], ['ABOVE_NORMAL', 49]),
        ('model.head.dropout', [1.0, -0.1, NAN], [0.0, 0.5]),
        ('model.trunk.vit.drop_rate', [1.5, NAN, -1], [0.1]),
        ('model.trunk.vit.drop_path_rate', [1, INF], [0.2]),
        ('model.trunk.vit.patch_size', [0, -8, NAN], [4, 16]),
        ('model.trunk.vit.img_size', [0, NAN], [16, (32, 64)]),
        ('model.trunk.vit.arch.num_heads', [0], [1, 4]),
        ('param_scheduler[0].T_max', [0, -5], [1]),
        ('param_scheduler[0].eta_min', [NAN, -1, INF], [0.0]),
        ('param_scheduler[0].eta_min_ratio', [1.5, NAN], [0.01]),
        ('param_scheduler[0].begin', [-1], [0]),
        ('param_scheduler[0].end', [NAN, 0], [1]),
        ('param_scheduler[0].last_step', [-2], [-1]),
    ],
)
def test_values_have_ranges(place: str, wrong: list[Any], right: list[Any]) -> None:
    way = place.replace('[0]', '.0').replace('.', '__')
    for value in wrong:
        assert place in named(**{way: value}), value
    for value in right:
        assert check_config(changed(**{way: value})) == [], value


@pytest.mark.parametrize(
    ('scheduler', 'key'),
    [
        (dict(type='LinearLR', begin=5, end=5), 'end'),
        (dict(type='LinearLR', begin=5, end=2), 'end'),
        (dict(type='LinearLR', start_factor=-1.0), 'start_factor'),
        (dict(type='LinearLR', start_factor=0.0), 'start_factor'),
        (dict(type='ConstantLR', factor=1.5), 'factor'),
        (dict(type='ExponentialLR', gamma=-0.1), 'gamma'),
        (dict(type='StepLR', step_size=0), 'step_size'),
        (dict(type='MultiStepLR', milestones=[8, 4]), 'milestones'),
        (dict(type='MultiStepLR', milestones=[1.5]), 'milestones'),
        (dict(type='MultiStepLR', milestones=[]), 'milestones'),
        (dict(type='PolyLR', power=NAN), 'power'),
        (dict(type='CosineRestartLR', periods=[0, 3], eta_min=0.0), 'periods'),
        (dict(type='CosineRestartLR', periods=[2, 3], restart_weights=[1.0], eta_min=0.0), 'restart_weights'),
        (dict(type='CosineAnnealingLR', T_max=2, eta_min=0.0, eta_min_ratio=0.1), 'eta_min_ratio'),
        (dict(type='OneCycleLR', eta_max=0.1, total_steps=10, pct_start=2.0), 'pct_start'),
        (dict(type='ReduceOnPlateauLR', rule='lower'), 'rule'),
    ],
)
def test_schedules_can_be_followed(scheduler: dict[str, Any], key: str) -> None:
    assert named(param_scheduler=[scheduler]) == [f'param_scheduler[0].{key}']
    assert named(param_scheduler=scheduler) == [f'param_scheduler.{key}']


def test_schedules_that_are_right() -> None:
    both = [dict(type='LinearLR', start_factor=0.01, end=1), dict(type='MultiStepLR', milestones=[1, 3], begin=1)]
    assert check_config(changed(param_scheduler=both)) == []


@pytest.mark.parametrize(
    ('place', 'near'),
    [
        ('env_cfg.cudnn_benchmrk', 'cudnn_benchmark'),
        ('env_cfg.mp_cfg.opencv_threads', 'opencv_num_threads'),
        ('env_cfg.dist_cfg.backnd', 'backend'),
        ('auto_scale_lr.enabel', 'enable'),
        ('auto_scale_lr.batch_size', 'base_batch_size'),
        ('randomness.determinstic', 'deterministic'),
        ('log_processor.by_epochs', 'by_epoch'),
        ('custom_imports.import', 'imports'),
    ],
)
def test_misspelt_keys_of_plain_dictionaries(place: str, near: str) -> None:
    (problem,) = check_config(changed(**{place.replace('.', '__'): True}))
    assert problem.startswith(f'{place}: unexpected, did you mean {near}?')


def test_arguments_of_torch_may_stand_beside_the_backend() -> None:
    assert check_config(changed(env_cfg__dist_cfg__device_id=0)) == []


def test_sizes_must_go_together() -> None:
    for image, patch in ((63, 8), (32, 7), ((32, 30), 8), (32, (8, 5))):
        vit = dict(model__trunk__vit__img_size=image, model__trunk__vit__patch_size=patch)
        (problem,) = check_config(changed(**vit))
        assert problem == f'model.trunk.vit: img_size {image} must be a multiple of patch_size {patch}'
    (problem,) = check_config(changed(model__trunk__vit__arch__num_heads=3))
    assert problem == 'model.trunk.vit.arch: embed_dims 16 must be a multiple of num_heads 3'


def test_limits_of_depth_are_two_numbers_that_rise() -> None:
    def load(value: Any) -> list[str]:
        step = dict(type='LoadMultiModalImages', depth_range_mm=value)
        return named(train_dataloader__dataset__pipeline=[step, dict(type='PackFASInputs')])

    for value in ((1, 2, 3), '12', (5, 5), (9, 2), (0, NAN), (0, INF), 7, [], ('1', '2')):
        assert load(value) == ['train_dataloader.dataset.pipeline[0].depth_range_mm'], value
    assert load((300, 1500)) == load([300.0, 1500.0]) == load(None) == []


@pytest.mark.parametrize('number', ['-1', str(2**32), '1.5', 'x'])
def test_a_wrong_seed_of_a_command_is_refused_before_work_starts(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from mmfas.cli import benchmark, train
    from mmfas.cli.data import browse
    from mmfas.cli.measure import batch

    for main, arguments in (
        (train.main, [f'--seed={number}']),
        (browse.main, [f'--seed={number}']),
        (batch.main, [f'--seed={number}']),
        (benchmark.main, ['run', f'--seeds={number}']),
    ):
        with pytest.raises(SystemExit, match='2'):
            main([*arguments, 'config.py'])
        assert f'must be an integer from 0 to 4294967295, got {number!r}' in capsys.readouterr().err


def test_values_that_hold_themselves_are_a_problem() -> None:
    loop: dict[str, Any] = dict(type='ConcatNeck')
    loop['inner'] = loop
    assert any('holds itself' in line for line in check_config(changed(model__neck=loop)))


@pytest.mark.parametrize('value', [1.5, INF, True, NAN])
@pytest.mark.parametrize(
    'key',
    [
        'train_cfg__max_epochs',
        'train_dataloader__batch_size',
        'default_hooks__logger__interval',
        'param_scheduler__0__begin',
        'param_scheduler__0__T_max',
        'model__trunk__vit__arch__num_heads',
        'auto_scale_lr__base_batch_size',
    ],
)
def test_counts_are_integers(key: str, value: Any) -> None:
    place = key.replace('__0__', '[0].').replace('__', '.')
    assert place in named(**{key: value})


@pytest.mark.parametrize(
    ('key', 'value', 'place'),
    [
        ('model__head__loss', dict(type='CrossEntropyLoss', loss_weight=NAN), 'model.head.loss.loss_weight'),
        ('model__data_preprocessor', dict(type='FASDataPreprocessor', std=INF), 'model.data_preprocessor.std'),
        ('custom_hooks__0__momentum', NAN, 'custom_hooks[0].momentum'),
        ('optim_wrapper__optimizer__eps', NAN, 'optim_wrapper.optimizer.eps'),
    ],
)
def test_numbers_that_are_none(key: str, value: Any, place: str) -> None:
    assert place in named(**{key: value})


def test_what_is_never_validated_has_no_best_checkpoint() -> None:
    (problem,) = check_config(changed(train_cfg__val_begin=3))
    assert problem == 'train_cfg: val_begin 3 is after the end, 2: nothing would be validated; take it out'


@pytest.mark.parametrize(
    ('part', 'expected'),
    [
        (dict(type='RandomFlipModalities', prob=1.5), 'prob must lie in [0, 1], but got 1.5'),
        (dict(type='PhotometricModalities', brightness=(5, -5)), 'brightness must be (low, high)'),
        (dict(type='PhotometricModalities', gamma=(0.5, INF)), 'gamma must be (low, high)'),
        (dict(type='RandomResizedCropModalities', scale=32, area_range=(0, 2)), 'area_range must lie in (0, 1]'),
        (dict(type='ResizeModalities', scale=(0, 32)), 'a size must be positive'),
    ],
)
def test_values_that_a_transform_refuses(part: dict[str, Any], expected: str) -> None:
    pipeline = [part, dict(type='PackFASInputs')]
    (problem,) = check_config(changed(train_dataloader__dataset__pipeline=pipeline))
    assert problem.startswith(f'train_dataloader.dataset.pipeline[0]: {expected}')


def test_values_that_a_hook_refuses() -> None:
    hooks = [dict(type='EMAHook'), dict(type='PrototypeRefreshHook', momentum=2.0)]
    (problem,) = check_config(changed(custom_hooks=hooks))
    assert problem.startswith('custom_hooks[1]: share must lie in (0, 1] and momentum in [0, 1)')
