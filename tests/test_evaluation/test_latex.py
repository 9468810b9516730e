"""Every kind of LaTeX table is compiled, whatever stands in its cells."""

from __future__ import annotations

from pathlib import Path

import pytest
from latex_compiler import compile_tables, needs_latex

from mmfas.cli.scores import eval as scores_eval
from mmfas.evaluation import ScoreTable
from mmfas.evaluation.latex import latex_comment, latex_table

from .tables import make_records, make_table

HARD = r'a_b%c&d#e$f~g^h\i{j}k "l" <m> |n| o--p' '\n\nÅé ±→−≤≥≠≈∞× αβγΔμσ –—‘’“”…•†€™ čłőžŞŢ'


@needs_latex
def test_every_kind_of_table_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{**row, 'site': f'50 % & {row["subject"]}_#'} for row in make_records(60, 1)]
    for row in rows:
        row['pai'] = 'a_b%c&d' if row['pai'] == 'print' else row['pai']
    name = 'a_b%&é'
    ScoreTable.from_records(
        [*rows, dict(sample_id='x', label=1, pai='live', score=None, reason='no_face')]
    ).to_csv(f'{name}.csv')
    ScoreTable.from_records({**row, 'score': row['score'] ** 2} for row in rows).to_csv('B.csv')
    make_table(60, 2, domain='C').to_csv('dev.csv')
    small = ['--bootstrap', '20', '--format', 'latex']
    calls = (
        [f'{name}.csv', '--dev', 'dev.csv', '--by', 'site', '--calibration', 'platt'],
        [f'{name}.csv:dev.csv', 'B.csv:dev.csv', '--permutation', '9'],
        [f'{name}.csv', 'B.csv', '--dev', 'dev.csv', '--mean'],
        ['B.csv'],
    )
    tables = []
    for call in calls:
        assert scores_eval.main([*call, *small]) == 0
        tables.append(capsys.readouterr().out)
    tables.append(latex_table((HARD, 'x', 'y'), [(HARD, HARD, '-1.00 [-2.00, 0.50]'), ('[a]', '3 ± 1', '*')]))
    assert '% pdfLaTeX does not print' not in ''.join(tables)
    assert sum(text.count('\\begin{tabular}') for text in tables) >= 7
    compile_tables('\n\n'.join(tables), tmp_path)


def test_what_pdflatex_does_not_print_is_said_before_the_table() -> None:
    remark = latex_table(('系统', 'x'), [('ą', '1')]).splitlines()[0]
    assert remark == '% pdfLaTeX does not print ą 系 统: use XeLaTeX or LuaLaTeX with a font that has them.'
    assert latex_comment('a\nb') == '% a b'
    lines = latex_table(('a--b\n\nc', 'x'), [('d', '2')]).splitlines()
    assert lines[2] == r'a-{}-b c & x \\'
