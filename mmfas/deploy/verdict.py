"""What is said about one sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from mmfas.deploy.decision import NOT_JUDGED, DecisionRule

__all__ = ['Verdict', 'not_judged', 'verdict_of']


@dataclass(frozen=True)
class Verdict:
    """What is said about one sample.

    Args:
        sample_id: Name of the sample.
        decision: `'live'`, `'spoof'`, `'undecided'` or `'not judged'`.
        score: Liveness in [0, 1], higher is live; None if it was not judged.
        threshold: Live from this score on.
        margin: Score minus threshold; None if it was not judged.
        code: Why it was not judged, in a word or two, such as `'missing modality'`, `'no face'`, `'no content'`,
            `'unreadable'`; empty otherwise.
        reason: The same as a sentence.
        modalities: Pictures that the score is of.
        elapsed_ms: Time from pictures to score; of a batch, its part. A file's loading is included.
        probability: Calibrated probability of live; None if it was not judged, or by a bundle without calibration.
    """

    sample_id: str
    decision: str
    score: float | None
    threshold: float
    margin: float | None = None
    code: str = ''
    reason: str = ''
    modalities: tuple[str, ...] = ()
    elapsed_ms: float = 0.0
    probability: float | None = None

    @property
    def is_judged(self) -> bool:
        """Whether there is a score."""
        return self.score is not None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON and tables."""
        return {**asdict(self), 'modalities': list(self.modalities)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Verdict:
        """Read what `to_dict` made; other keys are left out."""
        values = {'probability': None, **{f.name: content[f.name] for f in fields(cls) if f.name in content}}
        return cls(**{**values, 'modalities': tuple(values['modalities'])})


def verdict_of(
    sample_id: str, score: float, rule: DecisionRule, *, modalities: tuple[str, ...], elapsed_ms: float
) -> Verdict:
    """Judge a score.

    Args:
        sample_id: Name of the sample.
        score: Liveness in [0, 1].
        rule: How it becomes a decision.
        modalities: Pictures that the score is of.
        elapsed_ms: Time from pictures to score.
    """
    return Verdict(
        sample_id,
        rule.decide(score),
        score,
        rule.threshold,
        margin=score - rule.threshold,
        modalities=modalities,
        elapsed_ms=elapsed_ms,
        probability=rule.probability(score),
    )


def not_judged(sample_id: str, rule: DecisionRule, *, code: str, reason: str, elapsed_ms: float = 0.0) -> Verdict:
    """Say that a sample cannot be judged, and why.

    Args:
        sample_id: Name of the sample.
        rule: For its threshold.
        code: Why, in a word or two.
        reason: The same as a sentence.
        elapsed_ms: Time until this was known.
    """
    return Verdict(sample_id, NOT_JUDGED, None, rule.threshold, code=code, reason=reason, elapsed_ms=elapsed_ms)
