"""FASMetric: class == functions == shards of several processes."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.evaluator import Evaluator
from ranks import run_group

from mmfas.evaluation import FASMetric, ScoreRules, ScoreTable, evaluate_scores, functional
from mmfas.registry import METRICS
from mmfas.structures import FASDataSample

from .tables import make_records, make_table

pytestmark = pytest.mark.engine


def _samples(records: list[dict[str, Any]]) -> list[FASDataSample]:
    """Return what a model's predict returns."""
    samples = []
    for record in records:
        meta = {key: record[key] for key in ('sample_id', 'domain', 'subject', 'video', 'pai')}
        sample = FASDataSample(metainfo=meta)
        sample.gt_label, sample.pred_score = record['label'], record['score']
        samples.append(sample)
    return samples


def _run(metric: FASMetric, records: list[dict[str, Any]], *, batch: int = 7) -> dict[str, float]:
    evaluator = Evaluator(metric)
    for start in range(0, len(records), batch):
        evaluator.process(_samples(records[start : start + batch]))
    return evaluator.evaluate(len(records))


def test_dev_metrics_equal_the_functions(tmp_path: Path) -> None:
    records = make_records(200, 0)
    metric = METRICS.build({'type': 'FASMetric', 'out_file': str(tmp_path / 'dev.csv')})
    metrics = _run(metric, records)
    table = ScoreTable.from_records(records)
    point = functional.eer(table.score, table.is_live)
    assert metrics['dev/threshold'] == point.threshold
    assert metrics['dev/hter'] == metrics['dev/eer'] == point.value
    assert metrics['dev/auc'] == functional.auc(table.score, table.is_live)
    assert metrics == {f'dev/{name}': value for name, value in FASMetric.calculate_dev(table).items()}
    assert ScoreTable.from_csv(tmp_path / 'dev.csv').to_records() == records
    assert metric.results == []


@pytest.mark.parametrize(
    'options', [{}, {'prefix': 'val'}, {'split': 'test'}, {'split': 'test', 'threshold': 0.5}]
)
def test_announced_names_are_those_that_come(options: dict[str, Any]) -> None:
    announced = FASMetric.names_given_by(options)
    given = _run(FASMetric(**options), make_records(200, 0))
    for name in given:
        assert any(fnmatchcase(name, pattern) for pattern in announced), name
    for pattern in announced:
        assert any(fnmatchcase(name, pattern) for name in given), pattern


def test_scores_may_be_tensors_and_offline_equals_online(tmp_path: Path) -> None:
    records = make_records(60, 2)
    for record in records:
        record['score'] = float(torch.tensor(record['score'], dtype=torch.float32))
    dicts = [{**row, 'gt_label': row['label'], 'pred_score': torch.tensor(row['score'])} for row in records]
    metric = FASMetric(out_file=str(tmp_path / 'dev.csv'), level='video', how='max')
    metric.process(None, dicts)
    online = metric.evaluate(len(dicts))
    offline = FASMetric.calculate_dev(
        ScoreTable.from_csv(tmp_path / 'dev.csv'), ScoreRules(level='video', frame_reduction='max')
    )
    assert online == {f'dev/{name}': value for name, value in offline.items()}


def test_test_split_takes_its_threshold_from_outside(tmp_path: Path) -> None:
    dev, records = make_table(200, 0, domain='C'), make_records(200, 1, shift=1.0)
    dev.to_csv(tmp_path / 'dev.csv')
    metrics = _run(FASMetric('test', dev_scores=str(tmp_path / 'dev.csv')), records)
    report = evaluate_scores(ScoreTable.from_records(records), dev=dev)
    assert metrics['test/hter'] == report.operating.hter.value
    assert metrics['test/threshold'] == report.operating.threshold.value
    assert metrics['test/apcer_mask3d'] == report.operating.apcer.per_pai['mask3d'].value
    assert metrics['test/eer_oracle'] == report.oracle.eer.value
    assert _run(FASMetric('test', threshold=0.5), records)['test/threshold'] == 0.5


def test_test_split_without_threshold_has_auc_and_oracles_only() -> None:
    names = set(_run(FASMetric('test', prefix='W'), make_records(100, 1)))
    assert names == {'W/auc', 'W/eer_oracle', *(f'W/tpr_at_fpr_{t}_oracle' for t in ('0.01', '0.001', '0.0001'))}


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ({'split': 'val'}, "split must be 'dev' or 'test'"),
        ({'criterion': 'best'}, 'unknown threshold criterion'),
        ({'threshold': 0.5}, "belong to split='test'"),
        ({'split': 'test', 'threshold': 0.5, 'dev_scores': 'x.csv'}, 'not both'),
    ],
)
def test_contradicting_options_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        FASMetric(**options)


def test_broken_samples_are_named() -> None:
    sample = {'sample_id': 'a.png', 'gt_label': 1, 'pred_score': float('nan')}
    with pytest.raises(ValueError, match="score of sample 'a.png' is nan"):
        FASMetric().process(None, [sample])
    with pytest.raises(KeyError, match='pred_score'):
        FASMetric().process(None, [{'sample_id': 'a.png', 'gt_label': 1}])


def test_one_class_dev_split_says_why_there_is_no_threshold() -> None:
    with pytest.raises(ValueError, match='no threshold can be chosen on the dev scores.*without live samples'):
        _run(FASMetric(), [row for row in make_records(60, 0) if not row['label']])


def evaluate_half(rank: int, folder: Path) -> dict[str, float]:
    """Evaluate as one of two processes, with every second record as mmengine's DefaultSampler deals them."""
    records = json.loads((folder / 'records.json').read_text(encoding='utf-8'))
    mine = (records + records[:1])[rank::2]  # the first record again, where the halves differ
    metric = FASMetric(out_file=f'{folder}/dev.csv', collect_dir=f'{folder}/exchange')
    rows = [dict(row, gt_label=row['label'], pred_score=row['score']) for row in mine]
    for start in range(0, len(rows), 4):
        metric.process(None, rows[start : start + 4])
    return metric.evaluate(len(records))


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    records = make_records(101, 3)
    (tmp_path / 'records.json').write_text(json.dumps(records), encoding='utf-8')
    expected = _run(FASMetric(), records)
    assert run_group(evaluate_half, tmp_path) == [expected, expected]
    assert ScoreTable.from_csv(tmp_path / 'dev.csv').to_records() == records
