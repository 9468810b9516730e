"""Numbers of others: the CASIA-SURF challenge winner, gradgpad's operating point, scikit-learn's view of both."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mmfas.evaluation import ScoreTable, evaluate_scores, functional

from . import rate_twins

REPOSITORY = Path(__file__).resolve().parents[2]
EXCERPT = REPOSITORY / 'tests' / 'data' / 'casia_surf_excerpt' / 'exp2_seed1.csv'
FULL = REPOSITORY.parent / 'shared' / 'data' / 'chalearn_casia_surf_val'


def _column(path: Path, name: str) -> np.ndarray:
    with open(path, encoding='utf-8', newline='') as file:
        return np.array([float(row[name]) for row in csv.DictReader(file)])


def _full_scores(run: str) -> np.ndarray:
    """Mean of three folds of the mean of both crops, the recipe of the challenge winner."""
    folds = [FULL / f'{run}_fold{fold}.csv' for fold in (1, 2, 3)]
    return np.mean([(_column(path, 'crop0') + _column(path, 'crop0_hflip')) / 2 for path in folds], axis=0)


@pytest.mark.skipif(
    not FULL.is_dir(), reason=f'the full CASIA-SURF validation scores are not in {FULL.parent.name}'
)
@pytest.mark.parametrize(
    ('run', 'published'),
    [('exp1_2stage_seed1', 0.9987), ('exp2_seed1', 0.9870), ('exp3b_seed1', 0.9963), ('exp3c_seed1', 0.9933)],
)
def test_casia_surf_winner_at_one_in_ten_thousand(run: str, published: float) -> None:
    scores, is_live = _full_scores(run), _column(FULL / 'labels.csv', 'label') == 1
    assert (is_live.sum(), (~is_live).sum()) == (2994, 6614)
    point = functional.tpr_at_fpr(scores, is_live, target=1e-4)
    assert round(point.tpr.value, 4) == published
    # 6614 attacks cannot resolve 1e-4: the number means that no attack at all was accepted.
    assert (point.fpr.errors, point.is_resolved) == (0, False)
    assert functional.auc(scores, is_live) == pytest.approx(roc_auc_score(is_live, scores), abs=1e-12)


def _excerpt() -> tuple[np.ndarray, np.ndarray]:
    columns = [f'fold{fold}_{crop}' for fold in (1, 2, 3) for crop in ('crop0', 'crop0_hflip')]
    return np.mean([_column(EXCERPT, name) for name in columns], axis=0), _column(EXCERPT, 'label') == 1


def test_casia_surf_excerpt() -> None:
    scores, is_live = _excerpt()
    assert (is_live.sum(), (~is_live).sum()) == (125, 404)
    assert str(functional.tpr_at_fpr(scores, is_live, target=1e-4).tpr) == '107/125'
    point = functional.eer(scores, is_live)
    assert (str(point.far), str(point.frr)) == ('4/404', '1/125')
    assert rate_twins.tpr_at_fpr(scores, is_live, Fraction(1, 10_000)) == Fraction(107, 125)
    assert functional.auc(scores, is_live) == pytest.approx(0.9994257425742574, abs=1e-15)


def test_a_single_crop_is_another_number() -> None:
    _, is_live = _excerpt()
    single = functional.tpr_at_fpr(_column(EXCERPT, 'fold1_crop0'), is_live, target=1e-4)
    assert str(single.tpr) != '107/125'


def _gradgpad_table() -> ScoreTable:
    """Return scores with the counts of gradgpad 2.1.0 (MIT, github.com/Gradiant/bob.paper.icb2019.gradgpad).

    Its `auxiliary` scores on `grandtest` at the dev EER threshold: 245 of 2287 live rejected, 678 of 10246 attacks
    accepted, among them all 10 of makeup-obfuscation, its worst fine instrument.
    """
    groups = [('live', 2287 - 245, 0.9), ('live', 245, 0.1), ('makeup-obfuscation', 10, 0.9)]
    groups += [('others', 668, 0.9), ('others', 10246 - 678, 0.1)]
    rows = [(pai, score) for pai, count, score in groups for _ in range(count)]
    return ScoreTable.from_records(
        {'sample_id': index, 'pai': pai, 'label': int(pai == 'live'), 'score': score}
        for index, (pai, score) in enumerate(rows)
    )


def test_gradgpad_operating_point() -> None:
    report = evaluate_scores(_gradgpad_table(), threshold=0.5, num_bootstrap=0)
    point = report.operating
    assert (str(point.bpcer), str(point.apcer.pooled)) == ('245/2287', '678/10246')
    assert (round(100 * point.bpcer.value, 1), round(100 * point.apcer.pooled.value, 1)) == (10.7, 6.6)
    assert (point.apcer.worst_pai, str(point.apcer.max)) == ('makeup-obfuscation', '10/10')
    interval = point.apcer.max.interval()
    assert (round(interval.low, 2), interval.high) == (0.72, 1.0)
    # One set of scores, two readings of ACER: this is why neither is ever printed without its name.
    assert (round(100 * point.acer.pooled, 1), round(100 * point.acer.max, 1)) == (8.7, 55.4)
    assert 'APCER from fewer than 30 scores, read the interval: makeup-obfuscation (10).' in report.notes
