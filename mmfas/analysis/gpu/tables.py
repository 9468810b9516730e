"""The lines of all sections as Markdown tables, for a terminal and for a page alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mmfas.analysis.gpu.goals import verdicts
from mmfas.analysis.gpu.section import DONE, MACHINE, Record

#: What stands for a number that was not measured.
NOT_RUN = 'not run'
_KINDS = ('float32', 'bfloat16', 'float16', 'compiled', 'distributed')


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table.

    Args:
        header: Names of the columns.
        rows: Cells.

    >>> print(markdown(('a', 'b'), [('1', '2')]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join(f'| {" | ".join(cell.replace("|", "/") for cell in line)} |' for line in lines)


def tables_of(records: Sequence[Record]) -> str:
    """Return everything as Markdown: machine, verdicts, and one table for each section that left lines.

    Args:
        records: Lines of all sections; with none, every verdict is "not measured".
    """
    parts = [_machine(records), _verdict_table(records)]
    for title, section, table in (
        ('Correctness: errors of logits, then the largest of losses, gradients and step', 'correctness', _correct),
        ('A step of training, bfloat16', 'training', _steps),
        ('Scoring, bfloat16; ONNX float32', 'scoring', _scores),
        ('The data path', 'data_path', _data_path),
        ('SynthFAS, C, P and S to W', 'synthfas', _synthfas),
    ):
        rows = [r for r in records if r['section'] == section and r['check'] not in (MACHINE, 'end')]
        if rows:
            parts.append(f'{title}\n\n{table(rows)}')
    lost = [_lost(r) for r in records if r['status'] != DONE]
    if lost:
        parts.append('What was not measured\n\n' + markdown(('section', 'method', 'what', 'why'), lost))
    return '\n\n'.join(parts) + '\n'


def _machine(records: Sequence[Record]) -> str:
    """Say on what the numbers were measured, once for each machine and commit."""
    shown = []
    for record in records:
        if record['check'] == MACHINE:
            keys = ('device_name', 'driver', 'cuda', 'torch', 'python', 'num_cores', 'commit')
            facts = [f'{key.replace("_", " ")} {record[key]}' for key in keys if record.get(key)]
            tiny = '; TINY SIZES: these numbers test the code, not the device' if record['is_tiny'] else ''
            shown.append(f'{", ".join(facts)}{tiny}')
    commands = [f'`{r["command"]}`' for r in records if r['check'] == MACHINE]
    if not shown:
        return f'Machine: {NOT_RUN}'
    return f'Machine: {"; ".join(dict.fromkeys(shown))}\n\nCommands: {", ".join(dict.fromkeys(commands))}'


def _verdict_table(records: Sequence[Record]) -> str:
    """Tabulate the goals."""
    rows = [(v.goal, v.method, v.measured or NOT_RUN, v.verdict) for v in verdicts(records)]
    return markdown(('goal', 'method', 'measured', 'verdict'), rows)


def _lost(record: Record) -> tuple[str, ...]:
    """Say what is missing."""
    why = f'{record["status"]}: {record["reason"]}' if record.get('reason') else record['status']
    return record['section'], record['method'], record['check'], ' '.join(why.split())


def _cells(record: Record | None, **formats: str) -> list[str]:
    """Format fields of a line; what is not there is `NOT_RUN`."""
    if record is None:
        return [NOT_RUN] * len(formats)
    return [NOT_RUN if record.get(key) is None else format(record[key], spec) for key, spec in formats.items()]


def _by_method(rows: Sequence[Record], cell: Callable[[Sequence[Record]], list[str]]) -> list[list[str]]:
    """Make one row for each method, in the order of their first lines."""
    names = dict.fromkeys(r['method'] for r in rows if r['method'])
    return [[name, *cell([r for r in rows if r['method'] == name])] for name in names]


def _correct(rows: Sequence[Record]) -> str:
    """Tabulate errors by method and kind."""

    def cells(own: Sequence[Record]) -> list[str]:
        shown = []
        for kind in _KINDS:
            done = [r for r in own if r['check'] == kind and r['status'] == DONE]
            shown.append(_errors(done[-1]) if done else NOT_RUN)
        rules = [r['rule'] for r in own if r.get('rule')]
        return [*shown, rules[-1] if rules else NOT_RUN]

    return markdown(('method', *_KINDS, 'rule of the step'), _by_method(rows, cells))


def _errors(record: Record) -> str:
    """Show the error of the logits and the largest of the others."""
    others = [v for key, v in record.items() if key.endswith('_error') and key != 'logits_error']
    shown = [f'{v:.1e}' for v in (record.get('logits_error'), max(others, default=None)) if v is not None]
    return ' / '.join(shown) + ('' if record['is_within'] else ' (too large)')


def _steps(rows: Sequence[Record]) -> str:
    """Tabulate steps beside their floors, then the rate of products and the profiles."""

    def cells(own: Sequence[Record]) -> list[str]:
        done = [r for r in own if r['check'] == 'step' and r['status'] == DONE]
        reads = [r for r in own if r['check'] == 'host reads' and r['status'] == DONE]
        clipping = [', '.join(r['places_with_clipping']) or 'nowhere' for r in reads]
        formats = dict(
            batch_size='d', num_passes='d', step_ms='.2f', floor_ms='.2f', ratio='.3f', images_per_second=',.0f',
            tflops='.1f', matmul_part='.1%', peak_mib=',.0f', peak_ratio='.2f',
        )  # fmt: skip
        return [*_cells(done[-1] if done else None, **formats), clipping[-1] if clipping else NOT_RUN]

    header = (
        'method', 'batch', 'backward passes', 'step ms', 'floor ms', 'ratio', 'images/s', 'TFLOP/s',
        'of products', 'peak MiB', 'peak ratio', 'host waits, with clipping',
    )  # fmt: skip
    rate = [r for r in rows if r['check'] == 'matmul' and r['status'] == DONE]
    line = f'Matrix products, bfloat16: {_cells(rate[-1] if rate else None, tflops=".1f")[0]} TFLOP/s'
    profiles = [
        f'Profile of {r["method"]}\n\n```text\n{r["table"]}\n```'
        for r in rows
        if r['check'] == 'profile' and r['status'] == DONE
    ]
    return '\n\n'.join([line, markdown(header, _by_method(rows, cells)), *profiles])


def _scores(rows: Sequence[Record]) -> str:
    """Tabulate times of scoring, one row for each item."""
    formats = dict(ms='.3f', fastest_ms='.3f', images_per_second=',.0f', gain='.2f')
    shown = [[r['method'], r['check'], *_cells(r, **formats)] for r in rows if r['status'] == DONE]
    return markdown(('method', 'how', 'ms', 'fastest ms', 'images/s', 'x eager'), shown)


def _data_path(rows: Sequence[Record]) -> str:
    """Tabulate loading alone and before steps."""
    formats = dict(num_workers='d', batch_size='d', triples_per_second=',.0f', waiting_part='.1%')
    shown = [[r['check'], *_cells(r, **formats)] for r in rows if r['status'] == DONE]
    return markdown(('what', 'workers', 'batch', 'triples/s', 'part of the time waiting'), shown)


def _synthfas(rows: Sequence[Record]) -> str:
    """Tabulate what was trained."""
    formats: dict[str, Any] = dict(
        num_epochs='d', num_steps=',d', triples_per_second=',.0f', training_s='.1f', auc='.4f', hter='.4f'
    )
    shown = [
        [r['method'], *_cells(r, **formats)] for r in rows if r['check'] == 'training' and r['status'] == DONE
    ]
    rendering = [r for r in rows if r['check'] == 'rendering' and r['status'] == DONE]
    line = 'Rendering: ' + (
        f'{rendering[-1]["num_triples"]:,} triples in {rendering[-1]["wall_s"]:.0f} s' if rendering else NOT_RUN
    )
    header = ('method', 'epochs', 'steps', 'triples/s', 'training s', 'AUC', 'HTER at the dev threshold')
    return f'{line}\n\n{markdown(header, shown)}'
