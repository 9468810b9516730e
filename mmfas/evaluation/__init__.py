"""From scores to numbers that can be trusted: pure rates, score files, reports, and the metric of the Runner.

The rates need numpy alone; only the metric needs the engine, so it is imported on first use.
"""

from typing import TYPE_CHECKING, Any

from mmfas.evaluation.evaluate import dev_threshold, evaluate_scores, resolve_threshold, summarise
from mmfas.evaluation.fas_report import FASReport
from mmfas.evaluation.functional import (
    Interval,
    Rate,
    Threshold,
    acer,
    apcer,
    apcer_at_bpcer,
    auc,
    bpcer,
    bpcer_at_apcer,
    det_curve,
    eer,
    far,
    hter,
    min_hter,
    parse_criterion,
    roc_curve,
    select_threshold,
    tpr_at_fpr,
    wilson_interval,
)
from mmfas.evaluation.published import Published, PublishedRow, read_published
from mmfas.evaluation.score_rules import ScoreRules
from mmfas.evaluation.score_table import ScoreTable

if TYPE_CHECKING:
    from mmfas.evaluation.metrics import FASMetric

__all__ = [
    'FASMetric',
    'FASReport',
    'Interval',
    'Published',
    'PublishedRow',
    'Rate',
    'ScoreRules',
    'ScoreTable',
    'Threshold',
    'acer',
    'apcer',
    'apcer_at_bpcer',
    'auc',
    'bpcer',
    'bpcer_at_apcer',
    'det_curve',
    'dev_threshold',
    'eer',
    'evaluate_scores',
    'far',
    'hter',
    'min_hter',
    'parse_criterion',
    'read_published',
    'resolve_threshold',
    'roc_curve',
    'select_threshold',
    'summarise',
    'tpr_at_fpr',
    'wilson_interval',
]


def __getattr__(name: str) -> Any:
    """Import the metric."""
    if name == 'FASMetric':
        from mmfas.evaluation.metrics import FASMetric

        return FASMetric
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
