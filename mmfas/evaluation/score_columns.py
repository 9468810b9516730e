"""The text columns of one record of scores, checked and completed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mmfas.evaluation.failures import Failure
from mmfas.evaluation.score_files import REASON, TEXT_COLUMNS, check_text
from mmfas.utils.names import plain_name

__all__ = ['failure_of', 'texts_of']

_LIVE = 'live'
_UNKNOWN = 'unknown'


def texts_of(row: Mapping[str, Any], further: Iterable[str]) -> dict[str, str]:
    """Return the columns of text of a record, as names that look alike are alike.

    Args:
        row: Record of `ScoreTable.from_records`.
        further: Names of its further columns.

    Raises:
        ValueError: If one holds control characters.
    """
    texts = {name: str(row.get(name, '') or '') for name in ('domain', 'subject', 'video')}
    texts |= {name: '' if row.get(name) is None else str(row[name]) for name in further}
    texts |= {'sample_id': str(row['sample_id']), 'pai': _pai_name(row.get('pai'), row['label'])}
    for name, text in texts.items():
        # numpy drops a NUL at the end, and two samples become one
        check_text(text, f'sample {texts["sample_id"]!r}, {name}')
    return {name: plain_name(text) for name, text in texts.items()}


def failure_of(row: Mapping[str, Any], texts: Mapping[str, str]) -> Failure:
    """Return the failure of a record without a score.

    Args:
        row: The record.
        texts: Its columns of text.

    Raises:
        ValueError: If there is no reason, or instrument and label contradict each other.
    """
    known = {name: texts[name] for name in TEXT_COLUMNS}
    extra = {name: text for name, text in texts.items() if name not in TEXT_COLUMNS}
    return Failure(**known, label=int(row['label']), reason=str(row.get(REASON) or ''), extra=extra)


def _pai_name(pai: Any, label: Any) -> str:
    """Return the instrument to store: an absent or unknown name follows from the label."""
    name = plain_name(str(pai or '')) or _UNKNOWN
    if name == _UNKNOWN:
        return _LIVE if int(label) == 1 else _UNKNOWN
    return name
