"""The goals for an accelerator, and whether the lines of the sections meet them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmfas.analysis.gpu.section import DONE, Record
from mmfas.analysis.gpu.workloads import LARGE
from mmfas.analysis.speed import MET, MISSED, NO_VERDICT, judge_interval

NOT_MEASURED = 'not measured'
#: A step beside the plain trunk with as many backward passes: time and peak of memory.
MOST_TIME, MOST_MEMORY = 1.05, 1.2
#: Part of the measured rate of matrix products that a step must reach, and the methods that must.
LEAST_MATMUL_PART, MATMUL_METHODS = 0.40, ('concat', 'mmdg')
#: How many times as fast as the eager one a compiled model must score.
LEAST_COMPILED_GAIN, COMPILED_METHODS = 1.3, ('mmdg', 'concat')


@dataclass(frozen=True)
class Verdict:
    """Whether one goal is met.

    Args:
        goal: What is asked.
        method: Of which method.
        measured: What was measured, as text; empty if nothing.
        verdict: `'met'`, `'missed'`, `'not measured'`, or `'no verdict'` where the interval has the bound inside.
    """

    goal: str
    method: str
    measured: str
    verdict: str


def find(records: Sequence[Record], section: str, method: str, check: str) -> Record | None:
    """Return the line of an item, if it was measured; the last one if there are several.

    Args:
        records: All lines.
        section: Name of the section.
        method: What is measured.
        check: What of it; the start of it is enough.
    """
    found = [
        record
        for record in records
        if (record['section'], record['method'], record['status']) == (section, method, DONE)
        and record['check'].startswith(check)
    ]
    return found[-1] if found else None


def verdicts(records: Sequence[Record]) -> list[Verdict]:
    """Hold what was measured against every goal.

    Args:
        records: Lines of all sections; empty if nothing was run.
    """
    return [*_correctness(records), *_training(records), *_scoring(records)]


def _correctness(records: Sequence[Record]) -> Iterator[Verdict]:
    """Judge all comparisons with the CPU as one goal for each kind."""
    for kind in ('float32', 'bfloat16', 'float16', 'compiled', 'distributed'):
        rows = [r for r in records if r['section'] == 'correctness' and r['check'] == kind]
        done = [row for row in rows if row['status'] == DONE]
        wrong = [row['method'] for row in rows if row['status'] == 'failed' or not row.get('is_within', True)]
        missing = len(rows) - len(done) - sum(row['status'] == 'failed' for row in rows)
        text = f'{len(done) - sum(not r["is_within"] for r in done)} of {len(rows)} methods' if rows else ''
        text += f'; not {", ".join(wrong)}' if wrong else ''
        verdict = NOT_MEASURED if not rows or missing == len(rows) else MISSED if wrong else MET
        if verdict == MET and missing:
            verdict = NO_VERDICT
        yield Verdict(f'{kind}: as the CPU in float64', 'all', text, verdict)


def _training(records: Sequence[Record]) -> Iterator[Verdict]:
    """Judge steps: time, memory, rate, and whether the host waits."""
    for method in LARGE:
        row = find(records, 'training', method, 'step')
        yield _ratio_verdict(row, method)
        yield _of(
            f'peak of memory at most {MOST_MEMORY:g} x of the floor',
            method,
            None if row is None else row['peak_ratio'],
            most=MOST_MEMORY,
        )
    for method in MATMUL_METHODS:
        row = find(records, 'training', method, 'step')
        yield _of(
            f'at least {LEAST_MATMUL_PART:.0%} of the measured rate of bfloat16 products',
            method,
            None if row is None else row['matmul_part'],
            least=LEAST_MATMUL_PART,
        )
    for method in LARGE:
        row = find(records, 'training', method, 'host reads')
        goal = 'the host waits nowhere in a step without clipping'
        if row is None:
            yield Verdict(goal, method, '', NOT_MEASURED)
        else:
            yield Verdict(goal, method, '; '.join(row['places']) or 'nowhere', MISSED if row['places'] else MET)


def _ratio_verdict(row: Record | None, method: str) -> Verdict:
    """Judge the time of a step."""
    goal = f'step at most {MOST_TIME:g} x of its floor'
    if row is None:
        return Verdict(goal, method, '', NOT_MEASURED)
    text = f'{row["ratio"]:.3f} x ({row["ratio_low"]:.3f} to {row["ratio_high"]:.3f})'
    return Verdict(goal, method, text, judge_interval(row['ratio_low'], row['ratio_high'], most=MOST_TIME))


def _of(
    goal: str, method: str, value: float | None, *, most: float | None = None, least: float | None = None
) -> Verdict:
    """Judge one number; None was not measured."""
    if value is None:
        return Verdict(goal, method, '', NOT_MEASURED)
    return Verdict(goal, method, f'{value:.3f}', judge_interval(value, value, most=most, least=least))


def _scoring(records: Sequence[Record]) -> Iterator[Verdict]:
    """Judge what compiling gains, at the largest batch that was measured."""
    goal = f'compiled scoring at least {LEAST_COMPILED_GAIN:g} x as fast as eager'
    for method in COMPILED_METHODS:
        found = [
            r
            for r in records
            if (r['section'], r['method'], r['status']) == ('scoring', method, DONE)
            and r['check'].startswith('compiled')
        ]
        if not found:
            yield Verdict(goal, method, '', NOT_MEASURED)
            continue
        row = max(found, key=lambda r: int(r['check'].rsplit(' ', 1)[1]))
        low, high = row['gain_low'], row['gain_high']
        text = f'{row["gain"]:.2f} x ({low:.2f} to {high:.2f}), {row["check"].partition(", ")[2]}'
        yield Verdict(goal, method, text, judge_interval(low, high, least=LEAST_COMPILED_GAIN))
