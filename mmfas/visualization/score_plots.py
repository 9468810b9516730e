"""Figures of score tables: ROC, DET, score histogram, and error rates per attack instrument."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmfas.evaluation.evaluate import resolve_threshold
from mmfas.evaluation.functional import (
    Rate,
    RocCurve,
    Threshold,
    apcer,
    auc,
    bpcer,
    eer,
    far,
    probit,
    roc_curve,
    select_threshold,
)
from mmfas.evaluation.score_rules import ScoreRules
from mmfas.evaluation.score_table import ScoreTable
from mmfas.utils.errors import InputError
from mmfas.visualization.audit_plots import plot_epc
from mmfas.visualization.style import (
    LIVE_COLOUR,
    SPOOF_COLOUR,
    THRESHOLD_COLOUR,
    add_legend,
    new_figure,
    save_figure,
    series_style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NUM_BINS = 50
_DET_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


def _counts(table: ScoreTable) -> str:
    return f'{table.num_live} live, {table.num_spoof} attacks'


def _smallest_rate(tables: Mapping[str, ScoreTable]) -> float:
    """Return half the smallest rate that the largest table can show: where logarithmic axes end."""
    return 0.5 / max(max(table.num_live, table.num_spoof) for table in tables.values())


def _operating_rates(table: ScoreTable, threshold: Threshold) -> tuple[float, float]:
    """Return FAR and FRR at a threshold."""
    return (
        far(table.score, table.is_live, threshold=threshold).value,
        bpcer(table.score, table.is_live, threshold=threshold).value,
    )


def _mark_threshold(axes: Axes, thresholds: Mapping[str, Threshold]) -> None:
    """Add one legend entry that says what the dots are."""
    if thresholds:
        origins = sorted({threshold.origin for threshold in thresholds.values()})
        label = f'at threshold: {", ".join(origins)}'
        axes.plot([], [], 'o', color='white', markeredgecolor=THRESHOLD_COLOUR, markersize=7, label=label)


def plot_roc(tables: Mapping[str, ScoreTable], *, thresholds: Mapping[str, Threshold] | None = None) -> Figure:
    """Draw the ROC curve of every test set; the rate of accepted attacks is logarithmic, as low rates matter.

    Args:
        tables: Scores with both classes, by the name of the test set.
        thresholds: Threshold to mark on the curve of a test set, by name.

    Returns:
        The figure.

    Raises:
        ValueError: If a class is absent.
    """
    figure, axes = new_figure(
        'ROC: live accepted against attacks accepted',
        'attacks accepted, FPR (log; left edge: none)',
        'live accepted, TPR',
    )
    smallest = _smallest_rate(tables)
    for index, (name, table) in enumerate(tables.items()):
        curve = roc_curve(table.score, table.is_live)
        label = f'{name}: AUC {auc(table.score, table.is_live):.4f} ({_counts(table)})'
        far_shown = np.maximum(curve.far, smallest)
        axes.step(far_shown, curve.tpr, where='post', linewidth=1.8, label=label, **series_style(index))
        if thresholds and name in thresholds:
            rates = _operating_rates(table, thresholds[name])
            _dot(axes, max(rates[0], smallest), 1 - rates[1], index)
    axes.set_xscale('log')
    axes.set_xlim(smallest, 1)
    axes.set_ylim(-0.02, 1.02)
    _mark_threshold(axes, thresholds or {})
    add_legend(figure, axes)
    return figure


def _dot(axes: Axes, x: float, y: float, index: int) -> None:
    """Mark an operating point, visible also on the border of the axes."""
    edge = series_style(index)['color']
    axes.plot([x], [y], 'o', color='white', markeredgecolor=edge, markeredgewidth=1.8, markersize=7, clip_on=False)


def plot_det(tables: Mapping[str, ScoreTable], *, thresholds: Mapping[str, Threshold] | None = None) -> Figure:
    """Draw the detection error trade-off curve of every test set on normal-deviate axes.

    Args:
        tables: Scores with both classes, by the name of the test set.
        thresholds: Threshold to mark on the curve of a test set, by name.

    Returns:
        The figure.

    Raises:
        ValueError: If a class is absent.
    """
    figure, axes = new_figure(
        'DET: live rejected against attacks accepted',
        'attacks accepted, APCER pooled (%)',
        'live rejected, BPCER (%)',
    )
    low = max(_smallest_rate(tables), 5e-5)
    high = max(0.6, *(_highest_operating(table, thresholds, name) for name, table in tables.items()))
    limits = probit([low, min(high, 0.995)])
    for index, (name, table) in enumerate(tables.items()):
        curve = roc_curve(table.score, table.is_live)
        label = f'{name}: EER {100 * eer(table.score, table.is_live).value:.2f} % (oracle; {_counts(table)})'
        _det_line(axes, curve, limits, label, index)
        if thresholds and name in thresholds:
            point = np.clip(probit(_operating_rates(table, thresholds[name])), *limits)
            _dot(axes, point[0], point[1], index)
    axes.plot(limits, limits, color='#999999', linewidth=0.8, linestyle=(0, (4, 4)))
    ticks = [tick for tick in _DET_TICKS if low <= tick <= min(high, 0.995)]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(probit(ticks), [f'{100 * tick:g}' for tick in ticks])
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    _mark_threshold(axes, thresholds or {})
    add_legend(figure, axes)
    return figure


def _highest_operating(table: ScoreTable, thresholds: Mapping[str, Threshold] | None, name: str) -> float:
    """Return the larger error rate at a test set's threshold, so that its dot fits into the axes."""
    if not thresholds or name not in thresholds:
        return 0.0
    return max(_operating_rates(table, thresholds[name])) * 1.1


