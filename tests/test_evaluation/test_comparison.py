"""Two systems on the same samples: paired bootstrap, McNemar, permutation, and the command with two dev files."""

from __future__ import annotations

import json
from itertools import product
from math import comb
from pathlib import Path

import numpy as np
import pytest

from mmfas.cli.scores import eval as scores_eval
from mmfas.evaluation import ScoreRules, ScoreTable, evaluate_scores, functional
from mmfas.evaluation.comparison import System, compare_systems
from mmfas.evaluation.functional import PairedSamples, mcnemar
from mmfas.evaluation.latex import latex_table

from . import rate_twins
from .tables import make_records, make_table


def pair(num: int = 40, *, seed: int = 3) -> PairedSamples:
    """Scores of two systems with ties, three instruments, clusters of two to four samples."""
    scores, is_live, pai = rate_twins.random_case(seed, num=num)
    rng = np.random.default_rng(seed)
    other = np.clip(scores + rng.integers(-2, 3, num) / 12, 0, 1)
    cluster = np.array([f'v{number}' for number in np.sort(rng.integers(num // 3, size=num))])
    return PairedSamples((scores, other), (0.5, 0.6), is_live, pai, cluster)


def numbers(samples: PairedSamples, system: int, rows: list[int]) -> dict[str, float]:
    """The slow twin: rates of a resampled list."""
    score, is_live, pai = (np.asarray(a)[rows] for a in (samples.scores[system], samples.is_live, samples.pai))
    threshold = samples.thresholds[system]
    attacks = {f'apcer_{k}': float(v) for k, v in rate_twins.apcer(score, is_live, pai, threshold).items()}
    frr, far = (float(rate(score, is_live, threshold)) for rate in (rate_twins.frr, rate_twins.far))
    worst = max(attacks.values())
    return {
        'hter': (frr + far) / 2,
        'bpcer': frr,
        'apcer_max': worst,
        'apcer_pooled': far,
        'acer_max': (frr + worst) / 2,
        'auc': float(rate_twins.auc(score, is_live)),
        **attacks,
    }


def test_paired_bootstrap_equals_a_loop_over_the_same_draws() -> None:
    samples, num = pair(), 12
    found = samples.replicates(np.random.default_rng(1), num)
    rng, rows_of_replicate = np.random.default_rng(1), [[] for _ in range(num)]
    for name in ['live', *sorted(set(samples.pai.tolist()) - {'live'})]:
        inside = [i for i in range(samples.pai.size) if samples.pai[i] == name]
        clusters = sorted({str(samples.cluster[i]) for i in inside})
        for replicate, drawn in enumerate(rng.integers(len(clusters), size=(num, len(clusters)))):
            for number in drawn:
                rows_of_replicate[replicate] += [i for i in inside if samples.cluster[i] == clusters[number]]
    for replicate, rows in enumerate(rows_of_replicate):
        first, second = (numbers(samples, system, rows) for system in (0, 1))
        for name in first:
            assert found[name][replicate] == pytest.approx(second[name] - first[name], abs=1e-12), name
    everything = list(range(samples.pai.size))
    for system in (0, 1):
        assert samples.observed(system) == pytest.approx(numbers(samples, system, everything))


def test_permutation_equals_exchanging_every_decision_one_by_one() -> None:
    samples, num = pair(), 90
    rng, names = np.random.default_rng(5), sorted(set(samples.cluster.tolist()))
    wrong = [samples.wrong(system).tolist() for system in (0, 1)]

    def difference(swap: dict[str, int], pai: str) -> float:
        rows = [i for i in range(samples.pai.size) if samples.pai[i] == pai]
        first, second = (
            sum(wrong[system ^ swap[str(samples.cluster[i])]][i] for i in rows) / len(rows) for system in (0, 1)
        )
        return second - first

    swaps = [dict(zip(names, row.tolist())) for row in rng.integers(2, size=(num, len(names)))]
    found = samples.permutation_p_values(np.random.default_rng(5), num)
    for pai in sorted(set(samples.pai.tolist())):
        actual = abs(difference(dict.fromkeys(names, 0), pai))
        count = sum(abs(difference(swap, pai)) >= actual - 1e-12 for swap in swaps)
        assert found['bpcer' if pai == 'live' else f'apcer_{pai}'] == (count + 1) / (num + 1)


@pytest.mark.parametrize(('only_first', 'only_second'), [(5, 0), (3, 4), (12, 2), (0, 0), (1, 1)])
def test_mcnemar_is_the_two_sided_binomial_test(only_first: int, only_second: int) -> None:
    first = [1] * only_first + [0] * only_second + [1, 0, 0]
    second = [0] * only_first + [1] * only_second + [1, 0, 0]
    total = only_first + only_second
    tail = sum(comb(total, k) for k in range(max(only_first, only_second), total + 1)) / 2**total
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.p_value == pytest.approx(min(1.0, 2 * tail))


def test_permutation_approaches_all_exchanges() -> None:
    scores = (
        np.array([0.9, 0.8, 0.3, 0.7, 0.2, 0.6, 0.1, 0.55]),
        np.array([0.9, 0.2, 0.2, 0.7, 0.7, 0.6, 0.7, 0.1]),
    )
    is_live = np.array([1, 1, 1, 1, 0, 0, 0, 0], bool)
    pai, cluster = np.where(is_live, 'live', 'print'), np.array(list('aabcdeef'))
    samples = PairedSamples(scores, (0.5, 0.5), is_live, pai, cluster)
    names = sorted(set(cluster))
    wrong = [samples.wrong(system) for system in (0, 1)]

    def bpcer_difference(swap: dict[str, int]) -> float:
        rows = [(wrong[1 - swap[c]][i] * 1.0) - wrong[swap[c]][i] for i, c in enumerate(cluster) if is_live[i]]
        return sum(rows) / is_live.sum()

    actual = abs(bpcer_difference(dict.fromkeys(names, 0)))
    every = [abs(bpcer_difference(dict(zip(names, swap)))) for swap in product((0, 1), repeat=len(names))]
    exact = np.mean([value >= actual - 1e-12 for value in every])
    found = samples.permutation_p_values(np.random.default_rng(0), 4000)
    assert found['bpcer'] == pytest.approx(exact, abs=0.03)
    assert 'auc' not in found


def test_a_system_does_not_differ_from_itself_and_a_worse_one_does() -> None:
    test, dev = make_table(200, 1), make_table(200, 0, domain='C')
    same = compare_systems(System('A', test, dev), System('B', test, dev), num_permutations=20)
    assert all(d.value == 0 and d.interval.low == d.interval.high == 0 for d in same.differences)
    assert {d.p_value for d in same.differences if d.name != 'auc'} == {1.0}
    worse = ScoreTable.from_records({**row, 'score': 0.3 * row['score']} for row in test.to_records())
    found = compare_systems(System('A', test, threshold=0.5), System('B', worse, threshold=0.5))
    rejected = next(d for d in found.differences if d.name == 'bpcer')
    assert rejected.second == 1 and rejected.interval.low > 0
    assert found.tests['bpcer'].p_value < 1e-6 and found.tests['bpcer'].only_first == 0
    assert 'B at 0.5000 (fixed) minus A' in found.table() and 'frames of one video' in found.notes[-1]


def test_order_of_the_samples_does_not_matter() -> None:
    test = make_table(100, 1)
    other = ScoreTable.from_records({**row, 'score': row['score'] ** 2} for row in test.to_records())
    turned = other.take(np.arange(100)[::-1])
    found = [
        compare_systems(System('A', test, threshold=0.5), System('B', table, threshold=0.5)).to_dict()
        for table in (other, turned)
    ]
    assert found[0] == found[1]


def test_samples_of_one_system_only_are_noted_and_contradictions_refused() -> None:
    test = make_table(100, 1)
    part = test.take(np.arange(90))
    found = compare_systems(System('A', test, threshold=0.5), System('B', part, threshold=0.5))
    assert '10 of A; 90 are compared' in found.notes[0] and found.num_live + found.num_spoof == 90
    rows = test.to_records()
    rows[5]['pai'] = 'paper'
    with pytest.raises(
        ValueError, match="'W/00005.png' has pai print in 'A' and paper in 'B'|has pai .* paper in"
    ):
        compare_systems(
            System('A', test, threshold=0.5), System('B', ScoreTable.from_records(rows), threshold=0.5)
        )
    with pytest.raises(ValueError, match='no sample in common'):
        compare_systems(
            System('A', test, threshold=0.5), System('B', make_table(50, 1, domain='C'), threshold=0.5)
        )
    with pytest.raises(ValueError, match="both systems are called 'A'"):
        compare_systems(System('A', test, threshold=0.5), System('A', test, threshold=0.5))
    with pytest.raises(ValueError, match="'B' has no threshold"):
        compare_systems(System('A', test, threshold=0.5), System('B', test))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Score files of two systems with a dev file each, and of another test set of A."""
    monkeypatch.chdir(tmp_path)
    rows = make_records(200, 1)
    ScoreTable.from_records(rows).to_csv('A.csv')
    ScoreTable.from_records({**row, 'score': row['score'] ** 2} for row in rows).to_csv('B.csv')
    make_table(200, 2, domain='C').to_csv('Adev.csv')
    make_table(200, 3, domain='C', shift=-1).to_csv('Bdev.csv')
    make_table(200, 4, domain='S').to_csv('S.csv')
    return tmp_path


def test_each_system_is_judged_at_the_threshold_of_its_own_dev_file(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scores_eval.main(['A.csv:Adev.csv', 'B.csv:Bdev.csv', '--bootstrap', '50', '--out', 'out.json']) == 0
    text = capsys.readouterr().out
    content = json.loads((files / 'out.json').read_text(encoding='utf-8'))
    for report, system in zip(content['reports'], 'AB'):
        test, dev = ScoreTable.from_csv(f'{system}.csv'), ScoreTable.from_csv(f'{system}dev.csv')
        assert report == evaluate_scores(test, dev=dev, name=system, num_bootstrap=50).to_dict()
    assert '| mean' not in text and '| system' in text and 'McNemar' in text
    (compared,) = content['comparisons']
    assert (compared['first'], compared['second']) == ('A', 'B')
    direct = compare_systems(
        System('A', ScoreTable.from_csv('A.csv'), ScoreTable.from_csv('Adev.csv')),
        System('B', ScoreTable.from_csv('B.csv'), ScoreTable.from_csv('Bdev.csv')),
        ScoreRules(num_bootstrap=50),
    )
    assert compared == json.loads(json.dumps(direct.to_dict()))


def test_one_dev_file_for_two_systems_is_noted_and_test_sets_keep_their_mean(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scores_eval.main(['A.csv', 'B.csv', '--dev', 'Adev.csv', '--bootstrap', '0']) == 0
    text = capsys.readouterr().out
    assert 'one dev file fixes the threshold of all' in text and '| mean' not in text
    assert scores_eval.main(['A.csv', 'B.csv', '--dev', 'Adev.csv', '--bootstrap', '0', '--mean']) == 0
    text = capsys.readouterr().out
    assert 'one dev file' not in text and '| mean' in text and 'McNemar' not in text
    assert scores_eval.main(['A.csv', 'S.csv', '--dev', 'Adev.csv', '--bootstrap', '0']) == 0
    text = capsys.readouterr().out
    assert '| mean' in text and 'McNemar' not in text


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        ('A.csv:Adev.csv B.csv', "'B.csv' has no dev file of its own"),
        ('A.csv:Adev.csv B.csv:none.csv', 'score file none.csv does not exist'),
        ('A.csv:A.csv B.csv:Bdev.csv', '200 samples are in both dev and test'),
    ],
)
def test_wrong_dev_files_are_named(
    files: Path, capsys: pytest.CaptureFixture[str], arguments: str, text: str
) -> None:
    assert scores_eval.main(arguments.split()) == 2
    assert text in capsys.readouterr().err
    with pytest.raises(SystemExit):
        scores_eval.main(['A.csv:Adev.csv', '--dev', 'Bdev.csv'])
    assert 'give either --dev for all files' in capsys.readouterr().err


def test_latex_has_rules_and_the_best_system_in_bold(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scores_eval.main(['A.csv:Adev.csv', 'B.csv:Bdev.csv', '--bootstrap', '20', '--format', 'latex']) == 0
    text = capsys.readouterr().out
    assert text.startswith('\\begin{tabular}{lrrrrrrrr}\n\\toprule\nsystem & threshold & HTER')
    report = evaluate_scores(ScoreTable.from_csv('A.csv'), dev=ScoreTable.from_csv('Adev.csv'), num_bootstrap=0)
    other = evaluate_scores(ScoreTable.from_csv('B.csv'), dev=ScoreTable.from_csv('Bdev.csv'), num_bootstrap=0)
    best = min(100 * r.operating.hter.value for r in (report, other))
    assert f'\\textbf{{{best:.2f}}} {{\\scriptsize [' in text
    assert scores_eval.main(['A.csv', 'S.csv', '--dev', 'Adev.csv', '--bootstrap', '0', '--format', 'latex']) == 0
    assert 'textbf' not in capsys.readouterr().out, 'test sets do not compete'


def test_cells_of_latex_tables() -> None:
    rows = [
        ('a_1', '5.00 ± 0.10', '18.75 / 88.19'),
        ('b', '4.00', 'n/a'),
        ('c', '4.00', '1'),
        ('mean', '1.00', ''),
    ]
    lines = latex_table(('m', 'HTER', 'x'), rows, best={'HTER': 'min', 'absent': 'max'}).splitlines()
    assert lines[4] == r'a\_1 & 5.00 $\pm$ 0.10 & 18.75 / 88.19 \\'
    assert lines[5:7] == [r'b & \textbf{4.00} & n/a \\', r'c & \textbf{4.00} & 1 \\']
    assert lines[7:9] == [r'\midrule', r'mean & 1.00 &  \\']


def test_latex_of_other_samples_has_no_winner_and_groups_keep_their_gap(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    systems = ['A.csv:Adev.csv', 'S.csv:Adev.csv', 'B.csv:Bdev.csv', '--bootstrap', '0', '--format', 'latex']
    assert scores_eval.main([*systems, '--by', 'subject']) == 0
    text = capsys.readouterr().out
    assert 'textbf' not in text and '% Only files of the same samples are compared' in text
    assert '% BPCER: largest gap' in text


def test_latex_shields_brackets_and_writes_minus_signs() -> None:
    lines = latex_table(('[m]', 'x'), [('[a]', '-1.09'), ('b<c', '[-4.61, 2.30]'), ('d', '-2.0 (dev-eer)')])
    assert lines.splitlines()[2:6:3] == [r'{}[m] & x \\', r'b\textless{}c & [$-$4.61, 2.30] \\']
    assert r'{}[a] & $-$1.09 \\' in lines and r'$-$2.0 {\scriptsize (dev-eer)}' in lines


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        ('A.csv B.csv', 'nothing fixes their thresholds: no differences are shown'),
        ('A.csv:Adev.csv S.csv:Bdev.csv', 'their ids must be written alike'),
    ],
)
def test_what_is_not_compared_is_said(
    files: Path, capsys: pytest.CaptureFixture[str], arguments: str, text: str
) -> None:
    assert scores_eval.main([*arguments.split(), '--bootstrap', '0']) == 0
    assert text in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        ('A.csv --mean', '--mean is for files of the same samples'),
        ('A.csv --permutation 10', 'no two files are compared'),
        ('A.csv B.csv --mean --permutation 10', 'no two files are compared'),
        ('A.csv --attributes people.csv', 'judged by --by COLUMN'),
    ],
)
def test_options_without_effect_are_refused(
    files: Path, capsys: pytest.CaptureFixture[str], arguments: str, text: str
) -> None:
    Path('people.csv').write_text('subject,sex\ns0,f\n', encoding='utf-8')
    with pytest.raises(SystemExit):
        scores_eval.main([*arguments.split(), '--dev', 'Adev.csv'])
    assert text in capsys.readouterr().err


def test_systems_without_a_common_class_are_named() -> None:
    test = make_table(60, 1)
    with pytest.raises(ValueError, match="'A' and 'B' have [0-9]+ samples in common, but no attack"):
        compare_systems(System('A', test, threshold=0.5), System('B', test.select(label=1), threshold=0.5))


def test_lost_samples_and_equal_decisions_are_noted() -> None:
    rows = make_records(60, 1)
    test = ScoreTable.from_records(rows)
    for row in rows[:3]:
        row.update(score=None, reason='no face')
    lossy = ScoreTable.from_records(rows)
    found = compare_systems(System('A', test, threshold=0.5), System('B', lossy, threshold=0.5), ScoreRules())
    assert any('B failed to acquire 3 of these' in note for note in found.notes)
    assert any(note.startswith('Decided alike by both') and 'live (' in note for note in found.notes)
    large = make_table(400, 1)
    text = compare_systems(System('A', large, threshold=0), System('B', large, threshold=2)).table()
    assert '<0.0001' in text and ' 0.0000 |' not in text


def test_paired_samples_refuse_what_does_not_fit() -> None:
    good = pair()
    with pytest.raises(ValueError, match='one cluster name per sample'):
        PairedSamples(good.scores, good.thresholds, good.is_live, good.pai, good.cluster[:3])
    with pytest.raises(ValueError, match='without spoof samples'):
        PairedSamples(good.scores, good.thresholds, np.ones(40, bool), good.pai, good.cluster)
    with pytest.raises(ValueError, match='errors of the same samples'):
        functional.mcnemar([1, 0], [1])
