"""Both engine stacks: mended where they need it, and loading through the strict loader only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from malicious import write_malicious
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import BaseModule
from mmengine.runner import load_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint_with_prefix
from mmengine.utils import get_installed_path, is_installed
from torch import nn

from mmfas.utils import compat
from mmfas.utils.checkpoint import CheckpointError

pytestmark = pytest.mark.engine


class _Part(BaseModule):
    def __init__(self, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.layer = nn.Linear(2, 2)


def test_init_cfg_refuses_a_malicious_file(tmp_path: Path) -> None:
    proof = tmp_path / 'proof'
    bad = write_malicious(tmp_path / 'bad.pth', proof)
    with pytest.raises(CheckpointError, match='was refused'):
        _Part(dict(type='Pretrained', checkpoint=str(bad))).init_weights()
    with pytest.raises(CheckpointError, match='was refused'):
        _Part(dict(type='Pretrained', checkpoint=str(bad), prefix='layer')).init_weights()
    assert not proof.exists()


def test_engine_functions_refuse_a_malicious_file(tmp_path: Path) -> None:
    proof = tmp_path / 'proof'
    bad = write_malicious(tmp_path / 'bad.pth', proof)
    for load in (
        lambda: load_checkpoint(_Part(), str(bad)),
        lambda: _load_checkpoint_with_prefix('layer', str(bad)),
        lambda: CheckpointLoader.load_checkpoint(str(bad)),
    ):
        with pytest.raises(CheckpointError, match='was refused'):
            load()
    assert not proof.exists()


def test_hardened_even_if_the_engine_comes_later() -> None:
    """The loader is imported after mmfas here, and by nobody else."""
    code = (
        'import sys, mmfas\n'
        "assert 'mmengine.runner.checkpoint' not in sys.modules\n"
        'from mmengine.runner.checkpoint import CheckpointLoader\n'
        "print(CheckpointLoader._schemes[''].__module__, len(CheckpointLoader._schemes) > 3)"
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith('mmfas.utils.compat True')


def test_a_good_file_fills_a_module(tmp_path: Path) -> None:
    source = _Part()
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'good.pth')
    target = _Part(dict(type='Pretrained', checkpoint=str(tmp_path / 'good.pth')))
    target.init_weights()
    assert torch.equal(target.layer.weight, source.layer.weight)


@pytest.mark.parametrize('address', ['torchvision://resnet18', 's3://bucket/x.pth', 'open-mmlab://x'])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(CheckpointError, match=f"cannot load '{address}': give the path of a file"):
        CheckpointLoader.load_checkpoint(address)


def test_url_is_fetched_once_and_loaded_strictly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('torch.hub.get_dir', lambda: str(tmp_path / 'hub'))
    calls = []

    def download(url: str, target: str, progress: bool) -> None:
        calls.append(url)
        torch.save(dict(state_dict=dict(a=torch.ones(1))), target)

    monkeypatch.setattr('torch.hub.download_url_to_file', download)
    for _ in range(2):
        loaded = CheckpointLoader.load_checkpoint('https://example.org/w/x.pth?download=1')
    assert torch.equal(loaded['state_dict']['a'], torch.ones(1))
    assert calls == ['https://example.org/w/x.pth?download=1']


def test_message_hub_survives_as_plain_numbers(tmp_path: Path) -> None:
    hub = MessageHub('test_plain_message_hub')
    for value in (1.0, 3.0, 8.0):
        hub.update_scalar('train/loss', value, 2)
    hub.update_info('best_score', 0.25)
    plain_state = compat.plain_message_hub(hub.state_dict())
    torch.save(dict(message_hub=plain_state), tmp_path / 'x.pth')
    torch.load(tmp_path / 'x.pth', weights_only=True)
    restored = MessageHub('test_restored_message_hub')
    restored.load_state_dict(compat.load_from_file(str(tmp_path / 'x.pth'))['message_hub'])
    assert restored.get_scalar('train/loss').mean(2) == (3.0 + 8.0) / (2 + 2)
    assert restored.get_scalar('train/loss').data[1].tolist() == [2, 2, 2]
    assert restored.get_info('best_score') == 0.25


def test_config_inherits_from_an_installed_package(tmp_path: Path) -> None:
    config = tmp_path / 'x.py'
    config.write_text("_base_ = 'mmpretrain::_base_/default_runtime.py'\n")
    assert Config.fromfile(config).default_scope == 'mmpretrain'
    assert is_installed('mmengine')
    assert not is_installed('no_such_package')
    assert Path(get_installed_path('mmpretrain'), '__init__.py').is_file()


def test_config_may_import_the_standard_library(tmp_path: Path) -> None:
    config = tmp_path / 'x.py'
    config.write_text('import math\nimport os.path as osp\nlr = math.sqrt(0.25)\nname = osp.join("a", "b")\n')
    cfg = Config.fromfile(config)
    assert (cfg.lr, cfg.name) == (0.5, 'a/b')


def test_both_stacks_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, '_installed', lambda *names: [names[0]])
    with pytest.raises(
        ImportError, match='onedl-mmengine and mmengine are both installed and overwrite each other'
    ):
        compat.check_engine()


def test_no_stack_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, 'util', SimpleNamespace(find_spec=lambda name: None))
    with pytest.raises(ImportError, match=r"mmfas needs mmengine.*pip install 'mmfas\[onedl\]'"):
        compat.check_engine()


def test_launcher_needs_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(RuntimeError, match='--launcher pytorch needs .*RANK.*: start with tools/dist_train.sh'):
        compat.start_distributed('pytorch')
    with pytest.raises(RuntimeError, match="launcher 'slurm' needs GPUs"):
        compat.start_distributed('slurm')