def _det_line(axes: Axes, curve: RocCurve, limits: np.ndarray, label: str, index: int) -> None:
    x, y = (np.clip(probit(rates), *limits) for rates in (curve.far, curve.frr))
    axes.step(x, y, where='post', linewidth=1.8, label=label, **series_style(index))


def plot_histogram(
    table: ScoreTable,
    *,
    name: str = 'test',
    threshold: Threshold | None = None,
    dev: ScoreTable | None = None,
) -> Figure:
    """Draw how the scores of live samples and attacks are spread, dev scores as outlines behind.

    Args:
        table: Scores of one test set; one class may be absent.
        name: Name of the test set.
        threshold: Threshold to mark.
        dev: Dev scores.

    Returns:
        The figure.
    """
    figure, axes = new_figure(f'Scores of {name}', 'score (liveness, higher = live)', 'fraction of the class (%)')
    everything = table.score if dev is None else np.concatenate([table.score, dev.score])
    low, high = min(0.0, float(everything.min())), max(1.0, float(everything.max()))
    bins = np.linspace(low, high, _NUM_BINS + 1).tolist()
    for label, colour, wanted in (('live', LIVE_COLOUR, True), ('attacks', SPOOF_COLOUR, False)):
        for part, filled in ((table, True), (dev, False)):
            scores = part.score[part.is_live == wanted] if part is not None else np.empty(0)
            if scores.size:
                weights = np.full(scores.size, 100 / scores.size)
                style = {'alpha': 0.55} if filled else {'histtype': 'step', 'linewidth': 1.4, 'linestyle': '--'}
                text = f'{label if filled else f"dev {label}"} ({scores.size})'
                axes.hist(scores, bins=bins, weights=weights, color=colour, label=text, **style)
    if threshold is not None:
        axes.axvline(threshold.value, color=THRESHOLD_COLOUR, linewidth=1.6, label=f'threshold {threshold}')
    axes.set_xlim(low, high)
    add_legend(figure, axes, num_columns=2)
    return figure


