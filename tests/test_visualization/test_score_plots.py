"""Figures of scores: what they show, and that nothing global is touched."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mmfas
from mmfas.evaluation import ScoreTable, Threshold, functional
from mmfas.visualization import plot_det, plot_histogram, plot_pai_bars, plot_roc, save_score_plots
from mmfas.visualization.audit_plots import plot_epc, plot_reliability


def _table(seed: int, domain: str, num: int = 150) -> ScoreTable:
    rng = np.random.default_rng(seed)
    is_live = np.arange(num) % 3 == 0
    score = 1 / (1 + np.exp(-rng.normal(np.where(is_live, 2.0, -1.0))))
    pai = np.where(is_live, 'live', np.where(np.arange(num) % 3 == 1, 'print', 'replay'))
    text = np.full(num, '')
    return ScoreTable(
        sample_id=np.arange(num).astype(str),
        domain=np.full(num, domain),
        subject=text,
        video=text,
        pai=pai,
        label=is_live.astype(int),
        score=score,
    )


THRESHOLD = Threshold(0.5, 'dev-eer')


def test_roc_shows_the_curve_and_the_operating_point() -> None:
    table = _table(0, 'W')
    axes = plot_roc({'W': table}, thresholds={'W': THRESHOLD}).axes[0]
    curve = functional.roc_curve(table.score, table.is_live)
    line, dot = axes.lines[0], axes.lines[1]
    shown = curve.far > 0
    np.testing.assert_array_equal(line.get_xdata()[shown], curve.far[shown])
    np.testing.assert_array_equal(line.get_ydata(), curve.tpr)
    far = functional.far(table.score, table.is_live, threshold=0.5).value
    bpcer = functional.bpcer(table.score, table.is_live, threshold=0.5).value
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (far, 1 - bpcer)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[0].startswith('W: AUC 0.') and labels[0].endswith('(50 live, 100 attacks)')
    assert labels[1] == 'at threshold: dev-eer'


def test_det_labels_its_eer_as_oracle_and_its_axes_in_percent() -> None:
    tables = {'W': _table(0, 'W'), 'S': _table(1, 'S')}
    axes = plot_det(tables, thresholds={'W': THRESHOLD}).axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert all('(oracle;' in label for label in labels[:2])
    assert '10' in [text.get_text() for text in axes.get_xticklabels()]
    assert '%' in axes.get_xlabel() and '%' in axes.get_ylabel()


def test_histogram_counts_every_sample_and_marks_the_threshold() -> None:
    table, dev = _table(0, 'W'), _table(1, 'C')
    axes = plot_histogram(table, threshold=THRESHOLD, dev=dev).axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(labels) == sorted(
        ['live (50)', 'attacks (100)', 'dev live (50)', 'dev attacks (100)', 'threshold 0.5000 (dev-eer)']
    )
    filled = [container for container in axes.containers if len(container) == 50]
    for container in filled:
        assert sum(patch.get_height() for patch in container) == pytest.approx(100)


def test_bars_carry_counts_and_put_the_worst_instrument_on_top() -> None:
    table = _table(0, 'W')
    axes = plot_pai_bars(table, threshold=THRESHOLD).axes[0]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    attacks = functional.apcer(table.score, table.is_live, table.pai, threshold=0.5)
    assert labels[0] == 'BPCER (live)' and labels[-1] == f'APCER {attacks.worst_pai}'
    assert f' {attacks.max}' in [text.get_text() for text in axes.texts]


def test_one_class_has_histogram_and_bars_only(tmp_path: Path) -> None:
    table = _table(0, 'W').select(label=0)
    with pytest.raises(ValueError, match='undefined without live samples'):
        plot_roc({'W': table})
    assert list(save_score_plots({'W': table}, tmp_path, dev=_table(1, 'C'))) == ['histogram', 'pai_bars']
    assert list(save_score_plots({'W': table}, tmp_path)) == ['histogram']


def test_several_test_sets_share_curves_and_have_their_own_bars(tmp_path: Path) -> None:
    paths = save_score_plots({'W': _table(0, 'W'), 'a/b c': _table(1, 'S')}, tmp_path / 'new', dev=_table(2, 'C'))
    assert list(paths) == ['roc', 'det', 'epc', 'histogram_W', 'pai_bars_W', 'histogram_a-b-c', 'pai_bars_a-b-c']
    widths = {path.read_bytes()[16:20] for path in paths.values()}
    assert widths == {(960).to_bytes(4, 'big')}


def test_no_legend_hides_a_curve() -> None:
    good, dev = {'W': _table(0, 'W'), 'S': _table(1, 'S')}, _table(2, 'C')
    turned = {name: replace(table, score=1 - table.score) for name, table in good.items()}
    for tables in (good, turned):
        figures = [plot_roc(tables), plot_det(tables), plot_epc(tables, dict.fromkeys(tables, dev))]
        figures += [plot_histogram(tables['W'], dev=dev), plot_reliability(tables['W'])]
        for figure in figures:
            figure.draw_without_rendering()
            axes = figure.axes[0]
            legend, inside = axes.get_legend().get_window_extent(), axes.get_window_extent()
            assert legend.y1 <= inside.y0 and legend.y0 >= 0, axes.get_title(loc='left')


def test_figures_are_reproducible(tmp_path: Path) -> None:
    first, second = (save_score_plots({'W': _table(0, 'W')}, tmp_path / name) for name in 'ab')
    assert all(first[kind].read_bytes() == second[kind].read_bytes() for kind in first)


def test_no_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='at least one score table'):
        save_score_plots({}, tmp_path)


def test_importing_the_room_does_not_import_matplotlib_nor_drawing_import_pyplot(tmp_path: Path) -> None:
    code = (
        'import sys, numpy as np\n'
        'import mmfas.visualization.style as style\n'
        "assert 'matplotlib' not in sys.modules\n"
        "figure, _ = style.new_figure('t', 'x', 'y')\n"
        "style.save_figure(figure, 't.png')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    root = str(Path(mmfas.__file__).resolve().parents[1])
    command = [sys.executable, '-c', f'import sys; sys.path.insert(0, {root!r})\n{code}']
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
