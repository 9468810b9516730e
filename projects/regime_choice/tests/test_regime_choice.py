"""The choice of the regime: what is judged, the table, and that a cell is trained once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmfas.apis.scoring import load_model
from mmfas.benchmark.methods import config_hash
from mmfas.evaluation import ScoreTable
from mmfas.synthfas import Setting, Sites, render_sites
from mmfas.synthfas.files.manifest import Manifest
from mmfas.utils.runs import load_records
from projects.regime_choice import study
from projects.regime_choice.__main__ import main
from projects.regime_choice.study import METHODS, REGIMES, Cell, regime_table, site_aucs

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _small_and_quiet(small_and_quiet: None) -> Iterator[None]:
    """Run on one thread with a quiet log."""
    yield


def record(method: str, regime: str, area: float, **changes: Any) -> dict[str, Any]:
    return {'method': method, 'regime': regime, 'split': 'cps2w', 'seed': 0, 'auc': {'a': area}, **changes}


def test_scores_of_different_sites_are_not_compared_with_each_other() -> None:
    rows = [('a', 1, 0.9), ('a', 0, 0.8), ('b', 1, 0.2), ('b', 1, 0.1), ('b', 0, 0.15), ('c', 1, 0.5)]
    sites, labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    names = np.array([f's{number}' for number in range(len(rows))])
    pai = np.where(labels == 1, 'live', 'print')
    table = ScoreTable(names, sites, names, names, pai, labels, scores)
    assert site_aucs(table) == {'a': 1.0, 'b': 0.5}
    alone = ScoreTable(names[5:], sites[5:], names[5:], names[5:], pai[5:], labels[5:], scores[5:])
    with pytest.raises(ValueError, match='no validation site has live and attacks'):
        site_aucs(alone)


def test_the_mean_over_the_methods_decides_and_needs_every_cell() -> None:
    areas = {'scratch': 0.8, 'pretrained-frozen': 0.7, 'pretrained-finetuned': 0.81}
    records = [record(method, regime, area) for regime, area in areas.items() for method in METHODS]
    records[0]['auc'] = {'a': 0.9, 'b': 0.88}  # scratch of the first method: mean over sites .89
    header, rows, best = regime_table(records)
    assert header == ('regime', *METHODS, 'mean') and [row[0] for row in rows] == list(REGIMES)
    assert rows[0] == ('scratch', '0.890', '0.800', '0.800', '0.830') and best == 'scratch'
    with pytest.raises(ValueError, match='some cells have no record'):
        regime_table(records[1:])
    with pytest.raises(ValueError, match='some cells have no record'):
        regime_table([*records, record('MMDG', 'scratch', 0.9, seed=1)])


def test_configs_of_a_method_differ_in_their_regime() -> None:
    for method in METHODS:
        trunks = {regime: Cell(method, regime, 'cps2w', 0).load().model.trunk for regime in REGIMES}
        assert [bool(trunk.get('pretrained')) for trunk in trunks.values()] == [False, True, True]
        assert [bool(trunk.get('frozen')) for trunk in trunks.values()] == [False, True, False]


@pytest.mark.slow
def test_cells_are_trained_once_on_sources_and_judged_by_sites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'tiny').mkdir()
    Manifest(Setting('tiny', 0)).save(tmp_path / 'tiny')  # nothing trains, so no list of it is read
    render_sites(tmp_path / 'sites', Sites(Setting('tiny', 3), num_train=1, num_heldout=2, frames=20))
    monkeypatch.setattr(study, 'METHODS', {'ConcatNeck': METHODS['ConcatNeck']})
    trained: list[Any] = []

    def pretend(cfg: Any) -> None:
        trained.append(cfg)
        torch.manual_seed(0)
        model = load_model(cfg, None)
        torch.save(model.state_dict(), Path(cfg.work_dir, 'epoch_12.pth'))

    monkeypatch.setattr(study, 'train', pretend)
    for name in REGIMES:
        (tmp_path / 'work' / f'ConcatNeck_{name}_cps2w_seed0').mkdir(parents=True)
    call = ['--data-root', str(tmp_path / 'tiny'), '--sites', str(tmp_path / 'sites'), '--splits', 'cps2w']
    call += ['--work-dir', str(tmp_path / 'work'), '--records', str(tmp_path / 'records'), '--jobs', '1']
    assert main(call) == 0
    table = capsys.readouterr().out
    assert '| pretrained-frozen |' in table and 'highest mean over the methods: ' in table
    assert len(trained) == 3
    for cfg in trained:
        assert cfg.train_dataloader.dataset.ann_file == [f'protocols/{domain}-train.txt' for domain in 'CPS']
        assert cfg.get('test_dataloader') is None and cfg.get('val_dataloader') is None
    found = json.loads((tmp_path / 'records' / 'ConcatNeck_scratch_cps2w_seed0.json').read_text())
    assert set(found['auc']) == {'heldout0000', 'heldout0001'}

    (tmp_path / 'records' / 'ConcatNeck_scratch_cps2w_seed0.json').unlink()
    assert main(call) == 0 and len(trained) == 4, 'only what has no record'
    assert main(['--records', str(tmp_path / 'records'), '--table']) == 0
    assert capsys.readouterr().out.endswith(table[table.index('| regime') :])
    assert main([*call, '--sites', str(tmp_path / 'nowhere')]) == 1
    assert 'is missing; render the sites: mmfas data sites' in capsys.readouterr().err


@pytest.mark.records
def test_the_page_shows_the_records_and_the_quick_start_trains_in_the_regime_that_they_favour() -> None:
    records = [*load_records(ROOT / 'projects/regime_choice/records').values()]
    header, rows, best = regime_table(records)
    lines = [f'| {" | ".join(row)} |' for row in (header, ('---',) * len(header), *rows)]
    page = (ROOT / 'docs/en/pretraining.md').read_text(encoding='utf-8')
    assert '\n'.join(lines) in page and f'So `{best}` is the default.' in page
    assert f'_{best}.py}}' in (ROOT / 'tools/quickstart.sh').read_text(encoding='utf-8')
    hashes = {cell: config_hash(cell.load()) for cell in {replace(cell_of(r), split='', seed=0) for r in records}}
    assert all(r['config_hash'] == hashes[replace(cell_of(r), split='', seed=0)] for r in records)


def cell_of(record: dict[str, Any]) -> Cell:
    return Cell(*(record[name] for name in ('method', 'regime', 'split', 'seed')))
