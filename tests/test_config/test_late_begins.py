"""What begins after the end of the training: hooks are refused, schedules are noted."""

from __future__ import annotations

from typing import Any

import pytest
from config_samples import LOADER, changed
from mmengine.hooks import EMAHook

from mmfas.config.check import check_config
from mmfas.config.late_begins import Length, late_hooks, late_schedules
from mmfas.config.monitored import unwatched

pytestmark = pytest.mark.engine
EARLY = dict(type='EarlyStoppingHook', monitor='dev/hter', rule='less', patience=2)
VAL = dict(val_dataloader=LOADER, val_cfg={}, val_evaluator=dict(type='FASMetric', split='dev'))
ITERS = dict(by_epoch=False, max_iters=10)
LATE = dict(type='LinearLR', by_epoch=False, begin=10)
BY_ITER = dict(train_cfg=ITERS, param_scheduler__0=dict(type='LinearLR', by_epoch=False))


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        (
            dict(default_hooks__checkpoint__save_begin=3),
            'default_hooks.checkpoint.save_begin: 3 is after the end, 2',
        ),
        (dict(custom_hooks__0__begin_epoch=3), 'custom_hooks[0].begin_epoch: 3 is after the end, 2 epochs'),
        (
            dict(**BY_ITER, custom_hooks__0__begin_iter=11),
            'custom_hooks[0].begin_iter: 11 is after the end, 10 iterations',
        ),
        (
            dict(default_hooks__checkpoint__interval=3, default_hooks__checkpoint__save_last=False),
            'default_hooks.checkpoint.interval: 3 in a training of 2 epochs with save_last=False',
        ),
        (
            dict(default_hooks__checkpoint__interval=-1, default_hooks__checkpoint__save_last=False),
            'default_hooks.checkpoint.interval: -1 in a training of 2 epochs with save_last=False',
        ),
        (
            dict(**BY_ITER, custom_hooks__0__interval=11),
            'custom_hooks[0].interval: 11 is above 10 iterations: the average, which is saved as the model',
        ),
    ],
)
def test_hooks(changes: dict[str, Any], expected: str) -> None:
    problems = check_config(changed(**changes))
    assert len(problems) == 1 and problems[0].startswith(expected), problems


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        (dict(param_scheduler__0__begin=2), 'param_scheduler[0].begin: 2 is not before the end, 2 epochs'),
        (dict(param_scheduler=dict(type='MultiStepLR', milestones=[8, 11])), 'param_scheduler: first step 8'),
        (dict(param_scheduler=dict(type='StepLR', step_size=2)), 'param_scheduler: first step 2 is'),
        (
            dict(train_cfg=ITERS, param_scheduler__0=LATE, default_hooks__checkpoint__by_epoch=False),
            'param_scheduler[0].begin: 10 is not before the end, 10 iterations',
        ),
        (
            dict(**VAL, custom_hooks__0=EARLY),
            'custom_hooks[0].patience: 2 of 2 validations: it stops nothing',
        ),
        (dict(custom_hooks__0=EARLY), 'custom_hooks[0].monitor: nothing is validated'),
        (
            dict(default_hooks__checkpoint__save_best='dev/hter', default_hooks__checkpoint__rule='less'),
            'default_hooks.checkpoint.save_best: nothing is validated',
        ),
        (
            dict(param_scheduler__0=dict(type='ReduceOnPlateauLR', monitor='dev/hter', rule='less')),
            'param_scheduler[0].monitor: nothing is validated',
        ),
    ],
)
def test_schedules_are_noted(changes: dict[str, Any], expected: str) -> None:
    notes: list[str] = []
    assert check_config(changed(**changes), notes=notes) == []
    assert len(notes) == 1 and notes[0].startswith(expected), notes


def test_lengths_of_epochs_are_known_once_there_is_a_loader() -> None:
    cfg = changed(custom_hooks__0__begin_iter=9, param_scheduler__0=dict(type='LinearLR', by_epoch=False, begin=8))
    assert check_config(cfg) == [] and list(late_schedules(cfg, Length.of(cfg['train_cfg']))) == []
    known = Length.of(cfg['train_cfg'], batches=4)
    assert list(late_hooks(cfg, known)) == [
        'custom_hooks[0].begin_iter: 9 is after the end, 8 iterations; it would do nothing, lower it'
    ]
    assert list(late_schedules(cfg, known)) == [
        'param_scheduler[0].begin: 8 is not before the end, 8 iterations; it does nothing'
    ]


def test_hooks_and_schedules_are_found_by_class_and_below_names() -> None:
    average = dict(type=EMAHook, interval=9)
    found = list(late_hooks(dict(custom_hooks=[average]), Length(iters=8.0)))
    assert len(found) == 1 and found[0].startswith('custom_hooks[0].interval: 9 is above 8 iterations')
    watching = dict(head=[dict(type='ReduceOnPlateauLR', monitor='dev/hter')])
    assert [line.partition(':')[0] for line in unwatched(dict(param_scheduler=watching))] == [
        'param_scheduler.head[0].monitor'
    ]


