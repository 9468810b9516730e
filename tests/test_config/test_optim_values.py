"""Settings of an optimizer wrapper that mean nothing or turn training round are refused by the check."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from mmengine.optim import DefaultOptimWrapperConstructor
from test_check import broken

from mmfas.config.check import check_config
from mmfas.config.optim_values import optim_wrapper_problems
from mmfas.utils.optim_options import PARAMWISE_KEYS

pytestmark = pytest.mark.engine
NAN, INF = float('nan'), float('inf')
WRAPPERS = [
    dict(type='OptimWrapper'),
    dict(type='AmpOptimWrapper'),
    dict(type='GradientModulationOptimWrapper', modulator=dict(type='Sum')),
    dict(type='AmpGradientModulationOptimWrapper', modulator=dict(type='Sum')),
]


def problems_of(wrapper: dict[str, Any] | None = None, **options: Any) -> list[str]:
    """Check the good config with another optimizer wrapper; `optimizer` adds to AdamW."""
    optimizer = {'type': 'AdamW', 'lr': 1e-3, 'weight_decay': 0.1, **options.pop('optimizer', {})}
    optimizer = {key: value for key, value in optimizer.items() if value is not None}
    return check_config(broken(optim_wrapper={**(wrapper or WRAPPERS[0]), 'optimizer': optimizer, **options}))


@pytest.mark.parametrize('wrapper', WRAPPERS, ids=lambda wrapper: wrapper['type'])
@pytest.mark.parametrize(
    ('clip_grad', 'expected'),
    [
        (dict(max_norm=-1.0), 'max_norm: must be above 0: -1.0 would turn gradients round'),
        (dict(max_norm=0), 'max_norm: must be above 0: with 0 nothing is trained'),
        (dict(max_norm=NAN), 'max_norm: must be a number, got nan'),
        (dict(max_norm=-INF), 'max_norm: must be above 0: -inf would turn'),
        (dict(max_norm='1.0'), "max_norm: must be a number, got '1.0'"),
        (dict(max_norm=True), 'max_norm: must be a number, got True'),
        (dict(max_norm=None), 'max_norm: must be a number, got None'),
        (dict(max_nrm=1.0), 'max_nrm: unexpected, did you mean max_norm?'),
        (dict(max_norm=1.0, norm_typ=2), 'norm_typ: unexpected, did you mean norm_type?'),
        (dict(max_norm=1.0, norm_type=-2), "norm_type: must be a number above 0 or 'inf', got -2"),
        (dict(max_norm=1.0, error_if_nonfinite=1), 'error_if_nonfinite: must be True or False, got 1'),
        (dict(type='value', clip_value=-0.5), 'clip_value: must be above 0: -0.5 would turn'),
        (dict(type='values', clip_value=0.5), "type: must be 'norm' or 'value', got 'values'"),
        (dict(type=['norm'], max_norm=1.0), "type: must be 'norm' or 'value', got ['norm']"),
        (dict(type='value'), "clip_value: missing, clip_grad of type 'value' needs it"),
        ({}, "max_norm: missing, clip_grad of type 'norm' needs it"),
    ],
    ids=str,
)
def test_clipping_that_no_training_can_mean(
    wrapper: dict[str, Any], clip_grad: dict[str, Any], expected: str
) -> None:
    (problem,) = problems_of(wrapper, clip_grad=clip_grad)
    assert problem.startswith(f'optim_wrapper.clip_grad.{expected}')


@pytest.mark.parametrize(
    'clip_grad',
    [
        None,
        dict(max_norm=1),
        dict(max_norm=INF, norm_type='inf'),  # clips nothing, logs the norm
        dict(type='value', clip_value=0.1),
        dict(type='norm', max_norm=35, norm_type=2, error_if_nonfinite=False, foreach=None),
    ],
    ids=str,
)
def test_clipping_that_works(clip_grad: dict[str, Any] | None) -> None:
    assert problems_of(clip_grad=clip_grad) == []


@pytest.mark.parametrize(
    ('paramwise', 'expected'),
    [
        (dict(norm_decay_mul=0.0), 'norm_decay_mul: unexpected, did you mean norm_decay_mult?'),
        (dict(bias_decay_mults=0.0), 'bias_decay_mults: unexpected, did you mean bias_decay_mult?'),
        (dict(groups=0.7), 'groups: unexpected, paramwise_cfg takes bias_decay_mult, '),
        (dict(custom_key={}), 'custom_key: unexpected, did you mean custom_keys?'),
        (dict(norm_decay_mult=-1.0), 'norm_decay_mult: must be a finite number, 0 or more, got -1.0'),
        (dict(bias_lr_mult=NAN), 'bias_lr_mult: must be a number, got nan'),
        (dict(flat_decay_mult='0'), "flat_decay_mult: must be a finite number, 0 or more, got '0'"),
        (dict(bypass_duplicate='yes'), "bypass_duplicate: must be True or False, got 'yes'"),
        (dict(custom_keys=['trunk']), 'custom_keys: must be a dict from part of a name to dict(lr_mult=...), got'),
        (
            dict(custom_keys=dict(trunk=0.1)),
            'custom_keys.trunk: must be a dict such as dict(lr_mult=0.1), got 0.1',
        ),
        (
            dict(custom_keys=dict(trunk=dict(lr_mul=0.1))),
            'custom_keys.trunk.lr_mul: unexpected, did you mean lr_mult?',
        ),
        (dict(custom_keys=dict(neck=dict(lr_mult=-1))), 'custom_keys.neck.lr_mult: must be a finite number, 0 or'),
        (dict(custom_keys={'a.b': dict(decay_mult=INF)}), 'custom_keys.a.b.decay_mult: must be a finite number'),
        (dict(custom_keys=dict(head=dict(lr='low'))), "custom_keys.head.lr: must be a number, got 'low'"),
        (dict(custom_keys=dict(head=dict(lr=-1e-3))), 'custom_keys.head.lr: must be a finite number, 0 or more'),
    ],
    ids=str,
)
def test_factors_of_parameters(paramwise: dict[str, Any], expected: str) -> None:
    (problem,) = problems_of(paramwise_cfg=paramwise)
    assert problem.startswith(f'optim_wrapper.paramwise_cfg.{expected}')


@pytest.mark.parametrize('kind', [['X', 3], {'type': 'X'}, 5, None, 'NoSuchOptimizer'])
def test_factors_survive_an_optimizer_of_no_type(kind: Any) -> None:
    optimizer = dict(type=kind, lr=0.1, weight_decay=0.1)
    paramwise = dict(custom_keys=dict(trunk=dict(lr_mult=-1.0)))
    (problem,) = optim_wrapper_problems(dict(optimizer=optimizer, paramwise_cfg=paramwise), 'mmfas')
    assert problem.startswith('optim_wrapper.paramwise_cfg.custom_keys.trunk.lr_mult: must be a finite number')


def test_factors_that_work() -> None:
    custom = {'trunk.vit': dict(lr_mult=0.1), 'cls_token': dict(decay_mult=0.0, betas=(0.9, 0.95), lr=0.0)}
    assert problems_of(paramwise_cfg=dict(norm_decay_mult=0.0, bypass_duplicate=True, custom_keys=custom)) == []
    assert problems_of(paramwise_cfg={}) == problems_of(paramwise_cfg=None) == []


def test_a_factor_needs_what_it_is_a_factor_of() -> None:
    """mmengine ends with a bare error, or takes no notice of `flat_decay_mult`."""
    (problem,) = problems_of(paramwise_cfg=dict(flat_decay_mult=0.0), optimizer=dict(weight_decay=None))
    assert problem == (
        'optim_wrapper.paramwise_cfg.flat_decay_mult: is a factor of optimizer.weight_decay, which is not set; '
        'set it, or take the factor out'
    )
    custom = dict(custom_keys=dict(trunk=dict(lr_mult=0.1), neck=dict(decay_mult=0)))
    (problem,) = problems_of(paramwise_cfg=custom, optimizer=dict(lr=None))
    assert problem == 'optim_wrapper.paramwise_cfg.custom_keys: needs optimizer.lr, which is not set; set it'


def test_keys_are_those_that_mmengine_reads() -> None:
    source = inspect.getsource(DefaultOptimWrapperConstructor)
    assert all(f"paramwise_cfg.get('{key}'" in source for key in PARAMWISE_KEYS)
    assert source.count('paramwise_cfg.get(') == len(PARAMWISE_KEYS)


@pytest.mark.parametrize(
    ('optimizer', 'expected'),
    [
        (dict(lr=0.0), 'lr: must be above 0: nothing would be trained, got 0.0'),
        (dict(betas=(1.5, 0.9)), 'betas: must be numbers in [0, 1), got (1.5, 0.9)'),
        (dict(betas=(0.9, NAN)), 'betas: must be numbers in [0, 1), got (0.9, nan)'),
        (dict(eps=-1e-8), 'eps: must be a finite number, 0 or more'),
        (dict(eps=NAN), 'eps: must be a finite number, 0 or more'),
        (dict(weight_decay=-0.1), 'weight_decay: must be a finite number, 0 or more'),
        (dict(maximize=True), 'maximize: would climb the loss; take it out, got True'),
        (dict(type='SGD', momentum=1.0), 'momentum: must be in [0, 1), got 1.0'),
        (dict(type='SGD', momentum=-0.9), 'momentum: must be in [0, 1), got -0.9'),
        (dict(type='SGD', momentum=0.9, dampening=2.0), 'dampening: must be in [0, 1], got 2.0'),
    ],
    ids=str,
)
def test_numbers_of_the_optimizer(optimizer: dict[str, Any], expected: str) -> None:
    (problem,) = problems_of(optimizer=optimizer)
    assert problem.startswith(f'optim_wrapper.optimizer.{expected}')


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (dict(accumulative_counts=0), 'accumulative_counts: must be an integer of at least 1, got 0'),
        (dict(accumulative_counts=-4), 'accumulative_counts: must be an integer of at least 1, got -4'),
        (dict(loss_scale=512), "loss_scale: must be 'dynamic', a float above 0 such as 512.0, or"),
        (dict(loss_scale=-1.0), "loss_scale: must be 'dynamic', a float above 0"),
        (dict(loss_scale=dict(init_scal=8.0)), 'loss_scale.init_scal: unexpected, did you mean init_scale?'),
        (dict(loss_scale=dict(growth_factor=0.5)), 'loss_scale.growth_factor: must be a number above 1'),
        (
            dict(loss_scale=dict(backoff_factor=2.0)),
            'loss_scale.backoff_factor: must be a number above 0 and below',
        ),
        (dict(dtype='fp16'), "dtype: must be one of ('float16', 'bfloat16', 'float32', 'float64'), got 'fp16'"),
    ],
    ids=str,
)
def test_numbers_of_the_wrapper(options: dict[str, Any], expected: str) -> None:
    (problem,) = problems_of(WRAPPERS[1], **options)
    assert problem.startswith(f'optim_wrapper.{expected}')


def test_several_wrappers_are_all_looked_at() -> None:
    one = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1), clip_grad=dict(max_norm=-2))
    several = dict(constructor='DefaultOptimWrapperConstructor', trunk=one, head=dict(one, clip_grad=None))
    assert check_config(broken(optim_wrapper=several)) == [
        'optim_wrapper.trunk.clip_grad.max_norm: must be above 0: -2 would turn gradients round'
    ]


def test_a_negative_limit_does_turn_gradients_round() -> None:
    """Why it is refused: torch takes it."""
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    weight.grad = torch.tensor([3.0, 4.0])
    torch.nn.utils.clip_grad_norm_([weight], max_norm=-1.0)
    assert (weight.grad < 0).all()
