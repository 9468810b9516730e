"""Parts that change themselves after every step: once per step, alike on all processes and after a resume."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from contracts.cases import build_model, make_batch, perturb, take
from mmengine.optim import OptimWrapper
from mmengine.runner import IterBasedTrainLoop
from ranks import run_group
from torch import Tensor, nn

from mmfas.config.needed_hooks import missing_hooks
from mmfas.engine.hooks import AfterStepHook, after_step
from mmfas.models import FASDistributedDataParallel, HyperplaneHead, MultiModalFAS

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures('small_and_quiet')]


class Counter(nn.Module):
    """A part deep in a model."""

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[int] = []

    def after_step(self, epoch: int) -> None:
        self.epochs.append(epoch)


def runner_of(model: nn.Module, wrapper: OptimWrapper | None = None, epoch: int = 0) -> Any:
    return SimpleNamespace(model=model, optim_wrapper=wrapper, epoch=epoch, train_loop=None, max_epochs=3)


def test_once_for_each_step_however_many_batches_it_has() -> None:
    layer, counter = nn.Linear(1, 1), Counter()
    model = nn.ModuleList([layer, nn.Sequential(counter)])
    wrapper = OptimWrapper(torch.optim.SGD(layer.parameters(), lr=0.1), accumulative_counts=3)
    wrapper.initialize_count_status(model, 0, 8)
    hook, runner, weights = AfterStepHook(), runner_of(model, wrapper), []
    hook.before_train(runner)
    for number in range(8):
        runner.epoch = number // 4
        with wrapper.optim_context(model):
            loss = layer(torch.ones(1, 1)).sum()
        wrapper.update_params(loss)
        hook.after_train_iter(runner, number)
        weights.append(float(layer.weight))
    steps = [i for i in range(8) if weights[i] != (weights[i - 1] if i else weights[1])]
    assert counter.epochs == [0, 1, 1] and steps == [2, 5, 7]


def test_a_model_without_such_parts_is_refused() -> None:
    with pytest.raises(TypeError, match='AfterStepHook needs a part with `after_step`, but the model has none'):
        AfterStepHook().before_train(runner_of(nn.Linear(1, 1)))


@pytest.mark.parametrize(('first', 'warned'), [(0, False), (2, False), (3, True)])
def test_hyperplane_steps_that_no_epoch_reaches_are_warned_of(
    first: int, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = HyperplaneHead(
        ('C', 'W'), hyperplanes=dict(align_epoch=first), spec=dict(modalities=('rgb',), fused_dims=4)
    )
    lines: list[str] = []
    monkeypatch.setattr(after_step, 'print_log', lambda text, **_: lines.append(text))
    AfterStepHook().before_train(runner_of(head))
    assert [line.partition(' has no')[0] for line in lines] == (
        ['model.head.hyperplanes.align_epoch=3'] if warned else []
    )
    by_iterations = IterBasedTrainLoop.__new__(IterBasedTrainLoop)
    AfterStepHook().before_train(SimpleNamespace(model=head, train_loop=by_iterations, max_epochs=1))
    assert len(lines) == warned + (first > 0)


def train(model: MultiModalFAS, wrapper: OptimWrapper, steps: range) -> None:
    for number in steps:
        model.train()
        model.train_step(make_batch(4, seed=number), wrapper)
        AfterStepHook().after_train_iter(runner_of(model, wrapper, epoch=number // 2), number)


def test_a_resumed_run_goes_on_as_if_it_had_not_been_interrupted() -> None:
    def fresh() -> tuple[MultiModalFAS, OptimWrapper]:
        model = build_model(head='HyperplaneHead')
        return model, OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))

    (whole, wrapper), (first, first_wrapper), (second, second_wrapper) = fresh(), fresh(), fresh()
    train(whole, wrapper, range(4))
    train(first, first_wrapper, range(2))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    second_wrapper.load_state_dict(copy.deepcopy(first_wrapper.state_dict()))
    train(second, second_wrapper, range(2, 4))
    assert whole.head.is_trained.all()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_configs_without_the_hook_are_reported() -> None:
    head = dict(type='HyperplaneHead', domains=('C',), prototype_weight=0.3)
    cfg = dict(model=dict(head=head, neck=dict(type='MutualMaskNeck')), train_cfg={}, custom_hooks=[])
    lines = list(missing_hooks(cfg, 'mmfas'))
    assert len(lines) == 3 and sum('AfterStepHook' in line for line in lines) == 2
    assert any('HyperplaneHead of model.head needs' in line and 'PrototypeRefreshHook' in line for line in lines)
    cfg['custom_hooks'] = [dict(type='AfterStepHook')]
    head['prototype_weight'] = 0.0
    assert list(missing_hooks(cfg, 'mmfas')) == []


def steps(rank: int, folder: Path | None = None) -> dict[str, Tensor]:
    """Take four steps, with a folder as one of two processes; return the state after them."""
    core = perturb(build_model(neck='MutualMaskNeck', head='HyperplaneHead')).double().train()
    core.head.angular_weight = 0.0  # angles and information are those of one process
    core.neck.information = core.neck.information.__class__(weight=0.0)
    norms = [m for m in core.modules() if hasattr(m, 'train_statistics')]
    for norm in norms:
        norm.train_statistics = False
    model = core if folder is None else FASDistributedDataParallel(core, find_unused_parameters=True)
    wrapper = OptimWrapper(torch.optim.SGD(core.parameters(), lr=0.1), accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 4)
    for number in range(4):
        batch = make_batch(8, seed=number)
        # the first process has domain C alone, the second W
        rows = [i for i in range(8) if folder is None or (i // 2 % 2) == rank]
        model.train_step(take(batch, rows), wrapper)
        AfterStepHook().after_train_iter(SimpleNamespace(model=model, optim_wrapper=wrapper, epoch=0), number)
    if folder is not None:
        norms[0].running_mean.fill_(rank)
        core.neck.after_step(0)
        assert (norms[0].running_mean == 0.5).all()
        norms[0].running_mean.zero_()
    return core.state_dict()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    one, both = steps(0), run_group(steps, tmp_path)
    assert one['head.is_trained'].tolist() == [True, True]
    for state in both:
        for name, value in one.items():
            if 'running' not in name:
                torch.testing.assert_close(state[name], value, rtol=0, atol=1e-10, msg=name)
    assert all(torch.equal(both[0][name], value) for name, value in both[1].items())
