"""The study of batch leakage: its records, its table, and that it trains and measures what is missing only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from mmfas.apis.scoring import load_model
from mmfas.benchmark.jobs import Job, identity_of, is_trained
from mmfas.benchmark.methods import find_method
from mmfas.synthfas import Setting, render_dataset
from projects.batch_leakage_study import study as leakage_study
from projects.batch_leakage_study.__main__ import main
from projects.batch_leakage_study.study import (
    LeakageSettings,
    default_methods,
    leakage_table,
    read_leakage_records,
    study_batch_leakage,
)

METHODS = [method.name for method in default_methods()]

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _small_and_quiet(small_and_quiet: None) -> Iterator[None]:
    """Run on one thread with a quiet log."""
    yield


def result(size: int, order: str, hter: float, change: float = 0.0) -> dict[str, Any]:
    rates = dict(hter=hter, oracle_hter=0.1, auc=0.9, mean_change=change, largest_change=change, flipped=change)
    return dict(batch_size=size, order=order, **rates)


def record(seed: int, hters: tuple[float, float, float, float], **changes: Any) -> dict[str, Any]:
    kinds = [(1, 'sorted'), (1, 'shuffled'), (3, 'sorted'), (3, 'shuffled')]
    results = [result(*kind, hter, 0.5 * (kind[0] > 1)) for kind, hter in zip(kinds, hters, strict=True)]
    settings = dict(config_hash='c', data={}, batch_sizes=[1, 3], num_repeats=2, split='cps2w')
    return dict(method='m', seed=seed, results=results, **{**settings, **changes})


def test_gains_are_paired_by_training() -> None:
    records = [record(0, (0.3, 0.3, 0.1, 0.4)), record(1, (0.5, 0.5, 0.3, 0.4)), record(2, (0.2, 0.2, 0.0, 0.4))]
    header, rows = leakage_table(records)
    cells = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(cell['batch'], cell['order']) for cell in cells][2:] == [('3', 'sorted'), ('3', 'shuffled')]
    assert [cell['HTER gain'] for cell in cells[:3]] == ['+0.00 ± 0.00', '+0.00 ± 0.00', '+20.00 ± 0.00']
    assert [cell['gained'] for cell in cells] == ['0 of 3', '0 of 3', '3 of 3', '1 of 3']
    # gains -10, +10 and -20: mean -6.67, t(2) = 4.303 times the standard error 8.82
    assert cells[3]['HTER gain'] == '-6.67 ± 37.95'
    assert cells[2]['HTER % (dev threshold)'] == '13.33' and cells[2]['decisions changed %'] == '50.00'


def test_records_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='holds no records of the study of batch leakage'):
        read_leakage_records(tmp_path)
    for name, content in (('a', record(0, (0.0,) * 4)), ('b', record(1, (0.0,) * 4, batch_sizes=[1, 5]))):
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match='mixes records of m with different config_hash, data, batch_sizes'):
        read_leakage_records(tmp_path)


def pretend_to_train(trained: list[str], jobs: list[Job], places: list[str], *, report: Any) -> list[str]:
    """Leave initial weights where a training would leave its last checkpoint."""
    for job in jobs:
        trained.append(job.name)
        job.folder.mkdir(parents=True, exist_ok=True)
        torch.save(load_model(job.method.load(), None).state_dict(), job.folder / 'epoch_12.pth')
        assert not is_trained(job), 'nobody says what the checkpoint was made of'
        identity = identity_of(job.method, job.settings)
        mark = json.dumps([identity.config_hash, identity.data, identity.select])
        (job.folder / 'benchmark.json').write_text(json.dumps({'mark': mark, 'seconds': 1, 'started': 0}))
        assert is_trained(job)
    return []


@pytest.mark.slow
def test_the_study_trains_and_measures_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    render_dataset(tmp_path / 'tiny', Setting('tiny', 0), num_processes=1)
    trained: list[str] = []
    monkeypatch.setattr(leakage_study, 'run_jobs', partial(pretend_to_train, trained))
    places = ['--data-root', str(tmp_path / 'tiny'), '--work-dir', str(tmp_path / 'work')]
    places += ['--records', str(tmp_path / 'records')]
    call = [*places, '--batch-sizes', '1', '3', '--repeats', '1', '--jobs', '1', '--seeds']
    assert main([*call, '0']) == 0
    table = capsys.readouterr().out
    assert trained == [f'{name} cps2w seed 0' for name in METHODS]
    records = {found['method']: found for found in read_leakage_records(tmp_path / 'records')}
    changes = {name: [row['largest_change'] for row in found['results']] for name, found in records.items()}
    assert max(changes[METHODS[0]]) < 1e-6 < min(changes[METHODS[1]])
    assert records[METHODS[0]]['data']['size'] == 'tiny' and records[METHODS[0]]['commit']

    (tmp_path / 'records' / f'{METHODS[0]}_cps2w_s0.json').unlink()
    assert main([*call, '0']) == 0  # measured again, but not trained
    assert len(trained) == 2 and capsys.readouterr().out.splitlines()[-4:] == table.splitlines()[-4:]
    assert main(['--records', str(tmp_path / 'records'), '--table']) == 0
    assert capsys.readouterr().out.splitlines() == table[table.index('| config') :].splitlines()

    monkeypatch.setattr(leakage_study, 'run_jobs', lambda jobs, places, report: ['seed 1 failed'])
    settings = LeakageSettings(str(tmp_path / 'work'), str(tmp_path / 'records'), str(tmp_path / 'tiny'))
    with pytest.raises(RuntimeError, match='seed 1 failed'):
        study_batch_leakage([find_method(METHODS[0])], ['cps2w'], [1], settings=settings, report=print)
    assert main([*call, '0', '--batch-sizes', '3']) == 1
    assert '--batch-sizes must have 1' in capsys.readouterr().err
