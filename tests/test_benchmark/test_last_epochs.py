"""Mean and deviation over the last epochs, from records alone."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from benchmark_records import add_record

from mmfas.benchmark import html_page
from mmfas.benchmark.last_epochs import all_tables, last_epochs_table
from mmfas.benchmark.plan import SPLITS, Cell
from mmfas.benchmark.records import RecordError, read_records
from mmfas.benchmark.tables import build_tables, choose
from mmfas.cli.benchmark import main
from mmfas.evaluation.tables import NOT_RUN

METHOD = 'concat_mini-vit_1xb32-12e_synthfas-cps2w'


def paper(number: int) -> dict[str, Any]:
    """Five epochs whose HTER is 0.1 to 0.5 plus 0.01 for each number, and AUC 1 less that."""
    every = [{'hter': 0.1 * epoch + 0.01 * number, 'auc': 1 - 0.1 * epoch} for epoch in range(1, 6)]
    return {'epoch': 1, **every[0], 'every_epoch': every}


@pytest.fixture(scope='module')
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('records')
    for number, split in enumerate(SPLITS[3]):
        for seed in (0, 1):
            add_record(folder, Cell(METHOD, 3, split, seed), paper=paper(number + 4 * seed), max_epochs=5, epoch=5)
    add_record(folder, Cell(METHOD, 1, 'cps2w', 0))
    return folder


def test_cells_are_mean_and_deviation_over_epochs_and_seeds(records: Path) -> None:
    table = last_epochs_table(choose(read_records(records)), 3, 3)
    cells = {row[0]: row[2:] for row in table.rows}
    first = [100 * (0.1 * epoch + 0.04 * seed) for seed in (0, 1) for epoch in (3, 4, 5)]
    assert cells['CW→PS'][0] == f'{mean(first):.2f} ± {stdev(first):.2f}'
    both = [value + 0.5 for value in first]
    assert cells['mean'] == (f'{mean(both):.2f} ± {stdev(both):.2f}', '60.00 ± 8.94', '0 1')


def test_records_whose_epochs_were_not_scored_have_no_cells(records: Path) -> None:
    chosen = choose(read_records(records))
    assert {row[2:] for row in last_epochs_table(chosen, 1, 3).rows} == {(NOT_RUN,) * 3}
    assert all_tables(chosen, [1, 3]) == build_tables(chosen, [1, 3])
    with pytest.raises(
        RecordError, match='p3_cw2ps_s0 has 5 epochs, so there are no last 6; give --last-epochs 5'
    ):
        last_epochs_table(chosen, 3, 6)


def test_the_report_has_the_table(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html_page, '_figures', lambda *_: [])  # they take most of the time
    call = ['report', '--records', str(records), '--protocols', '3', '--last-epochs', '3']
    assert main([*call, '--out', str(tmp_path)]) == 0
    caption = 'mean ± standard deviation over the last 3 epochs, %'
    assert caption in capsys.readouterr().out
    for name in ('report.md', 'report.html'):
        assert caption in (tmp_path / name).read_text(encoding='utf-8')
    with pytest.raises(SystemExit):
        main([*call[:-1], '1'])
    assert '--last-epochs: must be an integer of at least 2' in capsys.readouterr().err
    assert main(['run', METHOD, '--last-epochs', '3']) == 2
    assert 'give --paper-scoring too' in capsys.readouterr().err
