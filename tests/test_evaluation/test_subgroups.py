"""Error rates group by group: rates of the parts, gaps, groups of instruments, attributes from a table beside."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmfas.cli.scores import eval as scores_eval
from mmfas.evaluation import FASMetric, ScoreRules, ScoreTable, Threshold, evaluate_scores, functional
from mmfas.evaluation.attributes import join_attributes
from mmfas.evaluation.pai_groups import check_pai_groups
from mmfas.evaluation.score_table import MIXED
from mmfas.evaluation.subgroups import NOT_STATED, judge_subgroups

from .tables import make_records, make_table

HALF = Threshold(0.5, 'fixed')


def records_by_sex(num: int = 400, *, handicap: float = 0.5) -> list[dict[str, Any]]:
    """Records where every second subject is female, whose live scores are too low."""
    rows = make_records(num, 1)
    for row in rows:
        row['sex'] = 'fm'[int(row['subject'][1:]) % 2]
        if row['sex'] == 'f' and row['label']:
            row['score'] *= handicap
    return rows


def test_rates_of_a_group_are_those_of_its_samples_alone() -> None:
    table = ScoreTable.from_records(records_by_sex())
    report = evaluate_scores(table, threshold=HALF, by=['sex', 'domain'], num_bootstrap=0)
    by_sex, by_domain = report.subgroups
    assert [group.name for group in by_sex.groups] == ['f', 'm']
    for group in by_sex.groups:
        alone = evaluate_scores(table.select(sex=group.name), threshold=HALF, num_bootstrap=0).operating
        assert (group.bpcer, group.apcer) == (alone.bpcer, alone.apcer)
    assert [group.bpcer for group in by_domain.groups] == [report.operating.bpcer]
    assert by_domain.gaps == ()


def test_a_planted_gap_is_found_with_an_interval_that_excludes_nothing() -> None:
    table = ScoreTable.from_records(records_by_sex())
    part = evaluate_scores(table, threshold=HALF, by=['sex'], num_bootstrap=200).subgroups[0]
    live, attacks = part.gaps
    rates = {group.name: group.bpcer.value for group in part.groups}
    assert (live.worst, live.best, live.unit) == ('f', 'm', 'video')
    assert live.value == rates['f'] - rates['m'] and 0 < live.interval.low < live.value < live.interval.high
    assert attacks.interval.low < 0 < attacks.interval.high
    text = evaluate_scores(table, threshold=HALF, by=['sex'], num_bootstrap=200).table()
    assert 'f above m' in text and 'excludes 0' in text and 'includes 0' in text


@pytest.mark.parametrize(
    ('first', 'second', 'low', 'high'),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((10, 10), (0, 10), 0.6075, 1.0)],
)
def test_interval_of_a_difference_is_that_of_newcombes_table(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    interval = functional.difference_interval(first, second)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=6e-5)


def test_clustered_gap_equals_a_loop_over_the_same_draws() -> None:
    wrong = np.array([1, 0, 0, 1, 1, 0]), np.array([0, 0, 1, 0])
    cluster = list('aabbcc'), list('xxyz')
    found = functional.bootstrap_rate_difference(
        (wrong[0], cluster[0]), (wrong[1], cluster[1]), rng=np.random.default_rng(5), num_replicates=40
    )
    rng, rates = np.random.default_rng(5), []
    for errors, names in zip(wrong, cluster):
        kinds = sorted(set(names))
        replicates = []
        for drawn in rng.integers(len(kinds), size=(40, len(kinds))):
            rows = [i for k in drawn for i, name in enumerate(names) if name == kinds[k]]
            replicates.append(errors[rows].mean())
        rates.append(np.array(replicates))
    low, high = np.quantile(rates[0] - rates[1], [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


def test_small_groups_are_noted_and_leave_the_gap_to_the_others() -> None:
    rows = records_by_sex()
    for number, row in enumerate(row for row in rows if row['sex'] == 'm' and row['label']):
        row['sex'] = 'x' if number < 5 else ''
    part = evaluate_scores(ScoreTable.from_records(rows), threshold=HALF, by=['sex'], num_bootstrap=0).subgroups[0]
    assert [group.name for group in part.groups] == ['(not stated)', 'f', 'm', 'x']
    assert any(
        'Fewer than 30 samples, read the interval: ' in note and 'x (5 live)' in note for note in part.notes
    )
    assert {part.gaps[0].worst, part.gaps[0].best} == {'f', 'x'}, 'only one group is large: all stated ones count'


def test_groups_of_instruments_stand_beside_the_instruments() -> None:
    table = make_table(400, 1)
    report = evaluate_scores(table, threshold=HALF, pai_groups={'print|replay': '2D'}, num_bootstrap=0)
    assert report.operating.apcer.worst_pai == 'mask3d'
    two_d, mask = report.subgroups[0].groups
    alone = table.select(pai=('print', 'replay'))
    assert (two_d.name, mask.name) == ('2D', 'mask3d') and two_d.bpcer is None
    assert two_d.apcer.pooled == functional.far(alone.score, alone.is_live, threshold=0.5)
    assert set(report.to_dict()['subgroups'][0]['groups']) == {'2D', 'mask3d'}


@pytest.mark.parametrize(
    ('groups', 'text'),
    [
        ({'paper': '2D'}, "'paper=2D' fits no instrument; there are mask3d, print, replay"),
        ({'print': 'a', 'pri.*': 'b'}, "'print' fits the groups a and b"),
        ({'(': 'a'}, r"regular expression '\(' cannot be read"),
        ({'print': 'live'}, "other than 'live'"),
    ],
)
def test_groups_that_fit_nothing_or_two_are_refused(groups: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        evaluate_scores(make_table(100, 1), threshold=HALF, pai_groups=groups)


def test_unknown_column_and_mixed_videos_are_refused() -> None:
    rows = make_records(100, 1)
    for number, row in enumerate(rows):
        row['frame'] = str(number % 5)
    table = ScoreTable.from_records(rows)
    with pytest.raises(KeyError, match="no column 'sex'; it has sample_id.*frame"):
        evaluate_scores(table, threshold=HALF, by=['sex'])
    assert set(table.aggregate('video').extra['frame'].tolist()) == {MIXED}
    with pytest.raises(ValueError, match="has frames that differ in 'frame'"):
        evaluate_scores(table, threshold=HALF, by=['frame'], level='video')


def test_further_columns_come_back_from_a_file_and_through_every_table(tmp_path: Path) -> None:
    table = ScoreTable.from_records(records_by_sex(60))
    table.to_csv(tmp_path / 'scores.csv')
    again = ScoreTable.from_csv(tmp_path / 'scores.csv')
    assert again.to_records() == table.to_records() == records_by_sex(60)
    assert again.select(sex='f').extra['sex'].tolist() == ['f'] * int((table.extra['sex'] == 'f').sum())
    joined = ScoreTable.concat([again.select(sex='f'), make_table(20, 0, domain='C')])
    assert joined.extra['sex'][-20:].tolist() == [''] * 20
    assert set(again.aggregate('video').extra['sex'].tolist()) == {'f', 'm'}
    with pytest.raises(ValueError, match="'score' is a column of every score file"):
        table.with_columns({'score': np.zeros(60)})


def test_attributes_are_joined_by_subject(tmp_path: Path) -> None:
    path, rows = tmp_path / 'people.csv', records_by_sex(100)
    people = sorted({(row['subject'], row['sex']) for row in rows})
    path.write_text('subject,sex\n' + ''.join(f'{who},{sex}\n' for who, sex in people[1:]), encoding='utf-8')
    table = join_attributes(make_table(100, 1), path)
    expected = ['' if row['subject'] == people[0][0] else row['sex'] for row in rows]
    assert table.extra['sex'].tolist() == expected


@pytest.mark.parametrize(
    ('content', 'text'),
    [
        ('person,sex\na,f\n', 'expected a column sample_id or video or subject, got person,sex'),
        ('subject\ns1\n', 'expected columns to add'),
        ('subject,sex\nnobody,f\n', "no row fits a sample of the scores, whose first has subject 's0'"),
        ('subject,sex\ns1,f,x\n', 'line 2: expected 2 cells, as the header has, got more'),
        ('subject,sex\ns1\n', 'line 2: expected 2 cells, as the header has, got fewer'),
        ('subject,sex\ns1,f\ns1,m\n', "line 3: subject 's1' is there before, with other values"),
    ],
)
def test_attributes_that_fit_nothing_are_refused(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / 'people.csv'
    path.write_text(content, encoding='utf-8')
    with pytest.raises(ValueError, match=text):
        join_attributes(make_table(100, 1), path)


def test_attributes_fill_gaps_of_a_column_but_do_not_contradict_it(tmp_path: Path) -> None:
    path = tmp_path / 'people.csv'
    path.write_text('subject,sex\ns0,f\ns1,m\n', encoding='utf-8')
    table = make_table(60, 1)
    is_first = table.subject == 's0'
    joined = join_attributes(table.with_columns({'sex': np.where(is_first, 'f', '')}), path)
    assert set(joined.extra['sex'][is_first]) == {'f'}
    assert set(joined.extra['sex'][table.subject == 's1']) == {'m'}
    with pytest.raises(ValueError, match="column sex says 'f' of sample .* that says 'm'; rename one"):
        join_attributes(table.with_columns({'sex': ['m'] * 60}), path)


def test_columns_that_are_no_groups_and_groups_that_have_no_gap_are_said() -> None:
    table = make_table(100, 1)
    for column in ('sample_id', 'label', 'score'):
        with pytest.raises(ValueError, match=f"the values of '{column}' are no groups"):
            evaluate_scores(table, threshold=HALF, by=[column])
    with pytest.raises(ValueError, match='no attacks whose instruments'):
        evaluate_scores(table.select(label=1), threshold=HALF, pai_groups={'print': 'a'})
    alike = table.with_columns({'sex': [''] * 100})
    part = evaluate_scores(alike, threshold=HALF, by=['sex'], num_bootstrap=0).subgroups[0]
    assert part.gaps == () and part.notes[0] == 'No gap of BPCER: fewer than two stated groups have live samples.'
    part = evaluate_scores(table, threshold=HALF, by=['video'], num_bootstrap=0).subgroups[0]
    assert 'more.' in part.notes[-1] and len(part.notes[-1]) < 300


def test_gaps_of_many_pairs_have_as_many_replicates_beyond_their_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def spy(*args: object, num_replicates: int, **options: object) -> functional.Interval:
        asked.append(num_replicates)
        return functional.Interval(0.1, 0.2)

    monkeypatch.setattr('mmfas.evaluation.subgroups.bootstrap_rate_difference', spy)
    rows = make_records(600, 1)
    for number, row in enumerate(rows):
        row['device'] = f'd{number % 5}'
    table = ScoreTable.from_records(rows)
    evaluate_scores(table, threshold=HALF, by=['device'], num_bootstrap=100)
    assert asked == [1000, 1000]  # ten pairs


def test_gaps_at_video_level_are_of_videos() -> None:
    rows = records_by_sex(600)
    part = evaluate_scores(ScoreTable.from_records(rows), threshold=HALF, by=['sex'], level='video').subgroups[0]
    assert part.gaps[0].unit == 'video'


def test_command_prints_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ScoreTable.from_records(records_by_sex(200)).to_csv(tmp_path / 'W.csv')
    options = ['--criterion', 'fixed=0.5', '--bootstrap', '0', '--out', str(tmp_path / 'out.json')]
    assert (
        scores_eval.main([str(tmp_path / 'W.csv'), *options, '--by', 'sex', '--group-pai', 'print|replay=2D']) == 0
    )
    assert 'largest gap' in capsys.readouterr().out
    parts = json.loads((tmp_path / 'out.json').read_text(encoding='utf-8'))['reports'][0]['subgroups']
    assert [part['column'] for part in parts] == ['sex', 'pai_group']
    assert scores_eval.main([str(tmp_path / 'W.csv'), *options, '--by', 'age']) == 2
    assert "no column 'age'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        scores_eval.main([str(tmp_path / 'W.csv'), '--group-pai', 'print'])
    assert "'print' is not REGEXP=NAME" in capsys.readouterr().err


@pytest.mark.engine
def test_metric_gives_the_rates_of_groups(tmp_path: Path) -> None:
    rows = records_by_sex(200)
    people = sorted({(row['subject'], row['sex']) for row in rows})
    path = tmp_path / 'people.csv'
    path.write_text('subject,sex\n' + ''.join(f'{who},{sex}\n' for who, sex in people), encoding='utf-8')
    metric = FASMetric('test', threshold=0.5, by=['sex'], attributes=str(path), pai_groups={'print|replay': '2D'})
    plain = [{key: value for key, value in row.items() if key != 'sex'} for row in rows]
    metric.process(None, [{**row, 'gt_label': row['label'], 'pred_score': row['score']} for row in plain])
    found = metric.evaluate(len(plain))
    part = judge_subgroups(ScoreTable.from_records(rows), 'sex', HALF)
    assert found['test/bpcer_sex_f'] == part.groups[0].bpcer.value
    assert found['test/bpcer_gap_sex'] == part.gaps[0].value
    assert {'test/apcer_pooled_sex_m', 'test/apcer_pooled_pai_group_2D'} <= set(found)


def test_rules_of_a_config_take_groups_along() -> None:
    cfg = {'val_evaluator': dict(type='FASMetric', by=['sex'], pai_groups={'print': '2D'})}
    assert ScoreRules.from_config(cfg) == replace(ScoreRules(), by=('sex',), pai_groups=(('print', '2D'),))
    assert check_pai_groups([('a', 'b')]) == (('a', 'b'),)


#: (rejected, live, BPCER) of each group and (accepted, attacks, APCER) of fine instruments, as the functions
#: `bpcer` and `apcer` of gradgpad 2.1.0 (MIT, https://github.com/acostapazo/gradgpad, PyPI) give them for its
#: `auxiliary` scores on `grandtest` at its own dev EER threshold, 0.58837; groups are numbered as there.
GRADGPAD = {
    'sex': {'0': (12, 387, 0.031007751937984496), '1': (19, 137, 0.1386861313868613)},
    'age': {'0': (74, 627, 0.11802232854864433), '1': (167, 1618, 0.10321384425216316),
            '2': (4, 42, 0.09523809523809523)},
    'skin_tone': {'1': (5, 88, 0.056818181818181816), '2': (4, 198, 0.020202020202020204),
                  '3': (88, 815, 0.10797546012269939), '4': (90, 970, 0.09278350515463918),
                  '5': (32, 129, 0.24806201550387597), '6': (26, 87, 0.2988505747126437)},
}  # fmt: skip
GRADGPAD_APCER = {
    '1': (108, 606, 0.1782178217821782), '3': (82, 940, 0.08723404255319149), '4': (0, 160, 0.0),
    '8': (97, 180, 0.5388888888888889), '12': (10, 10, 1.0), '16': (56, 198, 0.2828282828282828),
}  # fmt: skip


@pytest.mark.parametrize('column', GRADGPAD)
def test_groups_have_the_rates_of_gradgpad(column: str) -> None:
    groups = GRADGPAD[column]
    counts = [
        *(('live', name, wrong, total) for name, (wrong, total, _) in groups.items()),
        *((f'pai{name}', '', wrong, total) for name, (wrong, total, _) in GRADGPAD_APCER.items()),
    ]
    rows = [
        dict(
            pai=pai,
            label=int(pai == 'live'),
            score=0.4 if (i < wrong) == (pai == 'live') else 0.6,
            **{column: name},
        )
        for pai, name, wrong, total in counts
        for i in range(total)
    ]
    table = ScoreTable.from_records({'sample_id': i, **row} for i, row in enumerate(rows))
    part = judge_subgroups(table, column, HALF)
    found = {group.name: group.bpcer.value for group in part.groups if group.name in groups}
    assert found == {name: value for name, (_, _, value) in groups.items()}
    ordered = sorted(groups, key=lambda name: groups[name][2])
    (gap,) = [gap for gap in part.gaps if gap.rate == 'BPCER']
    assert (gap.best, gap.worst) == (ordered[0], ordered[-1])
    assert gap.value == groups[ordered[-1]][2] - groups[ordered[0]][2]
    per_pai = {name.removeprefix('pai'): rate.value for name, rate in part.groups[0].apcer.per_pai.items()}
    assert per_pai == {name: value for name, (_, _, value) in GRADGPAD_APCER.items()}


def test_scores_of_gradgpad_give_its_rates_where_it_is_installed() -> None:
    """Every group and instrument of its real scores at its own threshold, by its own functions."""
    spec = importlib.util.find_spec('gradgpad')
    if spec is None or not spec.submodule_search_locations:
        pytest.skip('gradgpad is not installed: pip install --no-deps gradgpad')
    root = Path(spec.submodule_search_locations[0])
    known = json.loads((root / 'data/gradgpad_annotations.json').read_text(encoding='utf-8'))['annotations']
    scores = json.loads((root / 'data/scores/auxiliary/auxiliary_grandtest_test.json').read_text(encoding='utf-8'))
    working = root / 'data/scores/auxiliary/auxiliary_grandtest_devel_working_point.json'
    threshold = json.loads(working.read_text(encoding='utf-8'))['devel']['eer_th']
    rows = []
    for item in (item for item in known if item['id'] in scores):
        attack = item['categorization']['fine_grained_pai']
        person = {name: item['attributes']['person'].get(name) for name in GRADGPAD}
        rows.append(
            dict(
                sample_id=item['id'],
                label=int(attack == 0),
                pai=f'pai{attack}' if attack else 'live',
                score=-scores[item['id']],
                **person,
            )
        )
    table = ScoreTable.from_records(rows)
    for column, groups in GRADGPAD.items():
        part = judge_subgroups(table, column, Threshold(-threshold, 'dev-eer'))
        named = [group for group in part.groups if group.name != NOT_STATED]
        assert {group.name for group in named if group.bpcer} == set(groups)
        for group in (group for group in named if group.bpcer):
            own = np.array([-row['score'] for row in rows if str(row[column]) == group.name and row['label']])
            value = _of_gradgpad(root, 'bpcer')(own, np.zeros(own.size, int), threshold)
            assert (group.bpcer.errors, group.bpcer.total, group.bpcer.value) == (*groups[group.name][:2], value)
    rates = functional.apcer(table.score, table.is_live, table.pai, threshold=-threshold)
    for name, rate in rates.per_pai.items():
        own = -table.score[table.pai == name]
        assert rate.value == _of_gradgpad(root, 'apcer')(own, np.ones(own.size, int), threshold)
        expected = GRADGPAD_APCER.get(name.removeprefix('pai'))
        assert expected is None or (rate.errors, rate.total, rate.value) == expected


def _of_gradgpad(root: Path, name: str) -> Any:
    """Load one function of gradgpad without the package, which needs old libraries."""
    spec = importlib.util.spec_from_file_location(f'gradgpad_{name}', root / f'foundations/metrics/{name}.py')
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)
