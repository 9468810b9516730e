"""The report of score files as one HTML page: tables, curves, groups, worst samples; printable, offline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from mmfas.evaluation.comparison import Comparison
from mmfas.evaluation.evaluate import resolve_threshold
from mmfas.evaluation.fas_report import REPORT_COLUMNS, FASReport, summary_rows
from mmfas.evaluation.functional import ScoreCalibration, Threshold
from mmfas.evaluation.score_rules import ScoreRules
from mmfas.evaluation.score_table import ScoreTable
from mmfas.evaluation.tables import Row, percent
from mmfas.evaluation.worst_samples import Mistake, worst_samples
from mmfas.visualization.audit_plots import plot_epc, plot_reliability, plot_subgroups
from mmfas.visualization.html import figure_html, page_html, picture_html, sentences_html, table_html
from mmfas.visualization.method_plots import plot_pai_comparison
from mmfas.visualization.score_plots import plot_det, plot_histogram, plot_pai_bars, plot_roc

if TYPE_CHECKING:
    from mmfas.visualization.picture_source import PictureSource

__all__ = ['ScorePage', 'score_page']

#: Beside a figure and its table nothing is torn apart on paper; wide tables are scaled to it.
_STYLE = """
.figures figure:nth-child(3){grid-column:auto;grid-row:auto}
.strips{display:flex;flex-wrap:wrap;gap:.8rem}.strips figcaption{max-width:19rem;overflow-wrap:anywhere}
@page{size:A4;margin:14mm}
@media print{body{font-size:9px;margin:0;max-width:none}
figcaption{font-size:8px}figure,tr,.strips figure{break-inside:avoid}
h2,h3,caption{break-after:avoid}.wide{overflow:visible}th,td{padding:.15rem .3rem}
.figures{grid-template-columns:repeat(2,minmax(0,1fr))}}
"""
_COUNT_HEADER = ('file', 'live', 'attacks', 'no score', 'dev live', 'dev attacks')
_WORST_HEADER = ('sample', 'domain', 'PAI', 'score')


@dataclass(frozen=True)
class ScorePage:
    """What a page shows.

    Args:
        tables: Test scores by name.
        devs: Dev scores by the same names; empty without any.
        reports: One report per table, in the same order.
        rules: How scores became numbers.
        comparisons: Pairs of systems.
        are_systems: Whether the tables are of several systems on the same samples, whose mean means nothing.
        facts: Where the numbers come from, one sentence each.
        notes: What a reader must know of all of them.
        title: First line.
        pictures: Where pictures of the worst samples are found; None to list them only.
        num_worst: Worst samples of each kind and test set.
        site: Scores of live videos of the target, for the criterion `'site'`.
    """

    tables: Mapping[str, ScoreTable]
    devs: Mapping[str, ScoreTable]
    reports: Sequence[FASReport]
    rules: ScoreRules
    comparisons: Sequence[Comparison] = ()
    are_systems: bool = False
    facts: Sequence[str] = ()
    notes: Sequence[str] = ()
    title: str = 'Score report'
    pictures: PictureSource | None = None
    num_worst: int = 8
    site: ScoreTable | None = None
    thresholds: dict[str, Threshold] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for name, table in self.tables.items():
            found, _ = resolve_threshold(table, dev=self.devs.get(name), site=self.site, rules=self.rules)
            if found is not None:
                self.thresholds[name] = found


def score_page(page: ScorePage) -> str:
    """Return the report as HTML.

    Args:
        page: What to show.

    Returns:
        The page; it loads nothing from elsewhere.

    Raises:
        ValueError: If a list does not hold one of the worst samples, or a picture of it is broken.
        FileNotFoundError: If a picture does not exist.
    """
    tables = {name: page.rules.reduce(table) for name, table in page.tables.items()}
    devs = {name: page.rules.reduce(table) for name, table in page.devs.items()}
    parts = [sentences_html(page.facts), *_counts(page), *_summary(page)]
    for comparison in page.comparisons:
        caption = f'Paired differences: {comparison.title()}'
        parts.append(table_html(comparison.header, comparison.rows(), caption=caption, text_columns=('in %',)))
        parts.append(sentences_html(comparison.notes))
    parts.append('<h2>Curves</h2><div class="figures">')
    parts += [*_curves(page, tables, devs), '</div>']
    for report in page.reports:
        parts += _section(page, report, tables[report.name], devs.get(report.name))
    return page_html(page.title, page.title, '\n'.join(parts), style=_STYLE)


def _counts(page: ScorePage) -> Iterator[str]:
    """Yield how many samples there are, of dev too."""
    rows: list[Row] = []
    for report in page.reports:
        dev = report.dev
        counts = (str(dev.num_live), str(dev.num_spoof)) if dev else ('-', '-')
        failures = report.failures
        lost = str(sum(failures.reasons.values())) if failures else '0'
        rows.append((report.name, str(report.num_live), str(report.num_spoof), lost, *counts))
    yield table_html(_COUNT_HEADER, rows, caption='Samples', text_columns=('file',))


def _summary(page: ScorePage) -> Iterator[str]:
    """Yield the table with one row per file, and its notes."""
    header, rows = summary_rows(page.reports, mean=not page.are_systems)
    yield table_html(header, rows, caption='Error rates, %', text_columns=(header[0], 'threshold'))
    notes = [*page.notes]
    for note in dict.fromkeys(note for report in page.reports for note in report.notes):
        names = [report.name for report in page.reports if note in report.notes]
        notes.append(note if len(names) == len(page.reports) else f'{", ".join(names)}: {note}')
    yield sentences_html(notes)


def _curves(page: ScorePage, tables: Mapping[str, ScoreTable], devs: Mapping[str, ScoreTable]) -> Iterator[str]:
    """Yield the figures of all files together."""
    complete = {name: table for name, table in tables.items() if table.num_live and table.num_spoof}
    thresholds = {name: page.thresholds[name] for name in complete if name in page.thresholds}
    if complete:
        yield figure_html(plot_roc(complete, thresholds=thresholds), 'ROC: dots are at the threshold')
        yield figure_html(plot_det(complete, thresholds=thresholds), 'DET: dots are at the threshold')
    known = {name: table for name, table in complete.items() if name in devs}
    if known:
        yield figure_html(plot_epc(known, devs), 'EPC: every point is at a threshold that dev chose')
    judged = {name: table for name, table in tables.items() if name in page.thresholds}
    if len(judged) > 1:
        figure = plot_pai_comparison(judged, thresholds=page.thresholds)
        yield figure_html(figure, 'Errors of live samples and of every attack instrument')


def _section(page: ScorePage, report: FASReport, table: ScoreTable, dev: ScoreTable | None) -> Iterator[str]:
    """Yield everything about one file."""
    yield f'<h2>{escape(report.name)}</h2>'
    yield table_html(REPORT_COLUMNS, report.rows(), caption=report.title(), text_columns=('metric',))
    threshold = page.thresholds.get(report.name)
    for part in report.subgroups:
        caption = f'Errors by {part.column}'
        yield table_html(part.header, part.rows(), caption=caption, text_columns=(part.column,))
        yield sentences_html(part.sentences())
    yield '<div class="figures">'
    figure = plot_histogram(table, name=report.name, threshold=threshold, dev=dev)
    yield figure_html(figure, f'Scores of {report.name}')
    if threshold is not None:
        figure = plot_pai_bars(table, threshold=threshold, name=report.name)
        yield figure_html(figure, f'Errors of {report.name} by instrument')
    if table.score.min() >= 0 and table.score.max() <= 1:
        figure = plot_reliability(table, name=report.name, calibration=_calibration_of(report))
        yield figure_html(figure, f'Reliability of {report.name}: on the line a score is a probability')
    for part in report.subgroups:
        yield figure_html(plot_subgroups(part, name=report.name), f'Errors of {report.name} by {part.column}')
    yield '</div>'
    if threshold is not None:
        yield from _worst(page, report.name, threshold)


def _calibration_of(report: FASReport) -> ScoreCalibration | None:
    return None if report.calibration is None else report.calibration.fitted


def _worst(page: ScorePage, name: str, threshold: Threshold) -> Iterator[str]:
    """Yield the worst errors, with pictures where they are known; of frames, at whatever level is judged."""
    if page.rules.level != 'frame':
        note = f'Frames at the threshold of the {page.rules.level}s, which decide together.'
        yield sentences_html([note])
    worst = worst_samples(page.tables[name], threshold, num=page.num_worst)
    for kind, samples in {'accepted attacks': worst.accepted, 'rejected live samples': worst.rejected}.items():
        caption = f'Worst {kind} of {name}'
        if not samples:
            yield f'<p>{escape(caption)}: none.</p>'
        elif page.pictures is None:
            rows: list[Row] = [(s.sample_id, s.domain, s.pai, f'{s.score:.4f}') for s in samples]
            yield table_html(_WORST_HEADER, rows, caption=caption, text_columns=_WORST_HEADER[:3])
        else:
            strips = [picture_html(page.pictures.strip(sample), _words(sample)) for sample in samples]
            yield f'<h3>{escape(caption)}</h3><div class="strips">{"".join(strips)}</div>'


def _words(sample: Mistake) -> str:
    """Return the line below the pictures of a sample."""
    return f'{sample.pai}, score {percent(sample.score)} %: {sample.sample_id}'
