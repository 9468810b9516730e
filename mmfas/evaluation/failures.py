"""Presentations without a score: failures to acquire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmfas.utils.errors import InputError

__all__ = ['Failure', 'reduce_failures']


@dataclass(frozen=True)
class Failure:
    """A presentation that has no score.

    Args:
        sample_id: Name of the sample.
        label: 1 live, 0 spoof.
        reason: Why there is no score, such as `'no face'`; not empty.
        domain: Data set.
        subject: Person; empty where unknown.
        video: Presentation it belongs to; empty where unknown.
        pai: Attack instrument; `'live'` exactly for live samples.
        extra: Further columns of the score file, by name.
    """

    sample_id: str
    label: int
    reason: str
    domain: str = ''
    subject: str = ''
    video: str = ''
    pai: str = 'unknown'
    extra: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.reason:
            raise InputError(f"sample '{self.sample_id}' has no score; its reason must say why")
        if self.label not in (0, 1) or (self.pai == 'live') != (self.label == 1):
            raise InputError(
                f"sample '{self.sample_id}': pai must be 'live' for label 1 and an attack's name for 0, "
                f'got {self.pai} for label {self.label}'
            )

    def to_record(self) -> dict[str, Any]:
        """Return the row of a score file."""
        known = {name: getattr(self, name) for name in ('sample_id', 'domain', 'subject', 'video', 'pai', 'label')}
        return {**known, 'score': None, **self.extra, 'reason': self.reason}


def reduce_failures(failures: Sequence[Failure], level: str, scored: np.ndarray) -> tuple[Failure, ...]:
    """Return the videos or subjects of which no frame has a score.

    Args:
        failures: Frames without a score.
        level: `'video'` or `'subject'`.
        scored: Names of the groups that have a score, shape (G,), such as `'C/video_12'`, or `'C/anna/print'`.

    Returns:
        One failure per group, named by the group, with the reason of its first frame.

    Raises:
        ValueError: If a failure has no such id.
    """
    known = set(scored.tolist())
    found: dict[str, Failure] = {}
    for failure in failures:
        name = getattr(failure, level)
        if name in ('', 'unknown'):
            raise InputError(
                f"sample '{failure.sample_id}' has no score and no {level} id; its {level} is unknown"
            )
        group = f'{failure.domain}/{name}' + (f'/{failure.pai}' if level == 'subject' else '')
        if group not in known and group not in found:
            fields = {**vars(failure), 'sample_id': group}
            found[group] = Failure(**fields)
    return tuple(found.values())
