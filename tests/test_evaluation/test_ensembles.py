"""Ensembles and pooled folds: loops, a published number, refusals and the commands."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from math import exp, log
from pathlib import Path

import numpy as np
import pytest

from mmfas.cli.scores.ensemble import main as ensemble_command
from mmfas.cli.scores.pool import main as pool_command
from mmfas.evaluation import ScoreRules, ScoreTable, evaluate_scores, functional
from mmfas.evaluation.ensembles import ensemble
from mmfas.evaluation.pooling import centre_scores, pool_folds
from mmfas.utils.errors import InputError

from .tables import make_table

FULL = Path(__file__).resolve().parents[3] / 'shared' / 'data' / 'chalearn_casia_surf_val'


def systems() -> list[ScoreTable]:
    """Three systems' scores of the same 60 samples, each in an order of its own."""
    first = make_table(60, 0)
    rng = np.random.default_rng(1)
    others = [replace(first, score=rng.random(60)) for _ in range(2)]
    return [first, *(table.take(rng.permutation(60)) for table in others)]


@pytest.mark.parametrize('rule', ['mean', 'log-odds', 'median', 'min', 'max'])
def test_every_sample_gets_what_a_loop_gives_it(rule: str) -> None:
    tables = systems()
    joined = ensemble(tables, rule=rule)
    assert joined.sample_id.tolist() == tables[0].sample_id.tolist()
    for key, score in zip(joined.keys(), joined.score):
        own = [float(table.score[table.keys().index(key)]) for table in tables]
        expected = {
            'mean': sum(own) / 3,
            'log-odds': 1 / (1 + exp(-sum(log(s / (1 - s)) for s in own) / 3)),
            'median': sorted(own)[1],
            'min': min(own),
            'max': max(own),
        }[rule]
        assert score == pytest.approx(expected, abs=1e-12)


def test_weights_are_relative() -> None:
    tables = systems()
    np.testing.assert_allclose(
        ensemble(tables[:2], weights=(3, 1)).score,
        0.75 * tables[0].score + 0.25 * ensemble([tables[0], tables[1]], weights=(1e-12, 1)).score,
        atol=1e-9,
    )


@pytest.mark.skipif(not FULL.is_dir(), reason='the CASIA-SURF validation scores are not here')
def test_challenge_winner_is_an_ensemble_of_folds() -> None:
    def column(file: str, name: str) -> list[float]:
        with open(FULL / file, encoding='utf-8', newline='') as lines:
            return [float(row[name]) for row in csv.DictReader(lines)]

    labels = [int(label) for label in column('labels.csv', 'label')]
    pai = ['live' if label else 'papermask' for label in labels]
    tables = []
    for fold in (1, 2, 3):
        for crop in ('crop0', 'crop0_hflip'):
            scores = column(f'exp1_2stage_seed1_fold{fold}.csv', crop)
            rows = zip(labels, pai, scores, strict=True)
            tables.append(
                ScoreTable.from_records(
                    dict(sample_id=str(i), label=a, pai=b, score=c) for i, (a, b, c) in enumerate(rows)
                )
            )
    joined = ensemble(tables)
    point = functional.tpr_at_fpr(joined.score, joined.is_live, target=1e-4)
    assert round(point.tpr.value, 4) == 0.9987


def test_refusals() -> None:
    first, second, _ = systems()
    with pytest.raises(InputError, match='at least two systems, got 1'):
        ensemble([first])
    with pytest.raises(InputError, match="1 samples of A are not in B, the first is 'W/00007.png'"):
        ensemble([first, second.take(second.sample_id != 'W/00007.png')], names=('A', 'B'))
    with pytest.raises(InputError, match='1 samples of B are not in A'):
        ensemble([first.take(np.arange(1, 60)), second], names=('A', 'B'))
    other = replace(second, pai=np.where(second.pai == 'print', 'photo', second.pai))
    with pytest.raises(InputError, match='pai is print in table 1, but photo in table 2'):
        ensemble([first, other])
    with pytest.raises(InputError, match='weights go with mean and log-odds, not with max'):
        ensemble([first, second], rule='max', weights=(1, 2))
    with pytest.raises(InputError, match=r'expected 2 weights above 0, one for each system, got \[1, 0\]'):
        ensemble([first, second], weights=(1, 0))
    with pytest.raises(InputError, match='log-odds need scores in'):
        ensemble([first, replace(second, score=second.score + 1)], rule='log-odds')


def test_ensemble_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = systems()
    paths = [str(tmp_path / f'{index}.csv') for index in range(3)]
    for path, table in zip(paths, tables, strict=True):
        table.to_csv(path)
    out = tmp_path / 'joined.csv'
    assert ensemble_command([*paths, '--out', str(out), '--weights', '1', '2', '1']) == 0
    np.testing.assert_array_equal(ScoreTable.from_csv(out).score, ensemble(tables, weights=(1, 2, 1)).score)
    assert capsys.readouterr().out.count('60 samples, AUC ') == 4
    assert ensemble_command([paths[0], '--out', str(out)]) == 2
    assert 'at least two systems, got 1' in capsys.readouterr().err


def test_moving_a_threshold_changes_no_order_and_no_decision() -> None:
    rng = np.random.default_rng(0)
    scores = np.sort(np.concatenate([rng.random(500), [0, 1], np.nextafter(rng.random(50), 1)]))
    for threshold in (*scores[::37], 0.0, 1.0, 1.5, -0.2, float(np.nextafter(1, 2))):
        moved = centre_scores(scores, threshold)
        assert ((moved >= 0.5) == (scores >= threshold)).all()
        assert (np.diff(moved) >= 0).all() and moved.min() >= 0 and moved.max() <= 1


