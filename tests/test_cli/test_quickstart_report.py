"""The closing table of the quick start, from a report whose numbers are counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmfas.cli.quickstart_report import main
from mmfas.evaluation import ScoreTable, Threshold, evaluate_scores


def write_report(folder: Path) -> None:
    rows = [('live', score) for score in (0.9, 0.8, 0.7, 0.2)]
    rows += [('print', score) for score in (0.6, 0.1, 0.1, 0.1)] + [('mask3d', 0.95), ('mask3d', 0.3)]
    records = [
        dict(sample_id=f'{i}.png', label=int(pai == 'live'), pai=pai, score=score)
        for i, (pai, score) in enumerate(rows)
    ]
    report = evaluate_scores(ScoreTable.from_records(records), threshold=Threshold(0.65, 'dev-eer'))
    content = json.dumps(dict(reports=[report.to_dict()]))
    (folder / 'report.json').write_text(content, encoding='utf-8')


def test_the_table_has_the_three_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_report(tmp_path)
    assert main([str(tmp_path)]) == 0
    lines = [[cell.strip() for cell in line.split('|')] for line in capsys.readouterr().out.splitlines()]
    cells = {row[1]: row[2:] for row in lines if len(row) > 4}
    # HTER: 1/4 live rejected, 1/6 attacks accepted; ACER: 1/4 and the 1/2 of mask3d.
    assert cells['HTER'][0] == '20.8'
    assert cells['ACER (max PAI)'][0] == '37.5'
    assert cells['ACER (max PAI)'][2] == '1/2 mask3d accepted, 1/4 live rejected'
    assert cells['AUC'][0] == '75.0'  # 18 of 24 pairs
    assert cells['AUC'][2] == '4 live, 6 attacks'
    assert lines[-1] == ['threshold 0.6500 (dev-eer), fixed without any test score']


def test_a_missing_report_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert 'report.json does not exist; run `mmfas test` first' in capsys.readouterr().err
