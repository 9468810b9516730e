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
    test = ScoreTable.from_records(records)
    test.to_csv(folder / 'test.csv')
    report = evaluate_scores(test, threshold=Threshold(0.65, 'dev-eer'))
    content = json.dumps(dict(reports=[report.to_dict()]))
    (folder / 'report.json').write_text(content, encoding='utf-8')


def test_the_table_has_the_three_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_report(tmp_path)
    assert main([str(tmp_path)]) == 0
    lines = [[cell.strip() for cell in line.split('|')] for line in capsys.readouterr().out.splitlines()]
    cells = {row[1]: row[2:] for row in lines if len(row) > 4}
    # HTER: 1/4 live rejected, 1/6 attacks accepted; ACER: 1/4 and the 1/2 of mask3d.
    assert cells['HTER, dev threshold'][0] == '20.8'
    assert cells['ACER (max PAI), dev threshold'][0] == '37.5'
    assert cells['ACER (max PAI), dev threshold'][2] == '1/2 mask3d accepted, 1/4 live rejected'
    assert cells['AUC'][0] == '75.0'  # 18 of 24 pairs
    assert cells['AUC'][2] == '4 live, 6 attacks'
    assert lines[-2] == ['dev threshold 0.6500 (dev-eer), fixed without any test score']
    assert lines[-1][0].startswith('no site threshold: ') and '`mmfas test --site-list` writes it' in lines[-1][0]


@pytest.mark.parametrize('num_videos', [5, 4])
def test_live_videos_of_the_target_set_another_threshold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], num_videos: int
) -> None:
    write_report(tmp_path)
    scores = (0.5, 0.65, 0.75, 0.85, 0.95)[:num_videos]
    records = [dict(sample_id=f's{i}', label=1, score=score, video=f'v{i}') for i, score in enumerate(scores)]
    ScoreTable.from_records(records).to_csv(tmp_path / 'site.csv')
    assert main([str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    if num_videos == 5:
        # None of the five may be rejected, so 0.5: 1/4 live rejected, 2/6 attacks accepted.
        assert 'site threshold 0.5000, BPCER at most 10 % on five live videos' in shown
        (row,) = (line for line in shown.splitlines() if 'HTER, site threshold' in line)
        assert row.split('|')[2].strip() == '29.2' and 'site (5 live videos)' in row
    else:
        assert 'no site threshold: ' in shown and '4 live videos' in shown


def test_a_missing_report_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert 'report.json does not exist; run `mmfas test` first' in capsys.readouterr().err
