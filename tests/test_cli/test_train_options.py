"""How the options of `train` change a config, and how a run finds what to resume from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from mmfas.apis.training import (
    find_latest,
    fit_to_device,
    resume_from,
    skip_validation,
    split_batch,
    train,
    use_amp,
    use_scaled_lr,
)
from mmfas.cli.train import add_arguments, main, merge_arguments
from mmfas.registry import OPTIM_WRAPPERS

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]


def _cfg(**values: object) -> Config:
    return Config(dict(optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1)), **values))


def test_a_config_without_randomness_gets_a_random_seed(tmp_path: Path) -> None:
    config = tmp_path / 'config.py'
    config.write_text('model = dict()\n', encoding='utf-8')
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert merge_arguments(parser.parse_args([str(config)])).randomness == dict(seed=None)
    assert merge_arguments(parser.parse_args([str(config), '--seed', '3'])).randomness == dict(seed=3)


@pytest.mark.parametrize('prefix', ['', 'Amp'])
@pytest.mark.parametrize('wrapper', ['OptimWrapper', 'GradientModulationOptimWrapper'])
def test_amp_maps_the_wrapper(prefix: str, wrapper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    cfg = _cfg()
    cfg.optim_wrapper.type = prefix + wrapper
    use_amp(cfg)
    expected = dict(type='Amp' + wrapper, optimizer=dict(type='SGD', lr=1), loss_scale='dynamic')
    assert cfg.optim_wrapper == expected
    assert OPTIM_WRAPPERS.get(cfg.optim_wrapper.type).__name__ == 'Amp' + wrapper


@pytest.mark.parametrize('wrapper', ['OptimWrapper', 'GradientModulationOptimWrapper'])
def test_amp_on_a_cpu_is_bfloat16_where_it_has_instructions(
    wrapper: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    config = tmp_path / 'config.py'
    config.write_text(f"optim_wrapper = dict(type='{wrapper}')\n", encoding='utf-8')
    monkeypatch.setattr('mmfas.apis.training.bfloat16_helps', lambda: False)
    assert main([str(config), '--amp']) == 2
    refusal = capsys.readouterr().err
    assert 'no GPU' in refusal and f"or set optim_wrapper.type='BFloat16{wrapper}' to have it anyway" in refusal
    monkeypatch.setattr('mmfas.apis.training.bfloat16_helps', lambda: True)
    cfg = _cfg()
    cfg.optim_wrapper.type = wrapper
    use_amp(cfg)
    use_amp(cfg)
    assert cfg.optim_wrapper == dict(type=f'BFloat16{wrapper}', optimizer=dict(type='SGD', lr=1))
    with pytest.raises(ValueError, match=f'leave `Amp` out, or name BFloat16{wrapper}'):
        train(Config(dict(work_dir=str(tmp_path), optim_wrapper=dict(type=f'Amp{wrapper}'))))


def test_amp_refuses_a_wrapper_it_would_replace() -> None:
    cfg = _cfg()
    cfg.optim_wrapper.type = 'MyOptimWrapper'
    with pytest.raises(ValueError, match="no mixed-precision version of optim_wrapper.type='MyOptimWrapper'"):
        use_amp(cfg)


def test_no_validate_removes_what_lives_on_validation() -> None:
    cfg = _cfg(
        val_cfg={'type': 'ValLoop'},
        val_dataloader=dict(batch_size=1),
        val_evaluator=dict(type='FASMetric'),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_best='dev/hter', rule='less')),
        custom_hooks=[dict(type='EMAHook'), dict(type='EarlyStoppingHook', monitor='dev/hter')],
    )
    skip_validation(cfg)
    assert cfg.val_cfg is cfg.val_dataloader is cfg.val_evaluator is None
    assert cfg.default_hooks.checkpoint == dict(type='CheckpointHook')
    assert cfg.custom_hooks == [dict(type='EMAHook')]


def test_no_validate_goes_with_options_of_the_validation(tmp_path: Path) -> None:
    config = tmp_path / 'config.py'
    config.write_text("val_cfg = dict()\nval_dataloader = dict(batch_size=4)\nval_evaluator = dict(type='A')\n")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = ['--cfg-options', 'val_dataloader.batch_size=2', 'train_cfg.max_epochs=3']
    cfg = merge_arguments(parser.parse_args([str(config), '--no-validate', *options]))
    assert cfg.val_cfg is cfg.val_dataloader is cfg.val_evaluator is None
    assert cfg.train_cfg.max_epochs == 3


@pytest.mark.parametrize(
    ('launcher', 'variable', 'number', 'size'),
    [
        ('none', 'WORLD_SIZE', '2', 32),
        ('pytorch', 'WORLD_SIZE', '2', 16),
        ('slurm', 'SLURM_NTASKS', '4', 8),
        ('mpi', 'OMPI_COMM_WORLD_SIZE', '1', 32),
        ('pytorch', 'WORLD_SIZE', 'two', 32),  # `start_distributed` says what is wrong
    ],
)
def test_a_batch_is_dealt_out_to_the_processes(
    launcher: str, variable: str, number: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, number)
    (tmp_path / 'config.py').write_text('train_dataloader = dict(batch_size=8)\n')
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = ['--launcher', launcher, '--split-batch', '--cfg-options', 'train_dataloader.batch_size=32']
    assert merge_arguments(parser.parse_args([str(tmp_path / 'config.py'), *options])).train_dataloader == dict(
        batch_size=size
    )


def test_a_batch_that_cannot_be_dealt_out_is_refused() -> None:
    cfg = _cfg(train_dataloader=dict(batch_size=32))
    with pytest.raises(ValueError, match='batch_size=32 cannot be dealt out evenly to 3 processes'):
        split_batch(cfg, 3)
    assert cfg.train_dataloader.batch_size == 32


@pytest.mark.parametrize('size', [-32, 0, True, 'many', None])
def test_what_is_no_batch_size_is_left_to_the_check(size: Any) -> None:
    cfg = _cfg(train_dataloader=dict(batch_size=size))
    split_batch(cfg, 2)
    assert cfg.train_dataloader.batch_size is size
    split_batch(_cfg(), 2)


def test_auto_scale_lr_needs_a_base() -> None:
    cfg = _cfg(auto_scale_lr=dict(enable=False, base_batch_size=64))
    use_scaled_lr(cfg)
    assert cfg.auto_scale_lr.enable is True
    with pytest.raises(ValueError, match='auto_scale_lr=dict'):
        use_scaled_lr(_cfg())


def test_wrapper_of_a_distributed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    wrapper = dict(type='FASDistributedDataParallel', gradient_as_bucket_view=True)
    cfg = _cfg(launcher='pytorch', model_wrapper_cfg=wrapper)
    fit_to_device(cfg)
    assert cfg.model_wrapper_cfg == {**wrapper, 'type': 'mmfas.FASDistributedDataParallel', 'device_ids': None}
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    cfg = _cfg(launcher='pytorch', model_wrapper_cfg=dict(type='mmengine.MMDistributedDataParallel'))
    fit_to_device(cfg)
    assert cfg.model_wrapper_cfg == dict(type='mmengine.MMDistributedDataParallel')
    cfg = _cfg(launcher='none')
    fit_to_device(cfg)
    assert 'model_wrapper_cfg' not in cfg


def test_latest_checkpoint(tmp_path: Path) -> None:
    assert find_latest(tmp_path) is None
    for name in ('epoch_2.pth', 'epoch_10.pth', 'best_dev_hter_epoch_11.pth', 'other.pth'):
        (tmp_path / name).touch()
    assert find_latest(tmp_path) == tmp_path / 'epoch_10.pth'
    pointer = tmp_path / 'last_checkpoint'
    pointer.write_text(str(tmp_path / 'epoch_2.pth'))
    assert find_latest(tmp_path) == tmp_path / 'epoch_2.pth'
    pointer.write_text('/moved/away/epoch_2.pth')
    assert find_latest(tmp_path) == tmp_path / 'epoch_2.pth'
    copied = tmp_path / 'copy'
    copied.mkdir()
    (copied / 'epoch_2.pth').touch()
    (copied / 'last_checkpoint').write_text(str(tmp_path / 'epoch_2.pth'))
    assert find_latest(copied) == copied / 'epoch_2.pth'
    for broken in ('', '/gone/epoch_5.pth'):
        pointer.write_text(broken)
        assert find_latest(tmp_path) == tmp_path / 'epoch_10.pth'


def test_resume_from_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="--resume: checkpoint 'nowhere.pth' does not exist"):
        resume_from(_cfg(work_dir=str(tmp_path)), 'nowhere.pth')


def test_wrong_use_ends_with_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / 'none.py')]) == 2
    assert 'does not exist or is not a file' in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'configs' / '_base_' / 'schedules').glob('*.py')), ids=lambda p: p.stem
)
def test_schedules_warm_up_and_end_with_training(path: Path) -> None:
    cfg = Config.fromfile(path)
    warm, cosine = cfg.param_scheduler
    assert warm.end == cosine.begin
    assert cosine.end == cfg.train_cfg.max_epochs == int(path.stem.rpartition('_')[2][:-1])


def test_base_configs_are_ready() -> None:
    runtime = Config.fromfile(ROOT / 'configs/_base_/default_runtime.py')
    assert runtime.default_hooks.checkpoint.save_best == 'dev/hter'
    assert runtime.default_hooks.checkpoint.rule == 'less'
    extra = Config.fromfile(ROOT / 'configs/_base_/ema_early_stopping.py')
    assert [hook.type for hook in extra.custom_hooks] == ['EMAHook', 'EarlyStoppingHook']