def folds() -> dict[str, tuple[ScoreTable, ScoreTable]]:
    """Three folds of other domains, with scores that are shifted against each other."""
    return {
        f'fold{k}': (make_table(60, k, domain=f'D{k}', shift=k), make_table(45, 10 + k, domain=f'T{k}', shift=k))
        for k in range(3)
    }


@pytest.mark.parametrize('level', ['frame', 'video'])
def test_pooled_decisions_are_those_of_the_folds(level: str) -> None:
    rules = ScoreRules(level=level, num_bootstrap=0)
    pooled = pool_folds(folds(), rules)
    wrong = {'live': 0, 'attack': 0}
    for dev, test in folds().values():
        report = evaluate_scores(test, dev=dev, rules=rules)
        assert report.operating is not None
        wrong['live'] += report.operating.bpcer.errors
        wrong['attack'] += report.operating.apcer.pooled.errors
    everything = evaluate_scores(pooled.table, rules=ScoreRules('fixed=0.5', num_bootstrap=0))
    assert everything.operating is not None
    assert everything.operating.bpcer.errors == wrong['live'] > 0
    assert everything.operating.apcer.pooled.errors == wrong['attack'] > 0
    assert len(pooled.table) == sum(len(rules.reduce(test)) for _, test in folds().values())


def test_folds_that_do_not_go_together_are_refused() -> None:
    given = folds()
    with pytest.raises(
        InputError, match="'T0/00000.png' is a test sample of fold0 and of fold1; folds share none"
    ):
        pool_folds({**given, 'fold1': (given['fold1'][0], given['fold0'][1])})
    with pytest.raises(InputError, match='at least one fold'):
        pool_folds({})


def test_pool_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, (dev, test) in folds().items():
        dev.to_csv(tmp_path / name / 'dev.csv')
        test.to_csv(tmp_path / name / 'test.csv')
    first = folds()['fold0'][1]
    first.with_columns({'frame': range(len(first))}).to_csv(tmp_path / 'fold0' / 'test.csv')
    places = [str(tmp_path / name) for name in folds()]
    assert pool_command([*places, '--out', str(tmp_path / 'pooled.csv')]) == 0
    np.testing.assert_array_equal(
        ScoreTable.from_csv(tmp_path / 'pooled.csv').score, pool_folds(folds()).table.score
    )
    text = capsys.readouterr().out
    assert re.search(r'frame: empty for .*fold1, .*fold2, whose files have no such column', text)
    assert '| all' in text and '--criterion fixed=0.5' in text
    assert pool_command([*places, '--out', str(tmp_path / 'videos.csv'), '--level', 'video']) == 0
    assert 'frame: (mixed) where the frames of one video differ, so --by refuses it' in capsys.readouterr().out
    assert pool_command([places[0], str(tmp_path / 'none'), '--out', str(tmp_path / 'x.csv')]) == 2
    assert 'does not exist' in capsys.readouterr().err


def test_columns_of_any_file_are_kept_unless_the_files_contradict_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, other, _ = systems()
    names = first.sample_id.tolist()
    sex = {name: 'fm'[number % 2] for number, name in enumerate(names)}
    one = first.with_columns({'sex': [sex[name] for name in names], 'vendor': ['A'] * 60})
    two = other.with_columns({'vendor': ['B'] * 60, 'age': [f'{len(name)}' for name in other.sample_id.tolist()]})
    for name, table in (('a', one), ('b', two)):
        table.to_csv(tmp_path / f'{name}.csv')
    out = str(tmp_path / 'joined.csv')
    assert ensemble_command([str(tmp_path / 'a.csv'), str(tmp_path / 'b.csv'), '--out', out]) == 0
    assert 'left out, as the files say different things in them: vendor\n' in capsys.readouterr().out
    joined = ScoreTable.from_csv(out)
    assert set(joined.extra) == {'sex', 'age'}
    assert joined.column('sex').tolist() == list(sex.values())


def test_a_sample_that_one_system_failed_to_acquire_has_no_score_in_either_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = make_table(60, 0).to_records()
    scored = ScoreTable.from_records({**row, 'sex': 'f'} for row in rows)
    failing = ScoreTable.from_records(
        {**row, 'sex': 'f', **(dict(score=None, reason='no face') if row['sample_id'] == 'W/00003.png' else {})}
        for row in rows
    )
    for tables in ([scored, failing], [failing, scored], [failing, failing]):
        joined = ensemble(tables, names=['a', 'b'])
        assert len(joined) == 59
        (lost,) = joined.failures
        assert (lost.sample_id, lost.extra) == ('W/00003.png', {'sex': 'f'})
        assert lost.reason in ('a: no face', 'b: no face')
    short = scored.take([row for row in range(60) if row != 3])
    for tables in ([short, failing], [failing, short]):
        with pytest.raises(
            InputError, match=r"'W/00003.png' has no score \(.*: no face\), and . does not hold it"
        ):
            ensemble(tables, names=['a', 'b'])
    scored.to_csv(tmp_path / 'a.csv')
    failing.to_csv(tmp_path / 'b.csv')
    out = str(tmp_path / 'joined.csv')
    assert ensemble_command([str(tmp_path / 'a.csv'), str(tmp_path / 'b.csv'), '--out', out]) == 0
    assert 'samples without a score, as not every system has one of them: 1\n' in capsys.readouterr().out
