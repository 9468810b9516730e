"""`mmfas test` with the criterion `site`: recordings from the config or from a file, never of the test."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from tiny_bundles import save_random, tiny_config

from mmfas.apis.scoring import ScoreError
from mmfas.apis.testing import test as run_test
from mmfas.cli.__main__ import main
from mmfas.config.check import check_config
from mmfas.evaluation import ScoreRules, ScoreTable, evaluate_scores
from mmfas.synthfas import Setting, render_dataset

pytestmark = pytest.mark.engine


@pytest.fixture(scope='module')
def cfg(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = tmp_path_factory.mktemp('synthfas')
    render_dataset(root, Setting('tiny'), domains=('W',), splits=('val', 'test', 'site'), num_processes=1)
    found = tiny_config(root)
    found.val_dataloader.dataset.ann_file = ['protocols/W-val.txt']
    found.site_dataloader = copy.deepcopy(found.test_dataloader)
    found.site_dataloader.dataset.ann_file = ['protocols/W-site.txt']
    return found


def test_the_site_of_the_config_is_scored_and_sets_the_threshold(
    cfg: Config, tmp_path: Path, small_and_quiet: None
) -> None:
    assert check_config(cfg) == []
    save_random(cfg, tmp_path / 'epoch_1.pth')
    rules = ScoreRules('site-4@bpcer=0.2', num_bootstrap=20)
    found = run_test(cfg, str(tmp_path / 'epoch_1.pth'), tmp_path / 'out', rules=rules, plots=False)
    assert found is not None and found.site is not None and found.dev is not None
    assert found.site.num_live == len(found.site) == 18
    site = ScoreTable.from_csv(tmp_path / 'out' / 'site.csv')
    assert site.to_records() == found.site.to_records()
    expected = evaluate_scores(found.tables['test'], dev=found.dev, site=site, rules=rules, name='test')
    (report,) = json.loads((tmp_path / 'out' / 'report.json').read_text())['reports']
    assert report == json.loads(json.dumps(expected.to_dict())) and 'at_dev' in report
    # the same numbers from the files, without a site in the config
    bare = copy.deepcopy(cfg)
    bare.site_dataloader = None
    files = dict(site_scores=str(tmp_path / 'out' / 'site.csv'), dev_scores=str(tmp_path / 'out' / 'dev.csv'))
    again = run_test(bare, str(tmp_path / 'epoch_1.pth'), tmp_path / 'again', rules=rules, plots=False, **files)
    assert again is not None and again.reports == found.reports
    with pytest.raises(
        ScoreError,
        match=r"criterion 'site-4@bpcer=0.2' needs live videos .*--site-list LIST or --site-scores SITE.csv",
    ):
        run_test(bare, str(tmp_path / 'epoch_1.pth'), tmp_path / 'none', rules=rules, plots=False)
    with pytest.raises(ScoreError, match='have 6 live videos'):
        more = rules.changed(criterion='site-7')
        run_test(bare, str(tmp_path / 'epoch_1.pth'), tmp_path / 'none', rules=more, plots=False, **files)


def test_recordings_of_the_test_are_refused_before_anything_is_scored(
    cfg: Config, tmp_path: Path, small_and_quiet: None
) -> None:
    leaking = copy.deepcopy(cfg)
    leaking.site_dataloader.dataset.ann_file = ['protocols/W-test.txt']
    save_random(cfg, tmp_path / 'epoch_1.pth')
    with pytest.raises(ScoreError, match='21 samples are in both site and test'):
        run_test(leaking, str(tmp_path / 'epoch_1.pth'), tmp_path / 'out', rules=ScoreRules('site-2'), plots=False)
    assert not (tmp_path / 'out' / 'test.csv').exists()


@pytest.mark.parametrize(
    ('change', 'problem'),
    [
        (dict(batch_size=-2), 'site_dataloader.batch_size: must be at least 1, got -2'),
        (dict(sampler=dict(type='DefaltSampler')), "site_dataloader.sampler.type: 'DefaltSampler' is not in"),
    ],
)
def test_a_wrong_site_loader_is_a_problem_of_the_config(cfg: Config, change: dict[str, Any], problem: str) -> None:
    wrong = copy.deepcopy(cfg)
    wrong.site_dataloader.update(change)
    assert any(line.startswith(problem) for line in check_config(wrong))


def test_the_command_takes_the_options(cfg: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_random(cfg, tmp_path / 'epoch_1.pth')
    cfg.dump(tmp_path / 'config.py')
    call = ['test', str(tmp_path / 'config.py'), str(tmp_path / 'epoch_1.pth'), '--out', str(tmp_path / 'out')]
    more = ['--criterion', 'site', '--k', '3', '--bpcer', '0.05', '--no-plots', '--bootstrap', '0']
    assert main([*call, *more]) == 0
    shown = capsys.readouterr().out
    assert '(site (3 live videos))' in shown and 'BPCER at most 5 % on them' in shown
    # the list by name, without a site in the config
    bare = copy.deepcopy(cfg)
    bare.site_dataloader = None
    bare.dump(tmp_path / 'config.py')
    kept = ScoreTable.from_csv(tmp_path / 'out' / 'site.csv').to_records()
    assert main([*call, *more, '--site-list', 'protocols/W-site.txt']) == 0
    assert ScoreTable.from_csv(tmp_path / 'out' / 'site.csv').to_records() == kept
    assert main([*call, '--site-list', 'protocols/none.txt', '--no-plots']) == 1
    assert 'none.txt' in capsys.readouterr().err
    with pytest.raises(SystemExit, match='2'):
        main([*call, *more, '--site-list', 'a.txt', '--site-scores', 'b.csv'])
    assert 'give one of them' in capsys.readouterr().err
