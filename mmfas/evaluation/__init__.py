"""From scores to numbers that can be trusted: pure rates, score files, reports, and the metric of the Runner."""

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
from mmfas.evaluation.metrics import FASMetric
from mmfas.evaluation.published import Published, PublishedRow, read_published
from mmfas.evaluation.report import dev_threshold, evaluate_scores, resolve_threshold, summarise
from mmfas.evaluation.scores import ScoreTable

__all__ = [
    'FASMetric',
    'FASReport',
    'Interval',
    'Published',
    'PublishedRow',
    'Rate',
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
