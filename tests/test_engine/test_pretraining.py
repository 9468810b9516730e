"""Pretraining from its config to a trunk that other configs name: run, resume, export, probe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmfas.apis.training import resume_from, train
from mmfas.cli.measure.probe import main as probe
from mmfas.cli.weights.trunk import main as export
from mmfas.config.check import check_config
from mmfas.registry import BACKBONES
from mmfas.synthfas import Setting, Sites, render_sites
from mmfas.utils.checkpoint import CheckpointError, load_weights
from mmfas.utils.shipped import load_pretrained, shipped_record

pytestmark = pytest.mark.engine
REPO = Path(__file__).resolve().parents[2]
CONFIGS = sorted((REPO / 'configs' / 'pretrain').glob('*.py'))
SCRATCH = REPO / 'configs' / '_base_' / 'models' / 'mini_vit.py'


@pytest.fixture(autouse=True)
def _small_and_quiet(small_and_quiet: None) -> Iterator[None]:
    """Run on one thread with a quiet log."""
    yield


@pytest.fixture(scope='module')
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('sites')
    render_sites(root, Sites(Setting('tiny', 5), 2, 4, 12))
    return root


def config(sites: Path, work_dir: Path, *, epochs: int = 2) -> Config:
    """The config of pretraining, made small."""
    cfg = Config.fromfile(CONFIGS[0])
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False, batch_size=8)
        loader.dataset.data_root = str(sites)
    cfg.model.trunk.vit.arch = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16)
    cfg.model.decoder.update(dims=16, num_heads=2, num_layers=1, feedforward_channels=16)
    cfg.train_cfg.max_epochs = epochs
    cfg.param_scheduler = []
    cfg.work_dir, cfg.log_level = str(work_dir), 'ERROR'
    cfg.experiment_name = work_dir.name  # otherwise the second, which runs of one second would have in common
    return cfg


@pytest.fixture(scope='module')
def run(sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work_dir = tmp_path_factory.mktemp('run')
    train(config(sites, work_dir))
    return work_dir


def test_the_config_passes_the_check() -> None:
    assert len(CONFIGS) == 2 and all(check_config(Config.fromfile(path)) == [] for path in CONFIGS)


def test_the_loss_on_heldout_sites_is_measured_after_every_epoch(run: Path) -> None:
    (log,) = run.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    found = [line for line in lines if 'rebuild/all' in line]
    assert len(found) == 2 and {'rebuild/masked', 'rebuild/hidden', 'rebuild/ir'} <= set(found[0])
    assert found[1]['rebuild/all'] < found[0]['rebuild/all']


def test_a_resumed_run_ends_like_an_unbroken_one(run: Path, sites: Path, tmp_path: Path) -> None:
    cfg = config(sites, tmp_path)
    resume_from(cfg, str(run / 'epoch_1.pth'))
    train(cfg)
    one, two = load_weights(run / 'epoch_2.pth'), load_weights(tmp_path / 'epoch_2.pth')
    # Other masks or another order would move weights by the rate, 1e-3. The last digit of a product may differ,
    # which AdamW makes larger where there is no gradient but rounding: in the bias of the keys.
    torch.testing.assert_close(one, two, rtol=0, atol=5e-5)


def test_export_and_strict_reading(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'note.md').write_text('## Limits\n\nNot for real faces.')
    words = [str(run / 'epoch_2.pth'), str(tmp_path / 'tiny.safetensors'), '--note', str(tmp_path / 'note.md')]
    assert export(words) == 0
    record = shipped_record('tiny', tmp_path)
    assert record['sha256'] in capsys.readouterr().out and record['licence'] == 'Apache-2.0'
    card = (tmp_path / 'tiny.md').read_text()
    assert record['sha256'] in card and 'epoch 2' in card and card.endswith('Not for real faces.\n')
    given = load_weights(run / 'epoch_2.pth', 'trunk')
    for source in ('mmfas://tiny', str(tmp_path / 'tiny.safetensors')):
        found = load_pretrained(source, tmp_path)
        assert set(found) == set(given) and record['numbers'] == sum(v.numel() for v in found.values())
        assert all(torch.equal(value, given[name].half().float()) for name, value in found.items())
    with pytest.raises(CheckpointError, match="named 'mmfas://tinny' come with mmfas; did you mean mmfas://tiny?"):
        load_pretrained('mmfas://tinny', tmp_path)
    (tmp_path / 'tiny.safetensors').write_bytes(b'x' + (tmp_path / 'tiny.safetensors').read_bytes()[1:])
    with pytest.raises(CheckpointError, match='is not the file that came with mmfas: sha256'):
        load_pretrained('mmfas://tiny', tmp_path)
    (tmp_path / 'tiny.safetensors').unlink()
    with pytest.raises(CheckpointError, match='sha256 nothing instead of'):
        load_pretrained('mmfas://tiny', tmp_path)
    assert export([str(run / 'epoch_2.pth'), str(tmp_path / 'tiny.pth')]) == 1
    assert 'the file of a trunk ends in .safetensors' in capsys.readouterr().err


def test_a_checkpoint_of_pretraining_fills_the_trunk_of_another_model(run: Path, sites: Path) -> None:
    part = config(sites, run).model.trunk
    trunk = BACKBONES.build(dict(part, pretrained=str(run / 'epoch_2.pth'), frozen=('patch', 'blocks')))
    trunk.init_weights()
    given = load_weights(run / 'epoch_2.pth', 'trunk')
    assert all(torch.equal(value, given[name]) for name, value in trunk.state_dict().items())


def test_probe_compares_random_starts_with_weights(
    run: Path, sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config(sites, run).dump(tmp_path / 'config.py')
    words = [str(tmp_path / 'config.py'), '--data-root', str(sites), '--out', str(tmp_path / 'probe.json')]
    assert probe([*words, '--weights', str(run / 'epoch_2.pth'), '--random-seeds', '0', '4']) == 0
    rows = json.loads((tmp_path / 'probe.json').read_text())['rows']
    assert [row['trunk'] for row in rows] == ['random, seed 0', 'random, seed 4', str(run / 'epoch_2.pth')]
    assert all(0 <= row['low'] <= row['auc'] <= row['high'] <= 1 for row in rows)
    assert len({row['auc'] for row in rows}) > 1
    assert f'| random, seed 4 | {rows[1]["auc"]:.3f} |' in capsys.readouterr().out
    assert probe([*words, '--random-seeds']) == 1
    assert 'give --weights or --random-seeds' in capsys.readouterr().err
    assert probe([*words, '--fit', 'protocols/pretrain.csv']) == 1
    assert "column 'label' is missing" in capsys.readouterr().err
