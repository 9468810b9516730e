"""Both engine stacks: mended where they need it, and loading through the strict loader only."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
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
from mmfas.utils.checkpoint import CheckpointError, sha256_of
from mmfas.utils.distributed import start_distributed
from mmfas.utils.loading import cached_path, load_from_file
from mmfas.utils.message_hub import plain_message_hub

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


@pytest.mark.slow
def test_hardened_even_if_the_engine_comes_later() -> None:
    """The loader is imported after mmfas here, and by nobody else."""
    code = (
        'import sys, mmfas\n'
        "assert 'mmengine.runner.checkpoint' not in sys.modules\n"
        'from mmengine.runner.checkpoint import CheckpointLoader\n'
        "print(CheckpointLoader._schemes[''].__module__, len(CheckpointLoader._schemes) > 3)"
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith('mmfas.utils.loading True')


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


class _Site(ThreadingHTTPServer):
    """The files of a folder over HTTP, with a note of every request."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[str] = []
        super().__init__(('127.0.0.1', 0), partial(_Handler, directory=str(folder)))
        self.address = f'http://127.0.0.1:{self.server_port}'


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.requests.append(self.path)  # type: ignore[attr-defined]
        super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Site]:
    """A site with two files of one name, `old/x.pth` (0) and `new/x.pth` (1); downloads go to `tmp_path`."""
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    monkeypatch.setattr('torch.hub.get_dir', lambda: str(tmp_path / 'hub'))
    for value, name in enumerate(('old', 'new')):
        (tmp_path / 'site' / name).mkdir(parents=True)
        torch.save(dict(state_dict=dict(a=torch.tensor([float(value)]))), tmp_path / 'site' / name / 'x.pth')
    with _Site(tmp_path / 'site') as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _load(address: str) -> float:
    return CheckpointLoader.load_checkpoint(address)['state_dict']['a'].item()


def test_a_file_is_fetched_once_per_address(site: _Site) -> None:
    addresses = [f'{site.address}/{path}' for path in ('old/x.pth', 'new/x.pth', 'new/x.pth?download=1')]
    assert [_load(address) for address in (*addresses, *reversed(addresses))] == [0, 1, 1, 1, 1, 0]
    assert _load(f'{addresses[1]}#weights') == 1
    assert site.requests == ['/old/x.pth', '/new/x.pth', '/new/x.pth?download=1']
    paths = {cached_path(address) for address in addresses}
    assert len(paths) == 3 and {path.name for path in paths} == {'x.pth'}
    assert all(path.is_file() for path in paths)


def test_a_fetched_file_is_loaded_strictly(site: _Site, tmp_path: Path) -> None:
    write_malicious(tmp_path / 'site' / 'bad.pth', tmp_path / 'proof')
    with pytest.raises(CheckpointError, match='was refused: it asks to load'):
        _load(f'{site.address}/bad.pth')
    assert not (tmp_path / 'proof').exists()


def test_the_hash_in_a_name_is_checked(site: _Site, tmp_path: Path) -> None:
    source = tmp_path / 'site' / 'new' / 'x.pth'
    digest = sha256_of(source)
    source.rename(source.with_name(f'right-{digest[:8]}.pth'))
    shutil.copy(source.with_name(f'right-{digest[:8]}.pth'), source.with_name('wrong-0123abcd.pth'))
    shutil.copy(source.with_name(f'right-{digest[:8]}.pth'), source.with_name('date-20240131.pth'))
    wrong = f'{site.address}/new/wrong-0123abcd.pth'
    for _ in range(2):  # nothing of the first attempt is kept
        with pytest.raises(CheckpointError, match=rf"cannot download '{wrong}': invalid hash value .*0123abcd"):
            _load(wrong)
    assert not cached_path(wrong).exists()
    assert _load(f'{site.address}/new/date-20240131.pth') == 1
    assert _load(f'{site.address}/new/right-{digest[:8]}.pth') == 1


def test_what_cannot_be_fetched_is_named(site: _Site) -> None:
    with pytest.raises(
        CheckpointError, match=r"cannot download '.*/nothing\.pth': HTTP Error 404.*check the address"
    ):
        _load(f'{site.address}/nothing.pth')
    assert cached_path('https://example.org/').name == 'checkpoint'


def test_message_hub_survives_as_plain_numbers(tmp_path: Path) -> None:
    hub = MessageHub('test_plain_message_hub')
    for value in (1.0, 3.0, 8.0):
        hub.update_scalar('train/loss', value, 2)
    hub.update_info('best_score', 0.25)
    plain_state = plain_message_hub(hub.state_dict())
    torch.save(dict(message_hub=plain_state, state_dict=_Part().state_dict()), tmp_path / 'x.pth')
    torch.load(tmp_path / 'x.pth', weights_only=True)
    restored = MessageHub('test_restored_message_hub')
    restored.load_state_dict(load_from_file(str(tmp_path / 'x.pth'))['message_hub'])
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
        start_distributed('pytorch')
    monkeypatch.delenv('SLURM_PROCID', raising=False)
    with pytest.raises(
        RuntimeError, match='--launcher slurm needs SLURM_PROCID.*: start with tools/slurm_train.sh'
    ):
        start_distributed('slurm')
    with pytest.raises(RuntimeError, match="launcher 'mpi' needs GPUs"):
        start_distributed('mpi')


@pytest.mark.slow
def test_no_advice_to_install_another_mmcv() -> None:
    code = 'import mmfas, mmcv.cnn.bricks.transformer'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert 'rather than' not in done.stderr
