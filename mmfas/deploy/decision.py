"""The rule of a bundle: how a score becomes live, spoof or undecided, and where the threshold comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from mmfas.evaluation import ScoreRules, ScoreTable
from mmfas.evaluation.evaluate import choose_threshold
from mmfas.evaluation.functional import ScoreCalibration, apcer, bpcer, fit_calibration, select_threshold
from mmfas.evaluation.site import choose_at_site
from mmfas.evaluation.tables import rate_dict
from mmfas.evaluation.warning_signs import bound_notes
from mmfas.utils.errors import InputError

LIVE, SPOOF, UNDECIDED, NOT_JUDGED = 'live', 'spoof', 'undecided', 'not judged'
#: What every score of mmfas means.
POLARITY = 'liveness in [0, 1], higher is live'


@dataclass(frozen=True)
class DecisionRule:
    """How a score becomes a decision.

    Args:
        threshold: Live if the score is at least this, in [0, 1] unless it was given by hand.
        origin: Where it comes from, such as `'dev-eer'` or `'site (5 live videos)'`.
        band: Scores from the first number up to, but not including, the second are undecided; the threshold lies
            in between. None: every score is decided by the threshold.
        level: What the threshold was chosen on: `'frame'`, `'video'` or `'subject'`.
        frame_reduction: How frames became one score there, and how scores of a video are smoothed.
        dev: Counts and error rates on the dev scores at the threshold, with Wilson intervals; empty for a
            threshold given by hand.
        notes: What a reader must know about the choice.
        calibration: How a score becomes a probability, fitted on the same dev scores; it changes no decision, as
            threshold and band stay those of the scores.

    Raises:
        ValueError: If a number is not finite or the band does not hold the threshold.

    >>> rule = DecisionRule(0.5, 'fixed', band=(0.4, 0.7))
    >>> [rule.decide(score) for score in (0.39, 0.4, 0.69, 0.7)]
    ['spoof', 'undecided', 'undecided', 'live']
    """

    threshold: float
    origin: str
    band: tuple[float, float] | None = None
    level: str = 'frame'
    frame_reduction: str = 'mean'
    dev: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    calibration: ScoreCalibration | None = None

    def __post_init__(self) -> None:
        values = (self.threshold, *self.limits)
        if not all(type(value) in (float, int) and isfinite(value) for value in values):
            raise InputError(f'threshold and band must be finite numbers, got {values}')
        if not self.limits[0] <= self.threshold <= self.limits[1]:
            raise InputError(f'the band {self.band} must hold the threshold {self.threshold}')

    @property
    def limits(self) -> tuple[float, float]:
        """Spoof below the first number, live from the second on."""
        return self.band or (self.threshold, self.threshold)

    def decide(self, score: float) -> str:
        """Return `'live'`, `'spoof'` or `'undecided'`.

        Args:
            score: Liveness in [0, 1].
        """
        low, high = self.limits
        return LIVE if score >= high else SPOOF if score < low else UNDECIDED

    def probability(self, score: float) -> float | None:
        """Return the calibrated probability of live; None without a calibration.

        Args:
            score: Liveness in [0, 1].
        """
        return None if self.calibration is None else float(self.calibration(score))

    @property
    def probability_limits(self) -> tuple[float, float] | None:
        """Spoof below the first probability, live from the second on; None without a calibration."""
        if self.calibration is None:
            return None
        low, high = (self.calibration.threshold(value) for value in self.limits)
        return low, high

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as plain values; without a calibration, there is no key for it, as ever."""
        content = {**asdict(self), 'polarity': POLARITY}
        calibration = content.pop('calibration')
        if self.calibration is not None and self.probability_limits is not None:
            content['calibration'] = {
                **calibration,
                'threshold': self.calibration.threshold(self.threshold),
                'limits': list(self.probability_limits),
            }
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> DecisionRule:
        """Read what `to_dict` made.

        Raises:
            ValueError: If the polarity is another, or a value is not usable.
        """
        if content.get('polarity') != POLARITY:
            raise InputError(f'scores must mean {POLARITY!r}, but the rule says {content.get("polarity")!r}')
        names = ('threshold', 'origin', 'level', 'frame_reduction', 'dev')
        band = None if content['band'] is None else (content['band'][0], content['band'][1])
        values, fitted = {name: content[name] for name in names}, content.get('calibration')
        calibration = None
        if fitted is not None:
            calibration = ScoreCalibration(fitted['method'], fitted['slope'], fitted['intercept'])
        return cls(**values, band=band, notes=tuple(content['notes']), calibration=calibration)


