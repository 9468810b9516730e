"""Parts that change themselves after every step: once per step, alike on all processes and after a resume."""

from __future__ import annotations

import copy
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from contracts.cases import build_model, make_batch
from mmengine.optim import OptimWrapper
from mmengine.runner import IterBasedTrainLoop
from torch import nn
from warm_python import warm_python

import mmfas
from mmfas.config.needed_hooks import missing_hooks
from mmfas.engine.hooks import AfterStepHook, after_step
from mmfas.models import HyperplaneHead, MultiModalFAS

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


# One program that forks twice: pytest's own process is never forked.
STEP = """
import multiprocessing, sys
from types import SimpleNamespace
import torch
import torch.distributed as dist
from contracts.cases import build_model, make_batch, perturb, take
from mmengine.optim import OptimWrapper
from mmfas.engine.hooks import AfterStepHook
from mmfas.models import FASDistributedDataParallel

folder = sys.argv[1]
torch.set_num_threads(1)

def steps(rank, world):
    core = perturb(build_model(neck='MutualMaskNeck', head='HyperplaneHead')).double().train()
    core.head.angular_weight = 0.0  # angles and information are those of one process
    core.neck.information = core.neck.information.__class__(weight=0.0)
    for norm in (m for m in core.modules() if hasattr(m, 'train_statistics')):
        norm.train_statistics = rank < 0
    model = core
    if world > 1:
        dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=world)
        model = FASDistributedDataParallel(core, find_unused_parameters=True)
    wrapper = OptimWrapper(torch.optim.SGD(core.parameters(), lr=0.1), accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 4)
    for number in range(4):
        batch = make_batch(8, seed=number)
        # the first process has domain C alone, the second W
        rows = [i for i in range(8) if world == 1 or (i // 2 % 2) == rank]
        model.train_step(take(batch, rows), wrapper)
        AfterStepHook().after_train_iter(SimpleNamespace(model=model, optim_wrapper=wrapper, epoch=0), number)
    if world > 1:
        norms = [m for m in core.modules() if hasattr(m, 'train_statistics')]
        norms[0].running_mean.fill_(rank)
        core.neck.after_step(0)
        assert (norms[0].running_mean == 0.5).all()
        norms[0].running_mean.zero_()
    torch.save(core.state_dict(), f'{folder}/{world}_{rank}.pth')
    if world > 1:
        dist.destroy_process_group()

steps(0, 1)
workers = [multiprocessing.get_context('fork').Process(target=steps, args=(rank, 2)) for rank in range(2)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join(60)
sys.exit([worker.exitcode for worker in workers] != [0, 0])
"""


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    paths = [str(Path(mmfas.__file__).parents[1]), str(tests), os.environ.get('PYTHONPATH', '')]
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join(paths), 'OMP_NUM_THREADS': '1'}
    result = subprocess.run(
        [warm_python(), '-c', STEP, str(tmp_path)], env=env, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr[-2000:]
    one, *both = (torch.load(tmp_path / name, weights_only=True) for name in ('1_0.pth', '2_0.pth', '2_1.pth'))
    assert one['head.is_trained'].tolist() == [True, True]
    for state in both:
        for name, value in one.items():
            if 'running' not in name:
                torch.testing.assert_close(state[name], value, rtol=0, atol=1e-10, msg=name)
    assert all(torch.equal(both[0][name], value) for name, value in both[1].items())
