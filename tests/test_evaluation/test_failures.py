"""Presentations without a score: read, counted per label and instrument, rates with and without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmfas.cli.scores import eval as scores_eval
from mmfas.evaluation import FASMetric, ScoreTable, Threshold, evaluate_scores
from mmfas.evaluation.failures import Failure

from .tables import make_records, make_table

HALF = Threshold(0.5, 'fixed')


def with_failures(num: int = 200, *, every: int = 7) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Records of which every seventh has no score, and the others."""
    rows = make_records(num, 1)
    for row in rows[::every]:
        row.update(score=None, reason='no face' if row['label'] else 'blurred')
    return rows, [row for row in rows if row['score'] is not None]


def test_rates_with_and_without_failures_are_counted_by_hand() -> None:
    rows, scored = with_failures()
    report = evaluate_scores(ScoreTable.from_records(rows), threshold=HALF, num_bootstrap=0)
    plain = evaluate_scores(ScoreTable.from_records(scored), threshold=HALF, num_bootstrap=0)
    assert report.operating == plain.operating and report.auc == plain.auc, 'failures change no rate of the others'
    rates = report.failures
    live, lost = [r for r in rows if r['label']], [r for r in rows if r['label'] and r['score'] is None]
    assert str(rates.bpnrr) == f'{len(lost)}/{len(live)}'
    rejected = sum(r['score'] is None or r['score'] < 0.5 for r in live)
    assert str(rates.bpcer) == f'{rejected}/{len(live)}'
    for pai in ('print', 'replay', 'mask3d'):
        mine = [r for r in rows if r['pai'] == pai]
        assert str(rates.apnrr[pai]) == f'{sum(r["score"] is None for r in mine)}/{len(mine)}'
        accepted = sum(r['score'] is not None and r['score'] >= 0.5 for r in mine)
        assert str(rates.apcer.per_pai[pai]) == f'{accepted}/{len(mine)}'
    assert set(rates.reasons) == {'no face', 'blurred'}
    assert plain.failures is None and 'failures' not in plain.to_dict()
    labels = [row[0] for row in report.rows()]
    assert {'FTA live (BPNRR)', 'FTA attacks', 'BPCER, FTA as rejection'} <= set(labels)


def test_without_a_threshold_only_non_response_is_counted() -> None:
    rows, _ = with_failures()
    report = evaluate_scores(ScoreTable.from_records(rows), num_bootstrap=0)
    assert report.failures.bpnrr is not None and report.failures.bpcer is None and report.failures.apcer is None
    assert report.to_dict()['failures']['apcer_max_with_failures'] is None


def test_they_survive_a_file_and_every_way_of_joining(tmp_path: Path) -> None:
    rows, scored = with_failures(70)
    table = ScoreTable.from_records(rows)
    table.to_csv(tmp_path / 'scores.csv')
    again = ScoreTable.from_csv(tmp_path / 'scores.csv')
    assert again.failures == table.failures and len(again) == len(scored)
    header = (tmp_path / 'scores.csv').read_text(encoding='utf-8').splitlines()[0]
    assert header.endswith('score,reason')
    other = ScoreTable.from_records({**row, 'sample_id': f'x{row["sample_id"]}'} for row in rows)
    assert len(ScoreTable.concat([table, other]).failures) == 2 * len(table.failures)
    assert table.take([0, 1]).failures == ()


def test_a_video_is_lost_only_if_all_its_frames_are() -> None:
    rows = make_records(100, 1)
    for row in rows:
        if row['video'] == 'v3' or row['sample_id'].endswith('00000.png'):
            row.update(score=None, reason='no face')
    table = ScoreTable.from_records(rows).aggregate('video')
    assert [(lost.sample_id, lost.pai) for lost in table.failures] == [('W/v3', 'live')]
    report = evaluate_scores(ScoreTable.from_records(rows), threshold=HALF, level='subject', num_bootstrap=0)
    assert report.failures is None
    lost = sum(row['score'] is None for row in rows)
    assert f'{lost} frames have no score. 0 subjects have none at all' in report.table()
    other = make_table(100, 2, domain='C')
    report = evaluate_scores(other, dev=ScoreTable.from_records(rows), num_bootstrap=0)
    assert f'{lost} dev samples without a score took no part' in report.table()
    rows[0]['video'] = ''
    with pytest.raises(ValueError, match='has no score and no video id'):
        ScoreTable.from_records(rows).aggregate('video')


@pytest.mark.parametrize(
    ('cells', 'text'),
    [
        ('a,W,s,v,live,1,,', "line 2, column score: expected a finite number, got ''; .* needs a reason"),
        ('a,W,s,v,live,1,nan,no face', "expected a finite number, got 'nan'"),
        ('a,W,s,v,print,1,,no face', "pai must be 'live' for label 1"),
        ('a,W,s,v,live,1,0.5,\na,W,s,v,live,1,,no face', "'a' occurs before, in line 2"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, cells: str, text: str) -> None:
    path = tmp_path / 's.csv'
    path.write_text(f'sample_id,domain,subject,video,pai,label,score,reason\n{cells}\n', encoding='utf-8')
    with pytest.raises(ValueError, match=text):
        ScoreTable.from_csv(path)


def test_a_table_of_failures_alone_and_one_without_reason_are_refused() -> None:
    with pytest.raises(ValueError, match='at least one sample'):
        ScoreTable.from_records([dict(sample_id='a', label=1, score=None, reason='no face')])
    with pytest.raises(ValueError, match="sample 'a' has no score; its reason must say why"):
        Failure('a', 1, '', pai='live')


def test_groups_count_their_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, _ = with_failures()
    for row in rows:
        row['sex'] = 'fm'[int(row['subject'][1:]) % 2]
    ScoreTable.from_records(rows).to_csv(tmp_path / 'W.csv')
    options = ['--criterion', 'fixed=0.5', '--bootstrap', '0', '--by', 'sex', '--group-pai', 'print|replay=2D']
    assert scores_eval.main([str(tmp_path / 'W.csv'), *options]) == 0
    lost = [row['sex'] for row in rows if row['score'] is None]
    text = capsys.readouterr().out
    assert f'Presentations without a score: f ({lost.count("f")}), m ({lost.count("m")}).' in text
    assert '(not stated)' not in text


@pytest.mark.engine
def test_metric_counts_failures_from_a_file(tmp_path: Path) -> None:
    rows, scored = with_failures()
    lost = [row for row in rows if row['score'] is None]
    path = tmp_path / 'missed.csv'
    columns = ['sample_id', 'domain', 'subject', 'video', 'pai', 'label']
    lines = [','.join([*(str(row[name]) for name in columns), '', row['reason']]) for row in lost]
    path.write_text('\n'.join([','.join([*columns, 'score', 'reason']), *lines]) + '\n', encoding='utf-8')
    metric = FASMetric('test', threshold=0.5, failures=str(path))
    metric.process(None, [{**row, 'gt_label': row['label'], 'pred_score': row['score']} for row in scored])
    found = metric.evaluate(len(scored))
    rates = evaluate_scores(ScoreTable.from_records(rows), threshold=HALF, num_bootstrap=0).failures
    assert found['test/bpnrr'] == rates.bpnrr.value
    assert found['test/apnrr_print'] == rates.apnrr['print'].value
    ScoreTable.from_records(scored).to_csv(path)
    with pytest.raises(ValueError, match='has a score; a file of failures has none'):
        FASMetric('test', failures=str(path))
