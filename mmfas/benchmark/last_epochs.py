"""Mean and deviation over the last epochs, of records whose every epoch was scored on the target.

Papers that report so (such as SA-FAS and GAC-FAS) choose no epoch on the target. HTER is still at the target's own
EER threshold, so it stays an oracle; AUC has no threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev

from mmfas.benchmark.plan import Protocol, in_order
from mmfas.benchmark.record import Record, RecordError
from mmfas.benchmark.tables import TITLES, RecordSelection, Table, build_tables, columns_of
from mmfas.evaluation.tables import NOT_RUN

__all__ = ['all_tables', 'last_epochs_table', 'values_of_last_epochs']


def all_tables(chosen: RecordSelection, protocols: Sequence[Protocol]) -> list[Table]:
    """Make all tables of a report, with those over the last epochs if they are wanted.

    Args:
        chosen: Records and methods.
        protocols: Protocols to show.

    Returns:
        For each protocol the tables of `build_tables`, and after them that of `last_epochs_table`.

    Raises:
        RecordError: If a training has fewer epochs than are wanted.
    """
    tables = []
    for protocol in in_order(protocols):
        tables += build_tables(chosen, [protocol])
        if chosen.last_epochs is not None:
            tables.append(last_epochs_table(chosen, protocol, chosen.last_epochs))
    return tables


def values_of_last_epochs(record: Record, num: int, measure: str) -> list[float] | None:
    """Return what the last epochs of a training have on the target.

    Args:
        record: The record.
        num: How many epochs, at least 2.
        measure: `'hter'` or `'auc'`.

    Returns:
        Numbers in [0, 1], the last epoch last; None if its epochs were not scored.

    Raises:
        RecordError: If the training has fewer epochs.
    """
    every = (record.paper or {}).get('every_epoch')
    if every is None:
        return None
    if len(every) < num:
        raise RecordError(
            f'{record.method} {record.cell.name} has {len(every)} epochs, so there are no last {num}; give '
            f'--last-epochs {len(every)} or less'
        )
    return [epoch[measure] for epoch in every[-num:]]


def last_epochs_table(chosen: RecordSelection, protocol: Protocol, num: int) -> Table:
    """Make the table of a protocol: a row per split and method, and the mean over splits.

    Args:
        chosen: Records and methods.
        protocol: 1, 2 or 3.
        num: How many epochs, at least 2.

    Returns:
        The table; of several seeds, the epochs of all are taken together.

    Raises:
        RecordError: If a training has fewer epochs.
    """
    rows = []
    for column in columns_of(protocol):
        for method, name in chosen.row_names.items():
            groups = chosen.group(method, protocol, column.splits)
            cells = [_cell(list(groups.values()), num, measure) for measure in ('hter', 'auc')]
            seeds = ' '.join(map(str, groups)) if NOT_RUN not in cells else NOT_RUN
            rows.append((column.title, name, *cells, seeds))
    return Table(
        f'{TITLES[protocol]}: mean ± standard deviation over the last {num} epochs, %',
        ('split', 'method', 'HTER (oracle threshold)', 'AUC', 'seeds'),
        tuple(rows),
        'Every epoch is scored on the target by --paper-scoring. A row of several splits is the mean over them, '
        'epoch by epoch.',
    )


def _cell(groups: Sequence[Sequence[Record]], num: int, measure: str) -> str:
    """Return mean and deviation over the epochs of all seeds, each epoch the mean over splits."""
    numbers: list[float] = []
    for records in groups:
        found = [values_of_last_epochs(record, num, measure) for record in records]
        if any(values is None for values in found):
            continue
        numbers += [mean(of_epoch) for of_epoch in zip(*(values or [] for values in found), strict=True)]
    return f'{100 * mean(numbers):.2f} ± {100 * stdev(numbers):.2f}' if numbers else NOT_RUN
