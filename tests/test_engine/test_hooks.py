"""The hooks on their own: seeds, NaN guard, early stopping, which checkpoints are kept."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.hooks import LoggerHook
from mmengine.logging import MessageHub
from torch.utils.data import ConcatDataset, Subset

from mmfas.engine.hooks import (
    LossGuardHook,
    ModulationLogHook,
    ResumableEarlyStoppingHook,
    SafeCheckpointHook,
    SampleSeedHook,
)
from mmfas.engine.hooks.checkpoint import find_nonfinite
from mmfas.engine.hooks.sample_seed import seed_process
from mmfas.registry import HOOKS
from mmfas.structures import FASDataSample
from mmfas.utils.checkpoint import CheckpointError
from mmfas.utils.dataset_epoch import set_dataset_epoch

pytestmark = pytest.mark.engine


class _Epochs(torch.utils.data.Dataset):
    metainfo: dict[str, Any] = {}

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def set_epoch(self, epoch: int, seed: int) -> None:
        self.calls.append((epoch, seed))

    def __len__(self) -> int:
        return 3


def _runner(**fields: Any) -> Any:
    base = dict(
        cfg={},
        epoch=2,
        iter=9,
        rank=0,
        seed=5,
        _randomness_cfg={},
        _load_from=None,
        _resume=False,
        logger=SimpleNamespace(info=lambda text: None),
    )
    return SimpleNamespace(**{**base, **fields})


def _draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_epoch_reaches_data_sets_through_wrappers() -> None:
    one, two = _Epochs(), _Epochs()
    wrapped = Subset(ConcatDataset([one, two]), [0, 1])
    assert set_dataset_epoch(wrapped, 1, 4) == 2
    assert set_dataset_epoch(torch.utils.data.TensorDataset(torch.ones(2)), 1, 4) == 0
    loader = SimpleNamespace(dataset=wrapped, sampler=SimpleNamespace(seed=1), batch_sampler=None)
    runner = _runner(train_dataloader=loader)
    SampleSeedHook().before_train(runner)
    SampleSeedHook().before_train_epoch(runner)
    assert loader.sampler.seed == 5
    assert one.calls == two.calls == [(1, 4), (2, 5)]


def test_a_sampler_keeps_the_seed_that_the_config_gives_it() -> None:
    loader = SimpleNamespace(dataset=_Epochs(), sampler=SimpleNamespace(seed=1), batch_sampler=None)
    cfg = dict(train_dataloader=dict(sampler=dict(type='DomainClassBalancedSampler', seed=1)))
    SampleSeedHook().before_train(_runner(train_dataloader=loader, cfg=cfg))
    assert loader.sampler.seed == 1


def test_draws_depend_on_seed_epoch_and_rank_alone() -> None:
    loader = SimpleNamespace(dataset=_Epochs(), sampler=None, batch_sampler=None)
    seen = set()
    for changes in ({}, dict(epoch=3), dict(rank=1), dict(seed=6)):
        SampleSeedHook().before_train_epoch(_runner(train_dataloader=loader, **changes))
        first = _draws()
        torch.rand(7)
        SampleSeedHook().before_train_iter(_runner(**changes), 0)
        assert _draws() == first
        SampleSeedHook().before_train_iter(_runner(**changes), 1)
        assert _draws() != first
        seen.add(first)
    assert len(seen) == 4


def test_ranks_with_seeds_of_their_own_share_the_base_seed() -> None:
    data = _Epochs()
    loader = SimpleNamespace(dataset=data, sampler=None, batch_sampler=None)
    runner = _runner(train_dataloader=loader, rank=3, seed=8, _randomness_cfg=dict(diff_rank_seed=True))
    SampleSeedHook().before_train_epoch(runner)
    assert data.calls == [(2, 5)]
    seed_process(0, 0, 0)


def _batch(num: int) -> dict[str, Any]:
    return dict(data_samples=[FASDataSample(metainfo=dict(sample_id=f's{i}')) for i in range(num)])


def test_guard_names_terms_and_samples() -> None:
    hook = LossGuardHook()
    hook.after_train_iter(_runner(), 0, _batch(2), dict(loss=torch.tensor(1.0)))
    outputs = dict(loss=torch.tensor(float('nan')), loss_ir=torch.tensor(float('inf')), loss_rgb=torch.tensor(0.1))
    message = r'^loss_ir is NaN or infinite at epoch 3, iteration 10 \(rank 0\); samples of the batch: s0, s1\.'
    with pytest.raises(FloatingPointError, match=message):
        hook.after_train_iter(_runner(), 0, _batch(2), outputs)


def test_guard_names_the_total_if_it_stands_alone() -> None:
    with pytest.raises(FloatingPointError, match='^loss is NaN.*s15 and 4 more'):
        LossGuardHook().after_train_iter(_runner(), 0, _batch(20), dict(loss=torch.tensor(float('inf'))))


def test_guard_on_a_device_waits_but_not_beyond_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mmfas.engine.hooks.loss_guard._is_free_to_read', lambda values: False)
    hook = LossGuardHook(interval=3)
    for _ in range(2):
        hook.after_train_iter(_runner(), 0, _batch(1), dict(loss=torch.tensor(float('nan'))))
    assert len(hook._pending) == 2
    with pytest.raises(FloatingPointError, match='iteration 10 '):
        hook.after_train_iter(_runner(), 0, _batch(1), dict(loss=torch.tensor(1.0)))
    hook._pending = [(4, ('loss',), ['s7'], torch.tensor([False]))]
    for event in (hook.after_train_epoch, lambda runner: hook.before_save_checkpoint(runner, {})):
        pending = list(hook._pending)
        with pytest.raises(FloatingPointError, match='iteration 5 .*s7'):
            event(_runner())
        hook._pending = pending


def test_guard_refuses_a_useless_interval() -> None:
    with pytest.raises(ValueError, match='at least 1'):
        LossGuardHook(interval=0)


def _stop_after(values: list[float], **options: Any) -> int | None:
    hook = ResumableEarlyStoppingHook('dev/hter', **options)
    runner = _runner(message_hub=MessageHub(f'hub_{values}_{options}'), train_loop=SimpleNamespace())
    for number, value in enumerate(values, start=1):
        runner.train_loop.stop_training = False
        hook.after_val_epoch(runner, {'dev/hter': value})
        if runner.train_loop.stop_training:
            return number
    return None


@pytest.mark.parametrize(
    ('values', 'options', 'stops'),
    [
        ([0.5, 0.4, 0.3, 0.2], dict(patience=1), None),
        ([0.5, 0.5, 0.5], dict(patience=2), 3),
        ([0.5, 0.6, 0.4, 0.5, 0.5], dict(patience=2), 5),
        ([0.5, 0.45, 0.41], dict(patience=2, min_delta=0.1), 3),
        ([0.5, 0.6, 0.7], dict(rule='greater', patience=1), None),
        ([0.5, float('nan')], dict(patience=1), 2),
    ],
)
def test_early_stopping(values: list[float], options: dict[str, Any], stops: int | None) -> None:
    assert _stop_after(values, **options) == stops


def test_early_stopping_errors() -> None:
    with pytest.raises(ValueError, match="rule must be 'less' or 'greater', got 'lower'"):
        ResumableEarlyStoppingHook('dev/hter', 'lower')
    with pytest.raises(ValueError, match='patience >= 1'):
        ResumableEarlyStoppingHook('dev/hter', patience=0)
    with pytest.raises(KeyError, match='but the validation gave dev/auc'):
        ResumableEarlyStoppingHook('dev/hter').after_val_epoch(_runner(), {'dev/auc': 1.0})


def test_configs_get_our_hooks_under_the_engine_names() -> None:
    assert HOOKS.get('CheckpointHook') is SafeCheckpointHook
    assert HOOKS.get('EarlyStoppingHook') is ResumableEarlyStoppingHook
    assert HOOKS.get('EMAHook').__module__.startswith('mmengine')


def test_nonfinite_weights_are_found() -> None:
    state = dict(
        a=torch.ones(2), b=torch.tensor([1.0, float('inf')]), c=torch.tensor([1, 2]), d=torch.tensor(np.nan)
    )
    assert find_nonfinite(state) == ['b', 'd']
    assert find_nonfinite({}) == []


def test_resume_needs_the_training_state() -> None:
    hook = SafeCheckpointHook()
    hook.after_load_checkpoint(_runner(_resume=False, model=torch.nn.Module()), dict(state_dict={}))
    with pytest.raises(CheckpointError, match='lacks message_hub, optimizer'):
        hook.after_load_checkpoint(_runner(_resume=True), dict(state_dict={}, meta={}))


def test_old_checkpoints_go_only_after_the_new_one_is_there(tmp_path: Path) -> None:
    hook = SafeCheckpointHook(max_keep_ckpts=1)
    seen = []

    def save(out_dir: str, name: str, **_: Any) -> None:
        seen.append(sorted(path.name for path in tmp_path.glob('*.pth')))
        Path(out_dir, name).write_text('x')

    hub = MessageHub('test_keep')
    info = SimpleNamespace(info=lambda text: None)
    runner = _runner(work_dir=str(tmp_path), message_hub=hub, save_checkpoint=save, logger=info)
    hook.before_train(runner)
    for step in (1, 2, 2, 3):
        hook._save_checkpoint_with_step(runner, step, {})
    assert seen == [[], ['epoch_1.pth'], ['epoch_2.pth'], ['epoch_2.pth']]
    assert [path.name for path in tmp_path.glob('*.pth')] == ['epoch_3.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_3.pth')
    assert hub.get_info('keep_ckpt_ids') == [3]


def test_modulation_log_writes_means_when_the_logger_does() -> None:
    hook, hub = ModulationLogHook(), MessageHub('modulation_log')
    logger = LoggerHook(interval=3)
    wrapper = SimpleNamespace(statistics={}, measures_gradients=True)
    runner = _runner(hooks=[hook, logger], message_hub=hub, optim_wrapper=wrapper, train_dataloader=range(5))
    assert hook.priority == 'NORMAL' and logger.priority == 'BELOW_NORMAL'
    hook.before_train(runner)
    hook.after_train_iter(runner, 0)
    assert not hub.log_scalars
    values = [1.0, 0.0, float('inf'), 0.25, 0.75]
    for batch_idx, value in enumerate(values):
        hook.before_train_iter(runner, batch_idx)
        assert wrapper.measures_gradients is (batch_idx in (2, 4))
        wrapper.statistics = dict(fast_rgb=torch.tensor(value), grad_norm_rgb=torch.tensor(value + 1))
        if wrapper.measures_gradients:
            wrapper.statistics['grad_cos_rgb_ir'] = torch.tensor(batch_idx / 4)
        hook.after_train_iter(runner, batch_idx)
        if batch_idx < 2:
            assert not hub.log_scalars
    # after iteration 3 without the infinite one, and at the end of the epoch
    assert hub.get_scalar('train/fast_rgb').data[0].tolist() == [0.5, 0.5]
    assert hub.get_scalar('train/grad_norm_rgb').data[0].tolist() == [1.5, 1.5]
    assert hub.get_scalar('train/grad_cos_rgb_ir').data[0].tolist() == [0.5, 1.0]
    hook.before_train_iter(_runner(optim_wrapper=SimpleNamespace()), 0)
    wrapper.statistics = dict(fast_rgb=torch.tensor(float('nan')))
    for batch_idx in range(3):
        hook.after_train_iter(runner, batch_idx)
    assert np.isnan(hub.get_scalar('train/fast_rgb').current())
    with pytest.raises(ValueError, match='at least 1 iteration'):
        ModulationLogHook(interval=0)
