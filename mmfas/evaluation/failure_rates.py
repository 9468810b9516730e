"""Failures to acquire, counted as ISO/IEC 30107-3 counts non-responses.

A failure is neither an accepted attack nor a classified live sample, so APCER and BPCER leave it out; the rates of
non-response stand beside them (APNRR per instrument, BPNRR), and both rates once more with every failure taken as
a rejection, as a gate that stays shut does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmfas.evaluation.functional import ApcerResult, Rate, Threshold, apcer, bpcer
from mmfas.evaluation.score_table import ScoreTable
from mmfas.evaluation.tables import Row, percent, percent_interval, rate_dict

__all__ = ['FailureRates', 'failure_rates']

_MOST_REASONS = 5


@dataclass(frozen=True)
class FailureRates:
    """How many presentations were not acquired, and what that makes of the error rates; None without a class.

    Args:
        bpnrr: Live samples without a score over all live samples.
        apnrr: Attacks without a score over all attacks, per instrument.
        bpcer: Rejected live samples, failures counted as rejections.
        apcer: Accepted attacks per instrument, failures counted as rejections.
        reasons: Number of failures by reason, most frequent first.
    """

    bpnrr: Rate | None
    apnrr: Mapping[str, Rate]
    bpcer: Rate | None
    apcer: ApcerResult | None
    reasons: Mapping[str, int]

    @property
    def apnrr_pooled(self) -> Rate | None:
        """Attacks without a score over all attacks."""
        rates = self.apnrr.values()
        return Rate(sum(r.errors for r in rates), sum(r.total for r in rates)) if rates else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values ready for JSON."""
        return {
            'bpnrr': self.bpnrr and rate_dict(self.bpnrr),
            'apnrr': {name: rate_dict(rate) for name, rate in self.apnrr.items()},
            'bpcer_with_failures': self.bpcer and rate_dict(self.bpcer),
            'apcer_max_with_failures': self.apcer and {**rate_dict(self.apcer.max), 'pai': self.apcer.worst_pai},
            'reasons': dict(self.reasons),
        }

    def rows(self) -> Iterator[Row]:
        """Yield rows of a report: label, value, interval, counts."""
        named = {'FTA live (BPNRR)': self.bpnrr, 'FTA attacks': self.apnrr_pooled}
        named |= {f'APNRR {name}': rate for name, rate in self.apnrr.items() if rate.errors}
        named['BPCER, FTA as rejection'] = self.bpcer
        if self.apcer is not None:
            named[f'APCER max, FTA as rejection ({self.apcer.worst_pai})'] = self.apcer.max
        for label, rate in named.items():
            if rate is not None:
                yield label, percent(rate.value), percent_interval(rate.interval()), str(rate)

    def note(self) -> str:
        """Return what a reader must know."""
        listed = [f'{reason} ({count})' for reason, count in list(self.reasons.items())[:_MOST_REASONS]]
        more = '' if len(self.reasons) <= _MOST_REASONS else ', ...'
        return (
            f'Presentations without a score: {sum(self.reasons.values())}, {", ".join(listed)}{more}. APCER, '
            'BPCER, HTER, ACER and AUC are of the others; the rows "FTA as rejection" count all.'
        )


def failure_rates(table: ScoreTable, threshold: Threshold | None) -> FailureRates | None:
    """Count the presentations without a score.

    Args:
        table: Scores and failures of one test set, at the level that is judged.
        threshold: Accept if score >= threshold; None gives the rates of non-response only.

    Returns:
        The rates; None where everything has a score.
    """
    if not table.failures:
        return None
    lost = Counter(failure.pai for failure in table.failures)
    scored = Counter(table.pai.tolist())
    totals = {name: scored[name] + lost[name] for name in sorted({*scored, *lost})}
    apnrr = {name: Rate(lost[name], total) for name, total in totals.items() if name != 'live'}
    rejected = attacks = None
    if threshold is not None:
        errors: dict[str, int] = dict.fromkeys(totals, 0)
        if table.num_live:
            errors['live'] = bpcer(table.score, table.is_live, threshold=threshold).errors
        if table.num_spoof:
            found = apcer(table.score, table.is_live, table.pai, threshold=threshold)
            errors.update({name: rate.errors for name, rate in found.per_pai.items()})
        if 'live' in totals:
            rejected = Rate(errors['live'] + lost['live'], totals['live'])
        if apnrr:
            attacks = ApcerResult({name: Rate(errors[name], totals[name]) for name in apnrr})
    return FailureRates(
        bpnrr=Rate(lost['live'], totals['live']) if 'live' in totals else None,
        apnrr=apnrr,
        bpcer=rejected,
        apcer=attacks,
        reasons=dict(Counter(failure.reason for failure in table.failures).most_common()),
    )
