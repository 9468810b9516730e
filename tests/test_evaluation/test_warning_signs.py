"""Notes on turned rankings, constant scores and bounds finer than a sample stand beside the numbers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from mmfas.cli.scores.eval import main
from mmfas.evaluation import FASMetric, ScoreRules, ScoreTable, evaluate_scores

from .tables import make_records, make_table


def notes_of(dev: ScoreTable, **changes: Any) -> str:
    """Return the notes of a report on a usual test set."""
    test = make_table(200, 1, domain='W')
    return '\n'.join(evaluate_scores(test, dev=dev, num_bootstrap=0, **changes).notes)


def rescored(table: ScoreTable, score: Any) -> ScoreTable:
    """Return a table with other scores, from a function of the score."""
    return ScoreTable.from_records([{**row, 'score': score(row['score'])} for row in table.to_records()])


@pytest.fixture(scope='module')
def dev() -> ScoreTable:
    return make_table(200, 0, domain='C')


def test_usual_scores_have_their_counts_and_no_warning(dev: ScoreTable) -> None:
    report = evaluate_scores(make_table(200, 1, domain='W'), dev=dev)
    assert (
        report.notes[0] == f'The threshold was chosen on dev scores: {dev.num_live} live, {dev.num_spoof} attacks.'
    )
    assert report.to_dict()['dev'] == dict(num_live=dev.num_live, num_spoof=dev.num_spoof)
    for words in ('rank live below', 'fix no threshold', 'cannot be resolved', 'outside'):
        assert words not in '\n'.join(report.notes)
    assert report.operating.threshold.origin == 'dev-eer'
    by_video = evaluate_scores(make_table(200, 1, domain='W'), dev=dev, level='video')
    assert by_video.notes[0].startswith('The threshold was chosen on dev videos: 14 live, 26 attacks')
    assert (by_video.dev.num_live, by_video.dev.num_spoof) == (14, 26)
    assert evaluate_scores(dev).to_dict()['dev'] is None


@pytest.mark.parametrize('turn', [lambda s: 1 - s, lambda s: -s, lambda s: 1 / (s + 1e-3)])
def test_turned_rankings_are_noted_and_the_numbers_stay(dev: ScoreTable, turn: Any) -> None:
    turned = rescored(dev, turn)
    said = notes_of(turned)
    assert 'On dev the scores rank live below attacks (AUC ' in said
    assert 'is 1 = live and higher = live? Turn the scores, or set live_label=0' in said
    assert 'On dev the scores rank live below attacks' in notes_of(turned, criterion='fixed=0.5')
    report = evaluate_scores(turned)
    assert report.auc.value < 0.2 and any('On test the scores rank live below' in note for note in report.notes)


def test_scores_that_are_all_alike_fix_no_threshold(dev: ScoreTable) -> None:
    constant = rescored(dev, lambda _: 0.25)
    assert 'All 200 dev scores are 0.25, so they fix no threshold: 0.25 is not a choice' in notes_of(constant)
    report = evaluate_scores(make_table(60, 1), dev=constant, criterion='min-hter')
    assert report.operating.threshold.origin == 'dev-min-hter, all alike'
    nearly = rescored(dev, lambda s: 0.25 + 1e-8 * s)
    assert 'All 200 dev scores are 0.25, so they fix no threshold' in notes_of(nearly)
    # Frames differ, but every video has the same mean.
    rows = [{**row, 'score': 0.5 + 0.1 * (i % 5 - 2)} for i, row in enumerate(dev.to_records())]
    rounded = [{**row, 'score': round(row['score'], 1)} for row in rows]
    by_video = notes_of(ScoreTable.from_records(rounded), level='video', frame_reduction='median')
    assert 'All 40 dev scores are 0.5' in by_video


@pytest.mark.parametrize(
    ('criterion', 'words'),
    [
        ('bpcer@apcer=0.01', 'APCER 0.01 cannot be resolved on dev with so few attacks: mask3d (5), print ('),
        ('bpcer@apcer=0.05', 'attacks: mask3d (5). None of them may be accepted, as one of 5 is already 20.0%.'),
        (
            'bpcer@apcer=0',
            'APCER 0 on dev: no sample may be accepted, so the threshold depends on a single dev score.',
        ),
        ('apcer@bpcer=0.001', 'BPCER 0.001 cannot be resolved on dev with so few live samples: live (70).'),
        ('apcer@bpcer=0', 'BPCER 0 on dev: no sample may be rejected'),
    ],
)
def test_bounds_finer_than_a_dev_sample_are_noted(dev: ScoreTable, criterion: str, words: str) -> None:
    assert words in notes_of(dev, criterion=criterion)
    assert 'resolved' not in notes_of(dev, criterion='bpcer@apcer=0.2')


def test_decisions_in_the_place_of_scores_are_noted(dev: ScoreTable) -> None:
    decided = rescored(dev, lambda s: float(s > 0.5))
    assert f'The {len(dev)} dev scores are 0 and 1: they rank nothing' in notes_of(decided)
    test = rescored(make_table(200, 1, domain='W'), lambda s: 0.25)
    notes = '\n'.join(evaluate_scores(test, dev=dev, num_bootstrap=0).notes)
    assert f'The {len(test)} test scores are all 0.25' in notes
    assert 'The threshold dev-eer' in notes and 'separates nothing: all scores, 0.25 to 0.25, count as' in notes


def test_intervals_from_few_replicates_are_noted(dev: ScoreTable) -> None:
    few, enough = (evaluate_scores(make_table(200, 1), dev=dev, num_bootstrap=n).notes for n in (39, 40))
    assert '39 replicates reach no quantile of 2.5 %: take 40 or more.' in few
    assert not any('replicates reach' in note for note in enough)


def test_scores_that_are_no_probabilities_are_noted(dev: ScoreTable) -> None:
    rows = dev.to_records()
    rows[3]['score'] = 3819252710812826.0
    assert '1 of 200 dev scores lie outside [0, 1], from ' in notes_of(ScoreTable.from_records(rows))
    logits = evaluate_scores(rescored(dev, lambda s: 10 * s - 5))
    assert any('test scores lie outside [0, 1], from -' in note for note in logits.notes)


def test_command_shows_the_notes(dev: ScoreTable, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rescored(dev, lambda s: 1 - s).to_csv(tmp_path / 'dev.csv')
    rescored(make_table(60, 1), lambda s: 1 - s).to_csv(tmp_path / 'W.csv')
    assert main([str(tmp_path / 'W.csv'), '--dev', str(tmp_path / 'dev.csv'), '--bootstrap', '0']) == 0
    text = capsys.readouterr().out
    assert '* On dev the scores rank live below attacks' in text and '* On test the scores rank' in text
    assert '* The threshold was chosen on dev scores: 70 live, 130 attacks.' in text
    dev.select(label=1).to_csv(tmp_path / 'live.csv')
    assert main([str(tmp_path / 'W.csv'), '--dev', str(tmp_path / 'live.csv')]) == 2
    assert 'no threshold can be chosen on the dev scores' in capsys.readouterr().err


@pytest.mark.engine
def test_metric_logs_the_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, int]] = []
    monkeypatch.setattr(
        'mmfas.evaluation.metrics.fas_metric.print_log', lambda text, logger, level: said.append((text, level))
    )
    rows = [{**row, 'score': 1 - row['score']} for row in make_records(200, 0)]
    samples = [{**row, 'gt_label': row['label'], 'pred_score': row['score']} for row in rows]
    metric = FASMetric(criterion='bpcer@apcer=0.01')
    metric.process(None, samples)
    assert metric.evaluate(200)['dev/auc'] < 0.2
    text = '\n'.join(line for line, _ in said)
    assert 'dev: On dev the scores rank live below attacks' in text and 'cannot be resolved on dev' in text
    assert 'dev: The threshold was chosen on dev scores: 70 live, 130 attacks.' in text
    assert {level for _, level in said} == {logging.INFO, logging.WARNING}
    said.clear()
    metric.process(None, samples)
    metric.evaluate(200)
    assert logging.INFO not in {level for _, level in said}  # the counts of an unchanged list are logged once


@pytest.mark.engine
def test_metric_refuses_a_dev_file_of_one_class_before_the_first_score(tmp_path: Path) -> None:
    make_table(60, 0).select(label=0).to_csv(tmp_path / 'dev.csv')
    metric = FASMetric('test', dev_scores=str(tmp_path / 'dev.csv'))
    with pytest.raises(ValueError, match='no threshold can be chosen on the dev scores.*without live samples'):
        metric.process(None, [dict(sample_id='a', gt_label=1, pred_score=0.5)])
    assert metric.results == []


@pytest.mark.parametrize(
    ('values', 'text'),
    [
        (dict(criterion='best'), 'unknown threshold criterion'),
        (dict(criterion='fixed=1_0'), 'unknown threshold criterion'),
        (dict(criterion='bpcer@apcer=1'), r'with RATE in \[0, 1\)'),
        (dict(level='clip'), 'level must be one of frame, video, subject'),
        (dict(frame_reduction='min'), 'frame_reduction must be one of mean, median, max'),
        (dict(cluster='person'), 'cluster must be one of auto, sample, video, subject'),
        (dict(num_bootstrap=-1), r'num_bootstrap must be 0 \(no intervals\) or more, got -1'),
        (dict(seed=-1), 'seed must be 0 or more'),
        (dict(level='subject', cluster='video'), "'video' is finer than level 'subject'"),
    ],
)
def test_rules_are_checked_when_they_are_made(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ScoreRules(**values)


def test_rules_come_from_the_config_of_the_metric() -> None:
    metric = dict(type='mmfas.FASMetric', criterion='min-hter', level='video', how='max')
    expected = ScoreRules('min-hter', 'video', 'max', num_bootstrap=5)
    for evaluator in (metric, [dict(type='Accuracy'), metric]):
        assert ScoreRules.from_config(dict(val_evaluator=evaluator), num_bootstrap=5, level=None) == expected
    assert ScoreRules.from_config({}, criterion='fixed=0.5') == ScoreRules('fixed=0.5')
    with pytest.raises(TypeError, match="score rules have no 'levels'; they have criterion, level"):
        ScoreRules().changed(levels='video')
    with pytest.raises(ValueError, match='frame_reduction must be one of'):
        FASMetric(how='min')
