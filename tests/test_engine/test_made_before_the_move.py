"""A checkpoint that was made before the rooms of the package moved still loads, scores and resumes alike."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
import torch
from golden_vectors import Sketch, golden
from mmengine.config import Config

from mmfas.analysis.complexity import example_inputs
from mmfas.apis import get_model, train
from mmfas.apis.training import resume_from
from mmfas.synthfas import Setting, render_dataset
from mmfas.utils.checkpoint import load_checkpoint

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
MADE = ROOT / 'tests/data/made_at_cac2dd1'
ARCH = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)


def config(data: str, work_dir: str) -> Config:
    """Make the config that the checkpoint was trained with (see the README beside it)."""
    cfg = Config.fromfile(ROOT / 'configs/mmdg/mmdg_mini-vit_1xb32-12e_synthfas-cps2w.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.data_root = data
    cfg.train_dataloader.batch_size = 16
    cfg.model.trunk.vit.update(arch=ARCH, drop_rate=0.1)
    cfg.train_cfg.max_epochs = 2
    cfg.work_dir = work_dir
    return cfg


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the checkpoint, byte for byte as it was written then."""
    file = tmp_path_factory.mktemp('made') / 'epoch_1.pth'
    file.write_bytes(lzma.decompress((MADE / 'epoch_1.pth.xz').read_bytes()))
    return file


def test_it_gives_the_logits_that_it_gave_then(made: Path) -> None:
    model = get_model(config('data', 'work'), made)
    with torch.no_grad():
        logits = model(example_inputs(model, 4, size=(64, 64), seed=3), mode='tensor')
    torch.testing.assert_close(logits, golden('expected', MADE)['logits_of_epoch_1'], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_resumed_it_becomes_what_it_became_then(made: Path, tmp_path: Path, small_and_quiet: None) -> None:
    """Optimizer state, schedules, prototypes and streams of random numbers are read as they were written."""
    render_dataset(tmp_path / 'data', Setting('tiny'), domains=('C', 'P', 'S'), splits=('train', 'val'))
    cfg = config(str(tmp_path / 'data'), str(tmp_path / 'work'))
    resume_from(cfg, str(made))
    cfg.log_level = 'WARNING'
    train(cfg)
    found = load_checkpoint(tmp_path / 'work' / 'epoch_2.pth')['state_dict']
    kept = golden('expected', MADE)
    expected = {key.removeprefix('epoch_2.'): value for key, value in kept.items() if key.startswith('epoch_2.')}
    assert list(found) == list(expected)
    for name, value in expected.items():
        # Another torch or processor rounds otherwise; another batch or state would be off by far more.
        if isinstance(value, Sketch):
            assert value.difference(found[name]).abs().max() < 1e-4, name
        else:
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4, msg=name)
