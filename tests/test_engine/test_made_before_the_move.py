"""A checkpoint that was made before the rooms of the package moved still loads, scores and resumes alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
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


def test_it_gives_the_logits_that_it_gave_then() -> None:
    model = get_model(config('data', 'work'), MADE / 'epoch_1.pth')
    with torch.no_grad():
        logits = model(example_inputs(model, 4, size=(64, 64), seed=3), mode='tensor')
    expected = load_checkpoint(MADE / 'expected.pth')['logits_of_epoch_1']
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_resumed_it_becomes_what_it_became_then(tmp_path: Path, small_and_quiet: None) -> None:
    """Optimizer state, schedules, prototypes and streams of random numbers are read as they were written."""
    render_dataset(tmp_path / 'data', Setting('tiny'), domains=('C', 'P', 'S'), splits=('train', 'val'))
    cfg = config(str(tmp_path / 'data'), str(tmp_path / 'work'))
    resume_from(cfg, str(MADE / 'epoch_1.pth'))
    cfg.log_level = 'WARNING'
    train(cfg)
    found = load_checkpoint(tmp_path / 'work' / 'epoch_2.pth')['state_dict']
    expected = load_checkpoint(MADE / 'expected.pth')['state_dict_of_epoch_2']
    assert list(found) == list(expected)
    for name, value in expected.items():
        # Another torch or processor rounds otherwise; another batch or state would be off by far more.
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4, msg=name)