def plot_pai_bars(table: ScoreTable, *, threshold: Threshold, name: str = 'test') -> Figure:
    """Draw APCER of every instrument and BPCER at one threshold, with counts and Wilson intervals.

    Args:
        table: Scores of one test set; one class may be absent.
        threshold: Accept if score >= threshold.
        name: Name of the test set.

    Returns:
        The figure.
    """
    title = f'Errors of {name} at threshold {threshold}'
    figure, axes = new_figure(title, 'error rate (%), whiskers: 95 % Wilson interval', '')
    bars: list[tuple[str, Rate, str]] = []
    if table.num_live:
        bars.append(('BPCER (live)', bpcer(table.score, table.is_live, threshold=threshold), LIVE_COLOUR))
    if table.num_spoof:
        attacks = apcer(table.score, table.is_live, table.pai, threshold=threshold)
        worst_last = sorted(attacks.per_pai.items(), key=lambda item: (item[1].value, item[0]))
        bars += [(f'APCER {pai}', rate, SPOOF_COLOUR) for pai, rate in worst_last]
    for row, (_, rate, colour) in enumerate(bars):
        value, ends = 100 * rate.value, rate.interval()
        axes.barh(row, value, height=0.62, color=colour, alpha=0.75)
        whisker = [[value - 100 * ends.low], [100 * ends.high - value]]
        axes.errorbar(value, row, xerr=whisker, color=THRESHOLD_COLOUR, linewidth=1.2, capsize=4)
        axes.annotate(f' {rate}', (100 * ends.high, row), xytext=(4, 0), textcoords='offset points', va='center')
    axes.set_yticks(range(len(bars)), [label for label, _, _ in bars])
    axes.set_xlim(0, 112)
    axes.set_xticks(range(0, 101, 20))
    axes.grid(axis='y', visible=False)
    return figure


def save_score_plots(
    tables: Mapping[str, ScoreTable],
    out_dir: str | PathLike[str],
    *,
    dev: ScoreTable | Mapping[str, ScoreTable] | None = None,
    threshold: Threshold | float | None = None,
    site: ScoreTable | None = None,
    rules: ScoreRules | None = None,
) -> dict[str, Path]:
    """Draw and write every figure that these scores define.

    The threshold marked is `threshold`, else that of `dev`, else each test set's own EER threshold, labelled so.

    Args:
        tables: Scores of at least one test set, by name.
        out_dir: Folder for the PNG files; made if missing.
        dev: Dev scores of all test sets; or by name, where they are of several systems with a threshold each.
        threshold: Threshold fixed beforehand.
        site: Scores of live videos of the target, for the criterion `'site'`.
        rules: How dev scores fix the threshold, and frames are reduced; the defaults of `ScoreRules` if None.

    Returns:
        Written files by kind: `roc`, `det`, with dev scores `epc`, and per test set `histogram` and `pai_bars`
            (`histogram_<name>` where there are several). ROC and DET leave out test sets that lack a class.

    Raises:
        ValueError: If there is no test set, or as `resolve_threshold`.
    """
    if not tables:
        raise InputError('save_score_plots needs at least one score table, got none')
    rules = rules or ScoreRules()
    devs = dict(dev) if isinstance(dev, Mapping) else {} if dev is None else dict.fromkeys(tables, dev)
    # Asked for each, so that each is checked to share no sample with its dev scores.
    fixed = {
        name: resolve_threshold(table, dev=devs.get(name), threshold=threshold, site=site, rules=rules)[0]
        for name, table in tables.items()
    }
    tables = {name: rules.reduce(table) for name, table in tables.items()}
    devs = {name: rules.reduce(table) for name, table in devs.items()}
    complete = {name: table for name, table in tables.items() if table.num_live and table.num_spoof}
    thresholds = {name: fixed[name] or _oracle_threshold(table) for name, table in complete.items()}
    figures: dict[str, Figure] = {}
    if complete:
        figures['roc'] = plot_roc(complete, thresholds=thresholds)
        figures['det'] = plot_det(complete, thresholds=thresholds)
        known = {name: devs[name] for name in complete if name in devs}
        if known:
            figures['epc'] = plot_epc({name: complete[name] for name in known}, known)
    for name, table in tables.items():
        suffix = '' if len(tables) == 1 else f'_{_file_name(name)}'
        own = thresholds.get(name, fixed[name])
        figures[f'histogram{suffix}'] = plot_histogram(table, name=name, threshold=own, dev=devs.get(name))
        if own is not None:
            figures[f'pai_bars{suffix}'] = plot_pai_bars(table, threshold=own, name=name)
    return {kind: save_figure(figure, Path(out_dir) / f'{kind}.png') for kind, figure in figures.items()}


def _file_name(name: str) -> str:
    """Return a test set's name as part of a file name."""
    return re.sub(r'[^A-Za-z0-9.-]+', '-', name)


def _oracle_threshold(table: ScoreTable) -> Threshold:
    return select_threshold(table.score, table.is_live, table.pai, criterion='eer', split='test')
