"""From the prediction of a model to a record of a score file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from mmfas.utils.errors import UnknownKeyError

_NEEDED = ('sample_id', 'gt_label', 'pred_score')
_KNOWN = ('domain', 'subject', 'video', 'pai')


class Predicted(Protocol):
    """A data sample after prediction, as a dict or as a `FASDataSample`."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or the default if there is none."""

    def keys(self) -> Iterable[str]:
        """Return the names of the values."""


def score_record(sample: Predicted) -> dict[str, Any]:
    """Return the entry of a sample in a score file.

    Args:
        sample: Has `sample_id`, `gt_label` and `pred_score`, and where known `domain`, `subject`, `video`, `pai`.

    Returns:
        The known ones of these, with `label` (0 or 1) and `score`.

    Raises:
        KeyError: If a sample has no prediction, label or id.
    """
    missing = [key for key in _NEEDED if sample.get(key) is None]
    if missing:
        raise UnknownKeyError(f'a score needs {missing} in every data sample; it has {sorted(sample.keys())}')
    record = {key: sample.get(key) for key in _KNOWN if sample.get(key) is not None}
    return {
        **record,
        'sample_id': sample.get('sample_id'),
        'label': int(sample.get('gt_label')),
        'score': float(sample.get('pred_score')),
    }