def fixed_rule(rules: ScoreRules) -> DecisionRule | None:
    """Return the rule of a threshold that was given by hand; None for every other criterion.

    Args:
        rules: With its criterion.
    """
    value = rules.parsed.value
    if rules.parsed.kind != 'fixed' or value is None:
        return None
    return DecisionRule(
        value,
        'fixed',
        level=rules.level,
        frame_reduction=rules.frame_reduction,
        notes=('The threshold was given by hand.',),
    )


def rule_from_dev(
    dev: ScoreTable, rules: ScoreRules, *, max_apcer: float | None = None, max_bpcer: float | None = None
) -> DecisionRule:
    """Choose the threshold on dev scores and, if wished, a band in which nothing is decided.

    Args:
        dev: Scores of the dev split, one per frame.
        rules: Criterion, level and reduction of frames.
        max_apcer: Call live only what lies above the threshold at which at most this part of the attacks of any
            instrument passes on dev, in [0, 1).
        max_bpcer: Call spoof only what lies below the threshold at which at most this part of the live samples is
            rejected on dev, in [0, 1).

    Returns:
        The rule, with counts and rates at its threshold.

    Raises:
        ValueError: If the dev scores lack a class, or a rate is not in [0, 1).
    """
    table = rules.reduce(dev)
    calibration = None
    if rules.calibration != 'none':
        calibration = fit_calibration(table.score, table.is_live, method=rules.calibration)
    fixed = fixed_rule(rules)
    if fixed is not None:
        value, origin, notes = fixed.threshold, fixed.origin, list(fixed.notes)
    else:
        threshold, notes = choose_threshold(dev, rules)
        value, origin = threshold.value, threshold.origin
    low = high = value
    arrays = (table.score, table.is_live, table.pai)
    if max_apcer is not None:
        bound = f'bpcer@apcer={max_apcer}'
        high = max(high, select_threshold(*arrays, criterion=bound).value)
        notes += bound_notes(table, rules.changed(criterion=bound))
    if max_bpcer is not None:
        bound = f'apcer@bpcer={max_bpcer}'
        low = min(low, select_threshold(*arrays, criterion=bound).value)
        notes += bound_notes(table, rules.changed(criterion=bound))
    return DecisionRule(
        value,
        origin,
        band=None if low == high else (low, high),
        level=rules.level,
        frame_reduction=rules.frame_reduction,
        dev=_rates(table, value),
        notes=tuple(dict.fromkeys(notes)),
        calibration=calibration,
    )


def rule_at_site(site: ScoreTable, rules: ScoreRules, dev: ScoreTable | None = None) -> DecisionRule:
    """Set the threshold on a few live videos of the place where the bundle will work.

    Args:
        site: Scores of live videos made there, one per frame.
        rules: The criterion `'site'`, level and reduction of frames.
        dev: Scores of the dev split, whose error rates at this threshold are shown; they do not move it.

    Returns:
        The rule; without a band, as live scores say nothing about attacks.

    Raises:
        ValueError: If there are too few live videos, or the dev scores lack a class.
    """
    choice = choose_at_site(site, rules)
    return DecisionRule(
        choice.threshold.value,
        choice.threshold.origin,
        level=rules.level,
        frame_reduction=rules.frame_reduction,
        dev=None if dev is None else _rates(rules.reduce(dev), choice.threshold.value),
        notes=choice.notes,
    )


def _rates(table: ScoreTable, threshold: float) -> dict[str, Any]:
    """Return counts and error rates on dev at the threshold."""
    attacks = apcer(table.score, table.is_live, table.pai, threshold=threshold)
    return {
        'num_live': table.num_live,
        'num_spoof': table.num_spoof,
        'bpcer': rate_dict(bpcer(table.score, table.is_live, threshold=threshold)),
        'apcer': {name: rate_dict(rate) for name, rate in attacks.per_pai.items()},
    }
