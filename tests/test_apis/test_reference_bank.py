"""The bank of MD2A: made of training samples, kept in the checkpoint, the same for every batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from random_photos import photo_config, photo_loader

from mmfas.apis.reference_bank import fill_reference_bank
from mmfas.apis.scoring import ScoreError, load_model, load_samples, score_in_batches
from mmfas.cli.weights.bank import main
from mmfas.utils.checkpoint import CheckpointError

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _small_and_quiet(small_and_quiet: None) -> Iterator[None]:
    """Run on one thread with a quiet log."""
    yield


def config(neck: str = 'MD2ANeck', **options: Any) -> Config:
    return photo_config(neck, 'TextAlignHead', **options)


@pytest.fixture
def trained(tmp_path: Path) -> str:
    """Weights of a model without a bank."""
    torch.save(dict(meta=dict(seed=7), state_dict=load_model(config(), None).state_dict()), tmp_path / 'a.pth')
    return str(tmp_path / 'a.pth')


def test_the_bank_holds_readouts_of_training_samples(trained: str) -> None:
    cfg = config(bank_size=3)
    filled = fill_reference_bank(cfg, trained)
    assert filled['meta'] == dict(seed=7)
    model = load_model(config(), trained)
    readouts = []
    for row in (0, 4, 8):  # spread evenly over the nine training samples
        sample = load_samples(cfg, 'train_dataloader')[row]
        batch = dict(inputs={m: [v] for m, v in sample['inputs'].items()}, data_samples=[sample['data_samples']])
        with torch.no_grad():
            features = model.extract_feat(model.data_preprocessor(batch, False)['inputs'])
        readouts.append(features.per_modality[:, 0])
    torch.testing.assert_close(filled['state_dict']['neck.bank'], torch.stack(readouts))


def test_scores_with_a_bank_need_no_neighbours_and_are_others(trained: str, tmp_path: Path) -> None:
    for name in ('once', 'twice'):  # the second time from a checkpoint that has a bank
        source, cfg = (
            (trained, config(bank_size=4))
            if name == 'once'
            else (tmp_path / 'once.pth', config(bank_size=4, reference='bank'))
        )
        torch.save(fill_reference_bank(cfg, str(source)), tmp_path / f'{name}.pth')
    banked = config(bank_size=4, reference='bank')
    models = [load_model(banked, str(tmp_path / f'{name}.pth')) for name in ('once', 'twice')]
    assert torch.equal(*(model.neck.bank for model in models))
    samples = load_samples(banked)
    alone = score_in_batches(models[0], samples, range(5), 1)
    torch.testing.assert_close(score_in_batches(models[0], samples, [4, 2, 0, 3, 1], 3), alone, rtol=0, atol=1e-6)
    own = score_in_batches(load_model(config(), trained), samples, range(5), 1)
    assert (alone - own).abs().min() > 1e-6


def test_refusals(trained: str) -> None:
    with pytest.raises(ScoreError, match='ConcatNeck has no references'):
        fill_reference_bank(config('ConcatNeck'), trained)
    with pytest.raises(ScoreError, match='the training set has 9 samples, the bank 64 places'):
        fill_reference_bank(config(), trained)
    cfg = config(bank_size=4)
    cfg.train_dataloader = photo_loader(length=9, absent_ir=True, pipeline=[])
    with pytest.raises(ScoreError, match='a training sample lacks a modality'):
        fill_reference_bank(cfg, trained)
    cfg.pop('train_dataloader')
    with pytest.raises(ScoreError, match='train_dataloader has none'):
        fill_reference_bank(cfg, trained)
    with pytest.raises(CheckpointError, match=r'1 missing: neck\.bank'):
        load_model(config(reference='bank'), trained)
    with pytest.raises(CheckpointError, match='does not fit the model of this config'):
        fill_reference_bank(config(bank_size=4, fixed_lambda=0.5), trained)


def test_command_writes_a_checkpoint_to_test(
    trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config(bank_size=4).dump(tmp_path / 'c.py')
    assert main([str(tmp_path / 'c.py'), trained, str(tmp_path / 'out.pth')]) == 0
    assert 'a bank of 4 samples' in capsys.readouterr().out
    assert load_model(config(bank_size=4, reference='bank'), str(tmp_path / 'out.pth')).neck.bank.shape == (
        4,
        3,
        16,
    )
