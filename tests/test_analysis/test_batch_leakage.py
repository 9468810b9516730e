"""What an order of batches gives away: nothing of ours, something of the released arithmetic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from random_photos import photo_config

from mmfas.analysis.batch_leakage import _Pass, _summarise, leakage_rows, measure_batch_leakage
from mmfas.apis.scoring import ScoreError, load_model, load_samples, prepare_scoring, score_in_batches
from mmfas.cli.measure.leakage import main
from mmfas.evaluation import auc, eer, hter

pytestmark = pytest.mark.engine

TEST = dict(length=12)


@pytest.fixture(autouse=True)
def _small_and_quiet(small_and_quiet: None) -> Iterator[None]:
    """Run on one thread with a quiet log."""
    yield


def config(reference: str) -> Config:
    return photo_config('MD2ANeck', 'TextAlignHead', test=TEST, reference=reference)


def test_only_scores_that_look_at_the_batch_change() -> None:
    ours, released = (measure_batch_leakage(config(name), num_repeats=2) for name in ('partner', 'first'))
    assert [(r.batch_size, r.order) for r in ours] == [(n, o) for n in (1, 3, 16) for o in ('sorted', 'shuffled')]
    assert all(result.largest_change < 1e-6 and result.flipped == 0 for result in ours)
    assert len({(result.hter, result.oracle_hter, result.auc) for result in ours}) == 1
    assert released[0].largest_change == released[1].largest_change == 0, 'alone, a sample is its own reference'
    assert all(result.largest_change > result.mean_change > 1e-6 for result in released[2:])


def test_sorted_batches_hold_one_class_after_the_other() -> None:
    cfg = config('first')
    result = measure_batch_leakage(cfg, batch_sizes=(3,), num_repeats=1)[0]
    prepare_scoring(cfg)
    torch.manual_seed(0)
    model, samples = load_model(cfg, None), load_samples(cfg)
    is_live = np.arange(12) % 2 == 1
    order = [0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]
    scores = score_in_batches(model, samples, order, 3).numpy()
    assert result.auc == auc(scores, is_live) and result.oracle_hter == eer(scores, is_live).value
    dev = score_in_batches(model, load_samples(cfg, 'val_dataloader'), [0, 2, 4, 1, 3, 5], 3).numpy()
    threshold = eer(dev, np.arange(6) % 2 == 1).threshold
    assert result.hter == hter(scores, is_live, threshold=threshold)
    alone = score_in_batches(model, samples, list(range(12)), 1).numpy()
    assert result.largest_change == pytest.approx(np.abs(scores - alone).max())


def test_numbers_are_means_over_repetitions() -> None:
    is_live, alone = np.array([False, True]), _Pass(np.array([0.2, 0.8]), 0.5)
    passes = [_Pass(np.array([0.2, 0.4]), 0.5), _Pass(np.array([0.2, 0.6]), 0.5)]
    result = _summarise(passes, alone, is_live, batch_size=3, order='shuffled')
    assert (result.hter, result.auc, result.flipped) == (0.25, 1.0, 0.25)
    assert result.mean_change == pytest.approx(0.15) and result.largest_change == pytest.approx(0.4)
    assert leakage_rows([result])[1] == [
        ('3', 'shuffled', '25.00', '0.00', '100.00', '1.5e-01', '4.0e-01', '25.00')
    ]


def test_command_sets_models_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {}
    for name in ('partner', 'first'):
        cfg = config(name)
        cfg.dump(tmp_path / f'{name}.py')
        files[name] = tmp_path / f'{name}.py'
    torch.save(load_model(cfg, None).state_dict(), tmp_path / 'weights.pth')
    weights, out = str(tmp_path / 'weights.pth'), tmp_path / 'out.json'
    arguments = [str(files['partner']), weights, '--beside', str(files['first']), weights]
    assert main([*arguments, '--batch-sizes', '3', '--repeats', '2', '--out', str(out)]) == 0
    report = json.loads(out.read_text())
    assert set(report) == {'partner', 'first'} and [row['order'] for row in report['first']] == [
        'sorted',
        'shuffled',
    ]
    assert report['partner'][0]['largest_change'] < 1e-6 < report['first'][0]['largest_change']
    assert capsys.readouterr().out.count('| 3 | shuffled |') == 2
    with pytest.raises(SystemExit):
        main([*arguments, '--batch-sizes', '0'])


def test_both_splits_are_needed() -> None:
    cfg = config('first')
    cfg.pop('val_dataloader')
    with pytest.raises(ScoreError, match='the config has no dev set: give it val_dataloader'):
        measure_batch_leakage(cfg)
