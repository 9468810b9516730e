"""The criterion `site`: a threshold from a few live videos, against plain loops, and what must not matter."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmfas.cli.__main__ import main
from mmfas.evaluation import FASMetric, ScoreRules, ScoreTable, evaluate_scores
from mmfas.evaluation.functional import bootstrap_hter, bootstrap_site_hter, site_threshold, site_thresholds
from mmfas.evaluation.site import choose_at_site, drawn_thresholds

from .tables import make_table


def other_recordings(num: int, seed: int, **options: Any) -> ScoreTable:
    """Scores of the domain of `make_table`, of other videos and people."""
    table = make_table(num, seed, **options)
    names = {name: np.char.add('site-', getattr(table, name)) for name in ('sample_id', 'video', 'subject')}
    return replace(table, **names)


SITE, TEST, DEV = (
    other_recordings(300, 5, shift=1.0),
    make_table(400, 1, shift=1.0),
    make_table(300, 3, domain='C'),
)
RULES = ScoreRules('site-5@bpcer=0.1', num_bootstrap=50)


def plain_threshold(scores: list[float], target: float) -> float:
    """The strictest of all candidate thresholds that rejects at most `target`, tried one by one."""
    best = min(scores)
    ordered = sorted(set(scores))
    for below, above in zip(ordered, ordered[1:]):
        if sum(score < above for score in scores) / len(scores) <= target:
            best = (below + above) / 2
    return best


@pytest.mark.parametrize('target', [0.0, 0.05, 0.1, 0.5, 0.99])
@pytest.mark.parametrize('seed', range(5))
def test_threshold_equals_a_plain_loop(seed: int, target: float) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 12, rng.integers(1, 30)) / 12
    found = site_threshold(scores, target=target)
    assert found == pytest.approx(plain_threshold(scores.tolist(), target), abs=1e-15)
    assert np.mean(scores < found) <= target


@pytest.mark.parametrize('level', ['frame', 'video'])
def test_choice_equals_a_plain_loop(level: str) -> None:
    rules = RULES.changed(level=level, seed=7)
    choice = choose_at_site(SITE, rules)
    assert len(choice.videos) == 5 and choice.threshold.origin == 'site (5 live videos)'
    scores: list[float] = []
    for name in choice.videos:
        of_video = [
            row['score'] for row in SITE.to_records() if f'{row["domain"]}/{row["video"]}' == name and row['label']
        ]
        assert of_video
        scores += of_video if level == 'frame' else [float(np.mean(sorted(of_video)))]
    assert choice.threshold.value == pytest.approx(plain_threshold(scores, 0.1), abs=1e-15)


def test_bootstrap_equals_a_plain_loop() -> None:
    videos = [np.array([0.5, 0.7]), np.array([0.9]), np.array([0.2, 0.4, 0.6])]
    found = site_thresholds(videos, 2, target=0.3, rng=np.random.default_rng(3), num_replicates=20)
    draws = np.random.default_rng(3).integers(3, size=(20, 2))
    assert found.tolist() == [
        pytest.approx(plain_threshold([float(s) for i in row for s in videos[i]], 0.3)) for row in draws
    ]
    score, is_live, cluster = TEST.score, TEST.is_live, TEST.group_ids('video')
    same = np.full(130, 0.6)
    one = bootstrap_site_hter(score, is_live, thresholds=same, rng=np.random.default_rng(1), cluster=cluster)
    other = bootstrap_hter(
        score, is_live, threshold=0.6, rng=np.random.default_rng(1), cluster=cluster, num_replicates=130
    )
    assert one == other
    thresholds = np.linspace(0.1, 0.99, 60)
    drawn = bootstrap_site_hter(
        score, is_live, thresholds=thresholds, rng=np.random.default_rng(1), cluster=cluster
    )
    rng, rates = np.random.default_rng(1), []
    for mask in (is_live, ~is_live):
        names = np.unique(cluster[mask])
        picks = rng.integers(names.size, size=(60, names.size))
        parts = [score[mask][cluster[mask] == name] for name in names]
        rates.append(
            [
                np.mean((np.concatenate([parts[i] for i in row]) < threshold) == mask[is_live][0])
                for row, threshold in zip(picks, thresholds)
            ]
        )
    expected = np.quantile((np.array(rates[0]) + np.array(rates[1])) / 2, [0.025, 0.975])
    assert (drawn.low, drawn.high) == pytest.approx(tuple(expected))


def test_interval_covers_the_choice_of_the_videos() -> None:
    report = evaluate_scores(TEST, site=SITE, rules=RULES)
    assert report.operating is not None and report.operating.hter is not None
    fixed = evaluate_scores(TEST, threshold=report.operating.threshold, rules=RULES)
    assert fixed.operating is not None and fixed.operating.hter is not None
    wide, narrow = report.operating.hter.interval, fixed.operating.hter.interval
    assert wide is not None and narrow is not None
    assert wide.high - wide.low > narrow.high - narrow.low
    assert any('anew in every replicate' in note for note in report.notes)
    assert len(drawn_thresholds(SITE, RULES)) == 50  # type: ignore[arg-type]
    assert drawn_thresholds(SITE, RULES.changed(criterion='eer')) is None


@pytest.mark.parametrize('seed', range(4))
def test_attacks_of_the_site_dev_scores_and_order_never_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rules = RULES.changed(seed=seed)
    attacked = replace(SITE, score=np.where(SITE.is_live, SITE.score, rng.random(len(SITE)) * 10 - 5))
    shuffled = attacked.take(rng.permutation(len(SITE)))
    live_only = SITE.select(label=1)
    dev = replace(DEV, score=rng.random(len(DEV)))
    plain = evaluate_scores(TEST, site=SITE, rules=rules).operating
    for site in (attacked, shuffled, live_only):
        assert evaluate_scores(TEST, site=site, dev=dev, rules=rules).operating == plain


def test_the_test_scores_do_not_move_the_threshold() -> None:
    turned = replace(TEST, score=1 - TEST.score)
    points = [evaluate_scores(table, site=SITE, rules=RULES).operating for table in (TEST, turned)]
    assert points[0] is not None and points[1] is not None
    assert points[0].threshold == points[1].threshold
    assert not points[0].threshold.is_oracle


def test_a_looser_bound_is_a_stricter_threshold() -> None:
    values = [
        choose_at_site(SITE, RULES.changed(criterion=f'site-8@bpcer={rate}')).threshold.value
        for rate in (0, 0.05, 0.2, 0.6)
    ]
    assert values == sorted(values)


def test_too_few_live_videos_are_one_error_with_the_count() -> None:
    with pytest.raises(ValueError, match=r'have 20 live videos; record more, or ask for fewer .*: 21 are wanted$'):
        evaluate_scores(TEST, site=SITE, criterion='site-21')
    with pytest.raises(ValueError, match='have no live video; .* 5 are wanted'):
        evaluate_scores(TEST, site=SITE.select(label=0), criterion='site')


def test_what_would_make_it_an_oracle_is_refused() -> None:
    with pytest.raises(ValueError, match='400 samples are in both site and test'):
        evaluate_scores(TEST, site=TEST, rules=RULES)
    frames = replace(TEST, sample_id=np.char.add('next-', TEST.sample_id))
    with pytest.raises(ValueError, match="80 videos are in both site and test, the first 'W/v0'; .* is an oracle"):
        evaluate_scores(TEST, site=frames, rules=RULES)
    two = ScoreTable.concat([TEST, DEV])
    with pytest.raises(ValueError, match=r'test scores are of 2 domains \(C, W\)'):
        evaluate_scores(two, site=SITE, rules=RULES)
    with pytest.raises(ValueError, match='site scores are of 2 domains'):
        evaluate_scores(TEST, site=ScoreTable.concat([SITE, DEV]), rules=RULES)
    with pytest.raises(ValueError, match='needs scores of live videos of the target'):
        evaluate_scores(TEST, dev=DEV, rules=RULES)
    with pytest.raises(ValueError, match='not both'):
        evaluate_scores(TEST, site=SITE, threshold=0.5)
    with pytest.raises(ValueError, match="level 'frame' or 'video', got 'subject'"):
        RULES.changed(level='subject')
    with pytest.raises(ValueError, match='has no video id'):
        choose_at_site(replace(SITE, video=np.full(len(SITE), '')), RULES)


def test_dev_stands_beside() -> None:
    report = evaluate_scores(TEST, dev=DEV, site=SITE, rules=RULES)
    at_dev = evaluate_scores(TEST, dev=DEV, num_bootstrap=0).operating
    assert report.at_dev is not None and at_dev is not None and at_dev.hter is not None
    assert report.at_dev.threshold == at_dev.threshold and report.at_dev.hter == at_dev.hter
    rows = {row[0]: row[1] for row in report.rows()}
    assert rows[f'HTER at dev-eer, {at_dev.threshold.value:.4f}'] == f'{100 * at_dev.hter.value:.2f}'
    assert 'EER (oracle)' in rows and 'AUC' in rows
    assert 'at_dev' not in evaluate_scores(TEST, site=SITE, rules=RULES).to_dict()
    unused = evaluate_scores(TEST, dev=DEV, site=SITE, num_bootstrap=0)
    assert 'The site scores are not used: the criterion is eer.' in unused.notes


def files(folder: Path) -> dict[str, str]:
    """Write the three tables."""
    for name, table in (('test', TEST), ('dev', DEV), ('site', SITE)):
        table.to_csv(folder / f'{name}.csv')
    return {name: str(folder / f'{name}.csv') for name in ('test', 'dev', 'site')}


def test_the_command_gives_the_numbers_of_the_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = files(tmp_path), tmp_path / 'report.json'
    call = ['scores', 'eval', path['test'], '--dev', path['dev'], '--site', path['site'], '--criterion', 'site']
    assert main([*call, '--k', '3', '--bpcer', '0.05', '--bootstrap', '40', '--out', str(out)]) == 0
    expected = evaluate_scores(
        TEST, dev=DEV, site=SITE, criterion='site-3@bpcer=0.05', num_bootstrap=40, name='test'
    )
    assert json.loads(out.read_text())['reports'] == [json.loads(json.dumps(expected.to_dict()))]
    assert '(site (3 live videos))' in capsys.readouterr().out
    TEST.select(pai=('live', 'print')).to_csv(tmp_path / 'print.csv')
    assert main([*call[:3], str(tmp_path / 'print.csv'), *call[3:], '--mean', '--bootstrap', '0']) == 0
    assert 'HTER at dev' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--k', '5'], '--k: belong to --criterion site'),
        (['--criterion', 'site-3', '--site', 's.csv', '--bpcer', '.1'], 'site-3 has its own numbers'),
        (['--site', 's.csv'], 'the scores of a site are read by --criterion site'),
        (['--criterion', 'site'], '--criterion site needs --site SITE.csv'),
        (['--criterion', 'site', '--site', 's.csv', '--k', '0'], '--k: must be an integer of at least 1'),
        (
            ['--criterion', 'site', '--site', 's.csv', '--bpcer', '10'],
            '--bpcer: must be a finite number of at least 0 and below 1',
        ),
        (['--criterion', 'site@bpcer=10', '--site', 's.csv'], "unknown threshold criterion 'site@bpcer=10'"),
    ],
)
def test_options_without_effect_are_refused(
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    TEST.to_csv('t.csv')
    SITE.to_csv('s.csv')
    for name in ('eval', 'plot'):
        more = ['--out', 'plots'] if name == 'plot' else []
        try:
            status: Any = main(['scores', name, 't.csv', *options, *more])
        except SystemExit as error:
            status = error.code
        assert status == 2
        assert message in capsys.readouterr().err


def test_figures_are_drawn_at_the_threshold_of_the_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mmfas.visualization import score_plots

    marked: list[Any] = []
    for name in ('plot_roc', 'plot_det', 'plot_histogram', 'plot_pai_bars'):
        monkeypatch.setattr(score_plots, name, lambda *tables, **options: marked.append(options))
    monkeypatch.setattr(score_plots, 'save_figure', lambda figure, path: path)
    path = files(tmp_path)
    call = ['scores', 'plot', path['test'], '--site', path['site'], '--criterion', 'site', '--out', str(tmp_path)]
    assert main(call) == 0
    assert marked[2]['threshold'] == choose_at_site(SITE, ScoreRules('site')).threshold


@pytest.mark.engine
def test_metric_equals_the_function(tmp_path: Path) -> None:
    path = files(tmp_path)
    metric = FASMetric('test', 'site-5@bpcer=0.1', site_scores=path['site'], dev_scores=path['dev'])
    for row in TEST.to_records():
        known = {name: row[name] for name in ('sample_id', 'domain', 'subject', 'video', 'pai')}
        metric.process(None, [{**known, 'gt_label': row['label'], 'pred_score': row['score']}])
    found = metric.compute_metrics(metric.results)
    report = evaluate_scores(TEST, dev=DEV, site=SITE, rules=RULES)
    assert report.operating is not None and report.at_dev is not None
    assert found['threshold'] == report.operating.threshold.value
    assert found['hter'] == report.operating.hter.value  # type: ignore[union-attr]
    assert found['hter_at_dev'] == report.at_dev.hter.value  # type: ignore[union-attr]
    for options in (
        dict(split='dev', criterion='site'),
        dict(split='test', criterion='site'),
        dict(split='test', site_scores=path['site']),
        dict(split='test', criterion='site', site_scores=path['site'], threshold=0.5),
    ):
        with pytest.raises(ValueError, match='belong together'):
            FASMetric(**options)  # type: ignore[arg-type]
