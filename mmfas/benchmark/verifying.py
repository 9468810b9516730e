"""Verify records: their numbers computed again from their scores, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmfas.benchmark.packs import is_packed
from mmfas.benchmark.recomputing import (
    FLOAT32_STEP,
    contradictions,
    differences,
    paper_differences,
    recompute,
    recompute_site,
)
from mmfas.benchmark.record import Record, RecordError
from mmfas.benchmark.records import Folders, load_scores
from mmfas.benchmark.site import LISTS
from mmfas.evaluation import ScoreTable
from mmfas.evaluation.tables import text_table


@dataclass(frozen=True)
class Verdict:
    """The verdict on the numbers of one record.

    Args:
        record: The record.
        problems: One sentence per number that is not what the scores or the counts beside it give.
        is_recomputed: Whether its numbers were computed again; false if no readable scores exist.
    """

    record: Record
    problems: tuple[str, ...]
    is_recomputed: bool

    @property
    def is_verified(self) -> bool:
        """Whether its numbers were computed again and all of them came out as recorded."""
        return self.is_recomputed and not self.problems


def verify_record(folders: Folders, record: Record) -> Verdict:
    """Compute the numbers of one record again, from its scores.

    Args:
        folders: Folders of records.
        record: The record.

    Returns:
        The verdict. Numbers that have to agree with each other are compared even without scores.
    """
    problems = list(contradictions(record))
    if not record.has_scores:
        return Verdict(record, (*problems, *paper_differences(record)), is_recomputed=False)
    try:
        dev, test = (load_scores(folders, record, name) for name in ('dev', 'test'))
    except RecordError as error:
        return Verdict(record, (*problems, str(error)), is_recomputed=False)
    step = FLOAT32_STEP if is_packed(record) else 0.0
    try:
        problems += differences(record.report, recompute(record, dev, test), score_step=step)
    except ValueError as error:
        problems.append(f'its scores allow no such report: {error}')
    problems += _site_problems(folders, record, test, step)
    return Verdict(record, (*problems, *paper_differences(record, test)), is_recomputed=True)


def _site_problems(folders: Folders, record: Record, test: ScoreTable, step: float) -> list[str]:
    """Compute the numbers at thresholds of the site again."""
    if record.site is None:
        return []
    try:
        sites = {name: load_scores(folders, record, name) for name in LISTS if name in record.scores}
    except RecordError as error:
        return [str(error)]
    return list(differences(record.site, recompute_site(record, sites, test), score_step=step, key='site'))


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """Count verdicts by method.

    Args:
        verdicts: One per record.

    Returns:
        A table for a terminal, and a sentence on what was not recomputable.
    """
    by_method: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_method.setdefault(verdict.record.method, []).append(verdict)
    rows = [(method, *_counts(own)) for method, own in sorted(by_method.items())]
    header = ('method', 'cells', 'verified', 'not recomputable', 'different')
    lines = [text_table(header, [*rows, ('all', *_counts(verdicts))])]
    lost = [verdict for verdict in verdicts if not verdict.record.has_scores]
    if lost:
        first = lost[0].record
        lines.append(
            f'{len(lost)} cells cannot be recomputed: their scores were not kept when they were packed, only the '
            f'hashes; first {first.method} {first.cell.name}. Their numbers were only compared with the counts '
            'beside them.'
        )
    return '\n'.join(lines)


def _counts(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    different = sum(bool(verdict.problems) for verdict in verdicts)
    verified = sum(verdict.is_verified for verdict in verdicts)
    return tuple(map(str, (len(verdicts), verified, len(verdicts) - verified - different, different)))
