"""The report: threshold from dev, errors on test, oracle values labelled, undefined numbers said so."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from mmfas.evaluation import FASMetric, ScoreTable, Threshold, evaluate_scores, functional, summarise

from .tables import make_table


@pytest.fixture(scope='module')
def dev() -> ScoreTable:
    return make_table(300, 0, domain='C')


@pytest.fixture(scope='module')
def test() -> ScoreTable:
    return make_table(600, 1, domain='W', shift=0.7)


def test_numbers_are_those_of_the_pure_functions(dev: ScoreTable, test: ScoreTable) -> None:
    report = evaluate_scores(test, dev=dev, criterion='bpcer@apcer=0.05').to_dict()
    threshold = functional.bpcer_at_apcer(dev.score, dev.is_live, dev.pai, target=0.05).threshold
    assert report['threshold'] == {'value': threshold, 'origin': 'dev-bpcer@apcer=0.05'}
    arrays = test.score, test.is_live
    attacks = functional.apcer(*arrays, test.pai, threshold=threshold)
    both = functional.acer(*arrays, test.pai, threshold=threshold)
    assert report['hter']['value'] == functional.hter(*arrays, threshold=threshold)
    assert report['bpcer']['errors'] == functional.bpcer(*arrays, threshold=threshold).errors
    assert {name: (r['errors'], r['total']) for name, r in report['apcer'].items()} == {
        name: (rate.errors, rate.total) for name, rate in attacks.per_pai.items()
    }
    assert (report['apcer_max']['pai'], report['apcer_max']['value']) == (attacks.worst_pai, attacks.max.value)
    assert (report['acer_max'], report['acer_pooled']) == (both.max, both.pooled)
    assert report['auc']['value'] == functional.auc(*arrays)
    assert report['oracle']['eer']['value'] == functional.eer(*arrays).value
    targets = [point['target'] for point in report['oracle']['tpr_at_fpr']]
    assert targets == [0.01, 0.001, 0.0001]
    for point in report['oracle']['tpr_at_fpr']:
        assert point['value'] == functional.tpr_at_fpr(*arrays, target=point['target']).tpr.value


def test_dev_threshold_makes_hter_differ_from_the_oracle(dev: ScoreTable, test: ScoreTable) -> None:
    report = evaluate_scores(test, dev=dev)
    assert report.operating.threshold.origin == 'dev-eer'
    assert report.operating.hter.value > report.oracle.eer.value


def test_video_level_reduces_dev_and_test_alike(dev: ScoreTable, test: ScoreTable) -> None:
    by_level = evaluate_scores(test, dev=dev, level='video', how='median', num_bootstrap=0)
    by_hand = evaluate_scores(
        test.aggregate('video', frame_reduction='median'),
        dev=dev.aggregate('video', frame_reduction='median'),
        num_bootstrap=0,
    )
    values, expected = by_level.to_dict(), by_hand.to_dict()
    for key in ('threshold', 'hter', 'bpcer', 'apcer', 'acer_max', 'auc', 'oracle', 'num_live'):
        assert values[key] == expected[key]
    assert (values['level'], values['how'], values['interval_unit']) == ('video', 'median', 'video')
    assert expected['how'] is None


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in _leaves(part)]
    if isinstance(value, list):
        return [leaf for part in value for leaf in _leaves(part)]
    return [value]


@pytest.mark.parametrize('rows', ['all', 'live', 'spoof'])
@pytest.mark.parametrize('with_dev', [True, False])
def test_json_holds_finite_plain_values_only(dev: ScoreTable, test: ScoreTable, rows: str, with_dev: bool) -> None:
    table = test if rows == 'all' else test.select(label=int(rows == 'live'))
    values = evaluate_scores(table, dev=dev if with_dev else None).to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert {type(leaf) for leaf in _leaves(values)} <= {int, float, str, bool, type(None)}


def test_without_dev_only_threshold_free_and_oracle_numbers(test: ScoreTable) -> None:
    report = evaluate_scores(test)
    values = report.to_dict()
    assert all(values[key] is None for key in ('threshold', 'hter', 'bpcer', 'apcer', 'acer_max', 'acer_pooled'))
    assert values['auc'] is not None and values['oracle'] is not None
    text = report.table()
    assert 'No dev scores, so no threshold' in text and 'threshold none' in text
    assert not any(row[0].startswith(('HTER', 'ACER', 'APCER')) for row in report.rows())
    assert all('(oracle)' in row[0] for row in report.rows() if row[0] != 'AUC')


def test_shared_samples_are_refused_and_shared_subjects_noted(dev: ScoreTable, test: ScoreTable) -> None:
    with pytest.raises(
        ValueError, match="10 samples are in both dev and test, among them 'W/00000.png' of domain 'W'"
    ):
        evaluate_scores(test, dev=ScoreTable.concat([dev, test.take(np.arange(10))]))
    halves = test.take(np.arange(0, 600, 2)), test.take(np.arange(1, 600, 2))
    assert '30 subjects are in both dev and test.' in evaluate_scores(halves[0], dev=halves[1]).notes


def test_fixed_thresholds_and_contradictions(dev: ScoreTable, test: ScoreTable) -> None:
    by_number = evaluate_scores(test, threshold=0.4).to_dict()
    assert by_number['threshold'] == {'value': 0.4, 'origin': 'fixed'}
    assert evaluate_scores(test, criterion='fixed=0.4').to_dict() == by_number
    record = Threshold(0.4, 'dev-eer')
    assert evaluate_scores(test, threshold=record).operating.threshold is record
    with pytest.raises(ValueError, match='either dev scores or a threshold, not both'):
        evaluate_scores(test, dev=dev, threshold=0.4)


def test_fixed_thresholds_say_what_they_leave_unused(dev: ScoreTable, test: ScoreTable) -> None:
    unused = 'The dev scores do not fix the threshold: it was given.'
    report = evaluate_scores(test, dev=dev, criterion='fixed=0.4')
    assert unused in report.notes
    assert not any('separates nothing' in note for note in report.notes)
    halves = test.take(np.arange(0, 600, 2)), test.take(np.arange(1, 600, 2))
    notes = evaluate_scores(halves[0], dev=halves[1], criterion='fixed=0.4').notes
    assert notes[:2] == ('30 subjects are in both dev and test.', unused)
    for value, verdict in ((-3, 'live'), (50, 'attack')):
        (note,) = (n for n in evaluate_scores(test, criterion=f'fixed={value}').notes if 'separates nothing' in n)
        assert note.startswith(f'The fixed threshold {value} separates') and note.endswith(f'count as {verdict}.')


@pytest.mark.parametrize(
    ('option', 'text'),
    [
        ({'level': 'clip'}, 'level must be one of frame, video, subject'),
        ({'cluster': 'person'}, 'cluster must be one of auto, sample, video, subject'),
        (
            {'level': 'subject', 'cluster': 'video'},
            "cluster 'video' is finer than level 'subject', .*; give --cluster subject or auto, or --level video",
        ),
        ({'criterion': 'best'}, "unknown threshold criterion 'best'"),
    ],
)
def test_unknown_options_are_refused(test: ScoreTable, option: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        evaluate_scores(test, **option)


def test_dev_with_one_class_is_refused_with_its_reason(dev: ScoreTable, test: ScoreTable) -> None:
    with pytest.raises(ValueError, match='no threshold can be chosen on the dev scores: .* without spoof samples'):
        evaluate_scores(test, dev=dev.select(label=1))


def test_one_class_shows_what_is_absent(dev: ScoreTable, test: ScoreTable) -> None:
    cells = {row[0]: row[1] for row in evaluate_scores(test.select(label=0), dev=dev).rows()}
    assert cells['HTER'] == cells['BPCER'] == cells['AUC'] == cells['ACER max'] == 'n/a (no live samples)'
    assert cells['APCER mask3d'] != 'n/a (no live samples)'
    cells = {row[0]: row[1] for row in evaluate_scores(test.select(label=1), dev=dev).rows()}
    assert cells['APCER'] == cells['HTER'] == 'n/a (no attack samples)'
    assert cells['BPCER'] != cells['HTER']


def test_small_instruments_and_unresolved_targets_are_noted(dev: ScoreTable, test: ScoreTable) -> None:
    table = ScoreTable.concat([test.select(pai=('live', 'print')), test.select(pai='mask3d').take(np.arange(3))])
    notes = ' '.join(evaluate_scores(table, dev=dev).notes)
    assert 'APCER from fewer than 30 scores, read the interval: mask3d (3).' in notes
    assert 'TPR@FPR=0.001, 0.0001: no attack may be accepted, as one of ' in notes


def test_no_error_at_all_does_not_look_like_certainty() -> None:
    rows = [{'sample_id': i, 'label': i % 2, 'score': i % 2, 'pai': None} for i in range(80)]
    report = evaluate_scores(ScoreTable.from_records(rows), threshold=0.5)
    assert (report.operating.hter.interval.low, report.operating.hter.interval.high) == (0.0, 0.0)
    assert any('the interval of ACER pooled, from counts, says more' in note for note in report.notes)
    assert report.to_dict()['acer_pooled_interval']['high'] > 0.03


def test_intervals_depend_on_the_seed_alone_and_follow_videos(dev: ScoreTable, test: ScoreTable) -> None:
    report = evaluate_scores(test, dev=dev, seed=3)
    order = np.random.default_rng(0).permutation(len(test))
    assert evaluate_scores(test.take(order), dev=dev, seed=3).to_dict() == report.to_dict()
    assert report.interval_unit == 'video'
    assert (
        report.auc.interval
        == evaluate_scores(test, seed=3).auc.interval
        != evaluate_scores(test, seed=4).auc.interval
    )
    assert evaluate_scores(test, cluster='sample').interval_unit == 'sample'
    no_videos = ScoreTable.from_records([{**row, 'video': ''} for row in test.to_records()])
    assert evaluate_scores(no_videos).interval_unit == 'sample'
    assert evaluate_scores(test, num_bootstrap=0).auc.interval is None
    few = test.take(np.arange(10))
    assert 'Too few videos of one class for a bootstrap' in ' '.join(evaluate_scores(few).notes)


def test_texts_carry_counts_origins_and_both_readings_of_acer(dev: ScoreTable, test: ScoreTable) -> None:
    report = evaluate_scores(test, dev=dev, name='W')
    rate = report.operating.apcer.per_pai['mask3d']
    for text in (report.table(), report.markdown()):
        for part in (
            f'{rate.errors}/{rate.total}',
            '(dev-eer)',
            'ACER max',
            'ACER pooled',
            'EER (oracle)',
            'APCER max',
        ):
            assert part in text
    assert report.markdown().splitlines()[2] == '| metric | value % | 95 % interval | counts |'
    with pytest.raises(FrozenInstanceError):
        report.name = 'x'


def test_summary_has_a_row_per_test_set_and_their_mean(dev: ScoreTable, test: ScoreTable) -> None:
    other = make_table(300, 5, domain='S')
    reports = [evaluate_scores(test, dev=dev, name='W'), evaluate_scores(other, dev=dev, name='S')]
    lines = summarise(reports, markdown=True).splitlines()
    assert [line.split(' | ')[0] for line in lines[2:]] == ['| W', '| S', '| mean']
    mean = sum(report.operating.hter.value for report in reports) / 2
    assert lines[-1].split(' | ')[2] == f'{100 * mean:.2f}'
    assert 'mean' not in summarise(reports[:1])
    with pytest.raises(ValueError, match='at least one report'):
        summarise([])


def test_what_is_unknown_is_no_group(dev: ScoreTable, test: ScoreTable) -> None:
    """A data set without ids says 'unknown' for persons and gives every frame a video of its own."""
    rows = [{**row, 'subject': 'unknown', 'video': row['sample_id']} for row in test.to_records()]
    rows = [{**row, 'pai': 'unknown' if row['pai'] == 'print' else row['pai']} for row in rows]
    table, num_print = ScoreTable.from_records(rows), int((test.pai == 'print').sum())
    report = evaluate_scores(table.take(np.arange(0, 600, 2)), dev=table.take(np.arange(1, 600, 2)))
    assert not any('subjects are in both' in note for note in report.notes)
    assert report.interval_unit == 'sample'
    note = f'{num_print} attacks of unknown instrument count as one: APCER max may hide a worse one.'
    assert note in evaluate_scores(table).notes
    with pytest.raises(ValueError, match='has no subject id'):
        evaluate_scores(table, level='subject')
    with pytest.raises(ValueError, match='has no subject id'):
        evaluate_scores(table, cluster='subject')


def test_a_threshold_from_the_test_scores_marks_every_number(test: ScoreTable) -> None:
    oracle = functional.select_threshold(test.score, test.is_live, test.pai, split='test')
    rows = evaluate_scores(test, threshold=oracle).rows()
    assert {'HTER (oracle)', 'BPCER (oracle)', 'ACER max (oracle)'} < {row[0] for row in rows}
    assert all(row[0].endswith('(oracle)') and len(row) == 4 for row in rows if row[0] != 'AUC')
    metrics = FASMetric.calculate_test(test, threshold=oracle)
    assert metrics['hter_oracle'] == functional.hter(test.score, test.is_live, threshold=oracle)
    assert [name for name in metrics if not name.endswith('_oracle')] == ['auc']
