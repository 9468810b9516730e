"""Tables of the SynthFAS studies, made from records alone ('not run' where there is none), and of the probe."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import mean
from typing import Any

from mmfas.evaluation.tables import NOT_RUN, markdown_table, mean_interval, percent_cell
from mmfas.structures import MODALITIES
from mmfas.synthfas import SPLITS
from mmfas.synthfas.files.layout import list_name
from mmfas.synthfas.files.manifest import render_command
from mmfas.synthfas.files.statistics import join_statistics, linear_probe_auc, read_statistics
from mmfas.utils.errors import InputError, MissingFileError
from mmfas.utils.runs import load_records
from projects.synthfas_study.hardness import DOMAINS
from projects.synthfas_study.perturbations import STRENGTHS

#: Spearman rank correlation of strength and AUC from which on a perturbation counts as working.
MIN_RANK_CORRELATION = 0.8
#: Seeds from which on an interval says something.
MIN_SEEDS = 3


def _of_one_setting(records: list[dict[str, Any]], folder: str | Path) -> list[dict[str, Any]]:
    """Return the records, or refuse those of different configs or data, whose mean would be meaningless."""
    keys = ('config', 'data', 'dials_version')
    settings = {json.dumps({key: r.get(key) for key in keys}, sort_keys=True) for r in records}
    if len(settings) > 1:
        raise InputError(
            f'{folder} holds records of {len(settings)} different settings, which no table may mix: '
            f'{"; ".join(sorted(settings))}. Run all of them again, or give each a folder of its own by --records'
        )
    return records


def hardness_table(folder: str | Path, measure: str = 'auc') -> str:
    """Tabulate the hardness study: rows are kinds of runs, columns the domain tested on and their mean.

    Args:
        folder: Folder of the records.
        measure: `'auc'` or `'hter'` (at the dev threshold).

    Returns:
        A Markdown table in percent: mean over the seeds and its 95 % interval.

    Raises:
        ValueError: If the records are not all of one config and one data set.
    """
    records = load_records(folder, '*_s*.json').values()
    found = _of_one_setting([record for record in records if 'reports' in record], folder)
    rows = []
    for title, is_wanted in _row_filters():
        chosen = [r for r in found if is_wanted(r['run'])]
        cells = [percent_cell(_values(chosen, domain, measure)) for domain in DOMAINS]
        by_seed = _mean_by_seed(chosen, measure)
        rows.append((title, *cells, percent_cell(by_seed), str(len(by_seed))))
    return markdown_table(('trained on', *(f'test {d}' for d in DOMAINS), 'mean', 'seeds'), rows)


def _row_filters() -> Iterable[tuple[str, Any]]:
    """Yield title and predicate of every row."""
    everything = list(MODALITIES)
    yield 'all four domains', lambda run: run['name'] == 'in-domain'

    def is_lodo(run: dict[str, Any], modalities: list[str]) -> bool:
        return run['name'].startswith('lodo') and run['modalities'] == modalities and not run['random_labels']

    yield 'the other three', lambda run: is_lodo(run, everything)
    for modality in MODALITIES:
        yield f'the other three, {modality} alone', lambda run, m=modality: is_lodo(run, [m])
    yield 'the other three, random labels', lambda run: run['random_labels']


def _values(records: list[dict[str, Any]], domain: str, measure: str) -> list[float]:
    """Return one number per seed."""
    reports = [r['reports'][domain] for r in records if domain in r['reports']]
    return [report[measure]['value'] for report in reports]


def _mean_by_seed(records: list[dict[str, Any]], measure: str) -> list[float]:
    """Return, for every seed that has all four domains, their mean."""
    by_seed: dict[int, dict[str, float]] = {}
    for record in records:
        for domain, report in record['reports'].items():
            by_seed.setdefault(record['run']['seed'], {})[domain] = report[measure]['value']
    return [mean(values.values()) for values in by_seed.values() if len(values) == len(DOMAINS)]


def perturbation_table(folder: str | Path) -> str:
    """Tabulate the sweeps: mean AUC over the domains, rank correlation, and whether the perturbation works.

    Args:
        folder: Folder of the records.

    Returns:
        A Markdown table in percent: mean over the seeds and its 95 % interval. A perturbation works if the AUC
        falls with a rank correlation of at least 0.8 and the intervals of its two ends do not overlap; that takes
        three seeds.

    Raises:
        ValueError: If the records are not all of one config, one data set and one version of the perturbations.
    """
    records = _of_one_setting([*load_records(folder, 'dial-*.json').values()], folder)
    rows = []
    for name in sorted({record['dial'] for record in records}):
        steps = {r['step']: [mean(a.values()) for a in r['auc'].values()] for r in records if r['dial'] == name}
        cells = [percent_cell(steps.get(strength, [])) for strength in STRENGTHS]
        rows.append((name, *cells, *_judge(steps)))
    return markdown_table(('perturbation', *(f'{s:g}' for s in STRENGTHS), 'rank correlation', 'verdict'), rows)


def probe_table(data_root: str | Path) -> str:
    """Probe every list of a rendered folder for shortcuts.

    Args:
        data_root: Folder of the rendered benchmark; domains of which it has no list are left out.

    Returns:
        A Markdown table of the AUC of `linear_probe_auc`: each list, and all frames of each domain.

    Raises:
        FileNotFoundError: If a domain lacks some of its lists, or there is none.
        ValueError: If a list has too few videos; it is named.
    """
    rows = []
    missing = {d: [s for s in SPLITS if not Path(data_root, list_name(d, s)).is_file()] for d in DOMAINS}
    domains = [domain for domain in DOMAINS if len(missing[domain]) < len(SPLITS)]
    lost = [list_name(domain, split) for domain in domains or DOMAINS for split in missing[domain]]
    if lost:
        raise MissingFileError(f"'{data_root}' lacks {', '.join(lost)}; `{render_command(data_root)}` makes them")
    lists = {split: [read_statistics(data_root, domain, split) for domain in domains] for split in SPLITS}
    lists['all three'] = [join_statistics(parts) for parts in zip(*lists.values(), strict=True)]
    for name, found in lists.items():
        sizes = sorted({len(statistics.labels) for statistics in found})
        label = f'{name} ({" to ".join(f"{size:,}" for size in sizes)} frames)'
        cells = []
        for domain, statistics in zip(domains, found, strict=True):
            try:
                cells.append(f'{linear_probe_auc(statistics):.3f}')
            except ValueError as error:
                raise InputError(f"'{data_root}', {domain} {name}: {error}") from error
        rows.append((label, *cells))
    return markdown_table(('list', *domains), rows)


def _judge(steps: dict[float, list[float]]) -> tuple[str, str]:
    """Return rank correlation and verdict of one perturbation, or that it is not finished."""
    from scipy.stats import spearmanr

    if set(steps) != set(STRENGTHS):
        return NOT_RUN, NOT_RUN
    if min(map(len, steps.values())) < MIN_SEEDS:
        return NOT_RUN, f'fewer than {MIN_SEEDS} seeds'
    means = [mean(steps[strength]) for strength in STRENGTHS]
    # A perturbation that changes nothing at all has no ranks to correlate.
    fall = -float(spearmanr(STRENGTHS, means).statistic) if len(set(means)) > 1 else 0.0
    (first, first_half), (last, last_half) = (
        mean_interval(steps[STRENGTHS[0]]),
        mean_interval(steps[STRENGTHS[-1]]),
    )
    works = fall >= MIN_RANK_CORRELATION and first - first_half > last + last_half
    return f'{fall:.2f}', 'works' if works else 'insensitive'
