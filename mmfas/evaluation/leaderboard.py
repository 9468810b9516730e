"""The page of published numbers: tables, what was misprinted, and where everything comes from."""

from __future__ import annotations

from mmfas.evaluation.published import Published, PublishedMethod, PublishedRow
from mmfas.evaluation.tables import Row, markdown_table

__all__ = ['leaderboard_page']

_INTRODUCTION = """\
# Leaderboard of published numbers

Made by `mmfas scores leaderboard` from `mmfas/evaluation/published.yml`; change the file, not this page. **Paper**
numbers only: the results of this toolkit are under [benchmarks](benchmarks.md), with config, seed and commit.

Cells are HTER % / AUC %, sorted by the mean HTER. Means are recomputed from the cells. Bold: in this toolkit.
Protocols and domains: [concepts](concepts.md)."""
_TITLES = {
    1: 'Protocol 1: one data set held out',
    2: 'Protocol 2: modalities missing in the test set',
    3: 'Protocol 3: two sources, two targets',
}


def leaderboard_page(published: Published) -> str:
    """Return the page of published numbers.

    Args:
        published: The numbers.

    Returns:
        Markdown, with a newline at the end.
    """
    parts = [_INTRODUCTION, f'```{{warning}}\n{published.scoring}\n```']
    for protocol in published.columns:
        parts += [f'## {_TITLES[protocol]}', _protocol_table(published, protocol)]
        absent = [method.name for method in published.methods if protocol not in method.rows]
        parts.append(f'No public number: {", ".join(absent)}.' if absent else 'Every method has numbers here.')
    parts += [
        '## Means over protocol 1 with parts left out',
        markdown_table(
            ('model', 'mean', 'source'), [(a.name, str(a.mean), f'`{a.source}`') for a in published.ablations]
        ),
        '## Remarks',
        '\n'.join(f'* **{method.name}**: {method.note}.' for method in published.methods if method.note),
        f'Searched for without success on these protocols: {", ".join(published.not_found)}.',
        '## Printed means that differ from those of their cells',
        _misprint_table(published),
        '## Sources',
        '\n'.join(
            f'* `{key}`: {source.title}' + (f', <{source.url}>' if source.url else '') + '.'
            for key, source in published.sources.items()
        ),
    ]
    return '\n\n'.join(parts) + '\n'


def _protocol_table(published: Published, protocol: int) -> str:
    """Return the table of one protocol."""
    columns = published.columns[protocol]
    found = [(method, method.rows[protocol]) for method in published.methods if protocol in method.rows]
    found.sort(key=lambda pair: pair[1].exact_mean.hter)
    rows = [_cells(method, row, list(columns)) for method, row in found]
    mean = () if found[0][1].mean is None else ('mean',)
    return markdown_table(('method', 'venue', *columns.values(), *mean, 'source'), rows)


def _cells(method: PublishedMethod, row: PublishedRow, columns: list[str]) -> Row:
    """Return one line of a table; the names of methods in mmfas are bold."""
    name = f'**{method.name}**' if method.collection else method.name
    name += '' if method.comparable else ' (other lists)'
    mean = () if row.mean is None else (str(row.mean),)
    return (name, method.venue, *(str(row.cells[column]) for column in columns), *mean, f'`{row.source}`')


def _misprint_table(published: Published) -> str:
    """Return what sources print as mean, beside the mean of the cells."""
    rows = [
        (method.name, str(protocol), f'`{source}`', str(pair), str(row.mean))
        for method in published.methods
        for protocol, row in method.rows.items()
        for source, pair in row.misprints.items()
    ]
    return markdown_table(('method', 'protocol', 'printed in', 'printed mean', 'mean of the cells'), rows)