def test_what_begins_in_time_is_left_alone() -> None:
    notes: list[str] = []
    cfg = changed(
        default_hooks__checkpoint__save_begin=2, custom_hooks__0__begin_epoch=2, param_scheduler__0__begin=1
    )
    assert check_config(cfg, notes=notes) == notes == []


def test_check_sees_patterns_that_set_nothing() -> None:
    paramwise = dict(custom_keys=dict(trnk=dict(lr_mult=0.1), relative_position=dict(decay_mult=0.0)))
    notes: list[str] = []
    cfg = changed(optim_wrapper__paramwise_cfg=paramwise, optim_wrapper__optimizer__weight_decay=0.1)
    (problem,) = check_config(cfg, notes=notes)
    assert problem.startswith('optim_wrapper.paramwise_cfg.custom_keys.trnk: sets nothing, no parameter has it')
    assert [note.partition(':')[0] for note in notes] == [
        'optim_wrapper.paramwise_cfg.custom_keys.relative_position'
    ]


@pytest.mark.parametrize(
    ('optimizer', 'expected'),
    [
        (dict(type='SGD', lr=0.1, nesterov=True), 'Nesterov momentum requires a momentum'),
        (dict(type='Rprop', lr=0.1, etas=(2.0, 0.5)), 'Invalid eta values'),
        (dict(type='Adadelta', lr=0.1, rho=1.5), 'Invalid rho value'),
    ],
)
def test_an_optimizer_that_refuses_its_arguments(optimizer: dict[str, Any], expected: str) -> None:
    (problem,) = check_config(changed(optim_wrapper__optimizer=optimizer))
    assert problem.startswith(f'optim_wrapper.optimizer: {expected}')


def test_runs_that_would_train_nothing_or_climb_the_loss() -> None:
    rates = {name: dict(lr_mult=0.0) for name in ('trunk', 'head')}
    assert check_config(changed(optim_wrapper__paramwise_cfg=dict(custom_keys=rates))) == [
        'optim_wrapper.paramwise_cfg.custom_keys: every rate is 0, nothing would be trained'
    ]
    loss = dict(type='mmpretrain.CrossEntropyLoss', loss_weight=-1.0)
    problems = check_config(changed(model__head__loss=loss))
    assert problems[-1] == 'model.head.loss.loss_weight: must be a finite number, 0 or more, got -1.0'


PACK, RESIZE = dict(type='PackFASInputs'), dict(type='ResizeModalities', scale=(32, 32))


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        (dict(train_dataloader__dataset__pipeline=[RESIZE]), 'train_dataloader: a pipeline must end with Pack'),
        (dict(train_dataloader__dataset__pipeline=[PACK, RESIZE]), 'once, got PackFASInputs, ResizeModalities'),
        (dict(train_dataloader__dataset__pipeline=[PACK, PACK]), 'once, got PackFASInputs, PackFASInputs'),
        (dict(custom_hooks=[dict(type='EMAHook')] * 2), 'custom_hooks[1]: a second EMAHook would undo'),
        (dict(train_cfg=ITERS), 'param_scheduler[0]: would never step, as this loop counts iterations'),
        (dict(auto_scale_lr=dict(enable=True)), 'auto_scale_lr.base_batch_size: missing'),
        (dict(default_scope='nowhere'), 'default_scope: must be the name of a package that is installed'),
        (dict(work_dir='a\0'), 'work_dir: must hold no NUL'),
        (
            dict(VAL, val_evaluator=dict(type='FASMetric', split='dev', criterion='abc')),
            "val_evaluator: unknown threshold criterion 'abc'",
        ),
        (
            dict(VAL, val_evaluator=[], custom_hooks__0=EARLY),
            "custom_hooks[0].monitor: val_evaluator never gives 'dev/hter', it gives nothing",
        ),
        (dict(custom_hooks=[None]), 'custom_hooks[0]: must be a dict with a type, got None'),
    ],
)
def test_settings_that_nobody_means(changes: dict[str, Any], expected: str) -> None:
    (problem,) = check_config(changed(**changes))
    assert expected in problem


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        (dict(default_hooks__checkpoint__rule='less'), 'default_hooks.checkpoint.rule: is for save_best'),
        (dict(train_cfg__val_interval=2), 'train_cfg.val_interval: nothing is validated'),
        (BY_ITER, 'default_hooks.checkpoint: only the last checkpoint is written'),
        (dict(train_dataloader__dataset__modalities='rgb'), 'model.modalities: depth, ir of the model would be'),
    ],
)
def test_settings_that_may_be_inherited_are_noted(changes: dict[str, Any], expected: str) -> None:
    notes: list[str] = []
    assert check_config(changed(**changes), notes=notes) == []
    assert len(notes) == 1 and notes[0].startswith(expected), notes
