"""Thresholds: a value that always carries its origin, and the named criteria that choose one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite

from numpy.typing import ArrayLike

from mmfas.evaluation.functional.checks import read_number
from mmfas.evaluation.functional.operating_points import apcer_at_bpcer, bpcer_at_apcer, eer, min_hter
from mmfas.utils.errors import InputError

CRITERIA = ('eer', 'min-hter', 'bpcer@apcer=RATE', 'apcer@bpcer=RATE', 'fixed=VALUE', 'site-K@bpcer=RATE')
_SITE = re.compile(r'site(?:-([0-9]{1,6}))?(?:@bpcer=(.+))?')


@dataclass(frozen=True)
class Threshold:
    """A decision threshold and where it comes from.

    Args:
        value: Accept if score >= value; finite.
        origin: `'dev-eer'`, `'dev-bpcer@apcer=0.01'`, `'site (5 live videos)'`, `'test-eer (oracle)'`, `'fixed'`,
            ...; printed beside every rate that uses the threshold.

    Example:
        >>> print(Threshold(0.5, 'fixed'))
        0.5000 (fixed)
    """

    value: float
    origin: str

    def __post_init__(self) -> None:
        if not isfinite(self.value):
            raise InputError(f'a threshold must be finite, got {self.value} ({self.origin})')

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        return f'{self.value:.4f} ({self.origin})'

    @property
    def is_oracle(self) -> bool:
        """Whether the threshold was chosen on the data it is applied to."""
        return self.origin.endswith('(oracle)')


@dataclass(frozen=True)
class Criterion:
    """A parsed rule for choosing a threshold.

    Args:
        kind: `'eer'`, `'min-hter'`, `'bpcer@apcer'`, `'apcer@bpcer'` or `'fixed'`.
        value: The rate of `bpcer@apcer` and `apcer@bpcer`, the threshold of `fixed`; None otherwise.
    """

    kind: str
    value: float | None = None


@dataclass(frozen=True)
class SiteCriterion(Criterion):
    """The rule of a threshold that is set where the system will work, on a few live recordings made there.

    Args:
        kind: `'site'`.
        value: Largest BPCER on the scores of these recordings, in [0, 1).
        num_videos: Number of live recordings, at least 1.
    """

    kind: str = 'site'
    value: float | None = 0.1
    num_videos: int = 5

    @property
    def max_bpcer(self) -> float:
        """Largest BPCER on the chosen recordings."""
        assert self.value is not None
        return self.value

    @property
    def origin(self) -> str:
        """What such a threshold is labelled.

        >>> SiteCriterion(num_videos=3).origin
        'site (3 live videos)'
        """
        return f'site ({self.num_videos} live video{"" if self.num_videos == 1 else "s"})'


def parse_criterion(text: str) -> Criterion:
    """Read the name of a criterion.

    Args:
        text: `'eer'`, `'min-hter'`, `'bpcer@apcer=0.01'`, `'apcer@bpcer=0.01'`, `'fixed=0.5'`; or
            `'site-3@bpcer=0.05'`, where `'site'` alone means five live videos and a BPCER of 10 %.

    Returns:
        The criterion.

    Raises:
        ValueError: If the text is none of these; the message lists the valid forms.

    Example:
        >>> parse_criterion('bpcer@apcer=0.01')
        Criterion(kind='bpcer@apcer', value=0.01)
        >>> parse_criterion('site-3')
        SiteCriterion(kind='site', value=0.1, num_videos=3)
    """
    site = _SITE.fullmatch(text.strip())
    if site is not None:
        num_videos, max_bpcer = int(site[1] or SiteCriterion.num_videos), read_number(site[2] or '0.1')
        if num_videos >= 1 and 0 <= max_bpcer < 1:
            return SiteCriterion(value=max_bpcer, num_videos=num_videos)
    kind, sep, number = text.strip().partition('=')
    if kind in ('eer', 'min-hter') and not sep:
        return Criterion(kind)
    value = read_number(number)
    is_rate = kind in ('bpcer@apcer', 'apcer@bpcer') and 0 <= value < 1
    if is_rate or (kind == 'fixed' and isfinite(value)):
        return Criterion(kind, value)
    raise InputError(
        f"unknown threshold criterion '{text}'; valid are {', '.join(CRITERIA)}, with RATE in [0, 1) and K at "
        "least 1, for example 'bpcer@apcer=0.01' or 'site-5@bpcer=0.1'"
    )


def select_threshold(
    scores: ArrayLike, is_live: ArrayLike, pai: ArrayLike, *, criterion: str = 'eer', split: str = 'dev'
) -> Threshold:
    """Choose a threshold on one split by a named criterion.

    Args:
        scores: Liveness, shape (N,), finite.
        is_live: Labels, shape (N,).
        pai: Instrument of each sample, shape (N,); read by the criteria that bound APCER.
        criterion: See `parse_criterion`.
        split: `'dev'`, or `'test'` for an oracle value, which its origin then says.

    Returns:
        The threshold with its origin.

    Raises:
        ValueError: If the criterion is unknown, the split is neither, or a class is absent.

    Example:
        >>> select_threshold([0.2, 0.8], [0, 1], ['print', 'live'])
        Threshold(value=0.5, origin='dev-eer')
    """
    if split not in ('dev', 'test'):
        raise InputError(f"split must be 'dev' or 'test', got '{split}'")
    rule = parse_criterion(criterion)
    if rule.kind == 'fixed':
        assert rule.value is not None
        return Threshold(rule.value, 'fixed')
    if rule.kind == 'site':
        raise InputError(f"criterion '{criterion}' needs scores of live videos of the site, not {split} scores")
    if rule.kind in ('eer', 'min-hter'):
        value = (eer if rule.kind == 'eer' else min_hter)(scores, is_live).threshold
    else:
        assert rule.value is not None
        search = bpcer_at_apcer if rule.kind == 'bpcer@apcer' else apcer_at_bpcer
        value = search(scores, is_live, pai, target=rule.value).threshold
    name = rule.kind if rule.value is None else f'{rule.kind}={rule.value:g}'
    return Threshold(value, f'dev-{name}' if split == 'dev' else f'test-{name} (oracle)')
