"""Malicious, damaged and poisoned: what a run refuses, and that it says so without a traceback."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from engine_process import run_command, train, write_config

from mmfas.cli.weights import convert as weights_convert
from mmfas.cli.weights import publish as weights_publish

sys.path.append(str(Path(__file__).parents[1] / 'test_utils'))
from malicious import write_malicious

pytestmark = pytest.mark.engine


def test_malicious_file_is_not_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    proof = tmp_path / 'proof'
    bad = write_malicious(tmp_path / 'bad.pth', proof)
    _, resumed = train(tmp_path, 'resume', '--resume', bad, expect=1)
    _, loaded = train(tmp_path, 'load', '--cfg-options', f'load_from={bad}', expect=1)
    log = tmp_path / 'test.log'
    assert run_command('mmfas.cli.test', [write_config(tmp_path, 'test'), bad], log) == 1
    assert weights_publish.main([str(bad), str(tmp_path / 'out.pth')]) == 1
    published = capfd.readouterr().err
    assert weights_convert.main(['timm', str(bad), str(tmp_path / 'out.pth')]) == 1
    for text in (resumed, loaded, log.read_text(), published, capfd.readouterr().err):
        assert "bad.pth' was refused: it asks to load 'posix.system'" in text
        assert 'Traceback' not in text
    assert not proof.exists()


def test_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    damaged = tmp_path / 'epoch_1.pth'
    damaged.write_bytes(b'PK\x03\x04' + bytes(50))
    _, text = train(tmp_path, 'run', '--resume', damaged, expect=1)
    assert f"CheckpointError: '{damaged}' (54 bytes) is not a complete checkpoint" in text
    assert 'Traceback' not in text
    _, text = train(tmp_path, 'run', '--resume', tmp_path / 'none.pth', expect=2)
    assert "none.pth' does not exist" in text


def test_one_flipped_bit_of_the_optimizer_is_not_resumed(tmp_path: Path) -> None:
    work_dir, _ = train(tmp_path, 'run', '--cfg-options', 'train_cfg.max_epochs=1')
    path = work_dir / 'epoch_1.pth'
    content = bytearray(path.read_bytes())
    momentum = torch.load(path, weights_only=True)['optimizer']['state'][0]['exp_avg']
    content[content.find(momentum.numpy().tobytes()) + 2] ^= 16
    path.write_bytes(content)
    changed = torch.load(path, weights_only=True)['optimizer']['state'][0]['exp_avg']
    assert (changed != momentum).sum() == 1  # torch itself takes it without a word
    _, text = train(tmp_path, 'run', '--resume', expect=1)
    assert "epoch_1.pth' (" in text and 'not the one whose SHA-256 was written into it' in text
    assert 'Traceback' not in text and 'Epoch(train)' not in text.partition('resume')[2]


def test_dev_split_of_one_class_stops_before_the_first_step(tmp_path: Path) -> None:
    changes = 'val_dataloader = dict(dataset=dict(only_live=True))'
    work_dir, text = train(tmp_path, 'run', changes=changes, expect=1)
    assert 'val_dataloader: all 12 samples of TinyFaces are live faces, so no threshold can be chosen' in text
    assert 'Traceback' not in text and 'Epoch(train)' not in text
    assert not list(work_dir.glob('*.pth'))


def test_checkpoint_of_another_model_is_not_resumed(tmp_path: Path) -> None:
    work_dir, _ = train(tmp_path, 'run', '--cfg-options', 'train_cfg.max_epochs=1')
    content = torch.load(work_dir / 'epoch_1.pth', weights_only=True)
    name = next(iter(content['state_dict']))
    content['state_dict'] = {'module.extra': torch.ones(1), **content['state_dict']}
    del content['state_dict'][name]
    torch.save(content, tmp_path / 'other.pth')
    _, text = train(tmp_path, 'resumed', '--resume', tmp_path / 'other.pth', expect=1)
    assert f"other.pth' does not fit the model of this config; 1 missing: {name}; 1 unexpected: extra" in text
    assert 'Traceback' not in text


def test_foreign_weights_are_reported(tmp_path: Path) -> None:
    work_dir, _ = train(tmp_path, 'run', '--cfg-options', 'train_cfg.max_epochs=1')
    weights = torch.load(work_dir / 'epoch_1.pth', weights_only=True)['state_dict']
    name = next(iter(weights))
    torch.save({'state_dict': {**weights, name: torch.zeros(1, 2, 3)}}, tmp_path / 'part.pth')
    torch.save({'state_dict': {'other': torch.zeros(1)}}, tmp_path / 'none.pth')
    for file, expect, told in (
        ('part.pth', 0, "part.pth' fits only in part; 1 of another shape: " + name),
        ('none.pth', 1, "load_from: nothing of '.*none.pth' fits the model of this config"),
    ):
        options = f'load_from={tmp_path / file}', 'train_cfg.max_epochs=1'
        _, text = train(tmp_path, file.removesuffix('.pth'), '--cfg-options', *options, expect=expect)
        assert re.search(told, text)
        assert 'Traceback' not in text


def test_own_checkpoint_loads_with_stock_torch(tmp_path: Path) -> None:
    work_dir, _ = train(tmp_path, 'run', '--cfg-options', 'train_cfg.max_epochs=1')
    for path in work_dir.glob('*.pth'):
        content = torch.load(path, weights_only=True)
        assert content['message_hub']['log_scalars']['train/loss']['values']


def test_nan_loss_stops_the_run(tmp_path: Path) -> None:
    changes = 'train_dataloader = dict(dataset=dict(nan_at=6))'
    work_dir, text = train(tmp_path, 'run', changes=changes, expect=1)
    assert 'NotFiniteError: loss_depth is NaN or infinite at epoch 1, iteration' in text or (
        'NotFiniteError: loss_fused, loss_depth is NaN or infinite at epoch 1, iteration' in text
    )
    assert 's006' in text.partition('samples of the batch')[2]
    assert 'Traceback' not in text
    assert not list(work_dir.glob('*.pth'))


def test_poisoned_weights_are_not_saved(tmp_path: Path) -> None:
    """A finite loss may still have a gradient that is not: here the last step of an epoch makes a weight NaN."""
    changes = "custom_hooks = [dict(type='PoisonHook', at_iter=3)]"
    work_dir, text = train(tmp_path, 'run', '--no-validate', changes=changes, expect=1)
    assert 'NotFiniteError: 1 weights are NaN or infinite at epoch 1, iteration 4' in text
    assert 'Traceback' not in text
    assert not list(work_dir.glob('*.pth'))


def test_wrong_config_key_stops_before_anything(tmp_path: Path) -> None:
    changes = 'optim_wraper = dict(x=1)'
    work_dir, text = train(tmp_path, 'run', '--cfg-options', 'model.dorp=0.1', changes=changes, expect=2)
    assert 'problem(s), nothing was started' in text
    assert 'model.dorp' in text
    assert 'did you mean drop' in text
    assert 'optim_wraper' in text
    assert 'Traceback' not in text
    assert not work_dir.exists()
