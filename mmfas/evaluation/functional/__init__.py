"""Error rates, curves, thresholds and intervals as pure functions of arrays: numpy alone, no model, no engine."""

from mmfas.evaluation.functional.aggregation import AGGREGATES, aggregate_scores
from mmfas.evaluation.functional.bootstrap import bootstrap_auc, bootstrap_hter
from mmfas.evaluation.functional.curves import RocCurve, auc, det_curve, probit, roc_curve
from mmfas.evaluation.functional.intervals import Interval, half_sum_interval, wilson_interval
from mmfas.evaluation.functional.operating_points import (
    EerPoint,
    PadPoint,
    TprPoint,
    apcer_at_bpcer,
    bpcer_at_apcer,
    eer,
    min_hter,
    tpr_at_fpr,
)
from mmfas.evaluation.functional.pad_rates import (
    AcerResult,
    ApcerResult,
    Rate,
    acer,
    apcer,
    bpcer,
    far,
    hter,
)
from mmfas.evaluation.functional.site import bootstrap_site_hter, site_threshold, site_thresholds
from mmfas.evaluation.functional.thresholds import (
    CRITERIA,
    Criterion,
    SiteCriterion,
    Threshold,
    parse_criterion,
    select_threshold,
)

__all__ = [
    'AGGREGATES',
    'CRITERIA',
    'AcerResult',
    'ApcerResult',
    'Criterion',
    'EerPoint',
    'Interval',
    'PadPoint',
    'Rate',
    'RocCurve',
    'SiteCriterion',
    'Threshold',
    'TprPoint',
    'acer',
    'aggregate_scores',
    'apcer',
    'apcer_at_bpcer',
    'auc',
    'bootstrap_auc',
    'bootstrap_hter',
    'bootstrap_site_hter',
    'bpcer',
    'bpcer_at_apcer',
    'det_curve',
    'eer',
    'far',
    'half_sum_interval',
    'hter',
    'min_hter',
    'parse_criterion',
    'probit',
    'roc_curve',
    'select_threshold',
    'site_threshold',
    'site_thresholds',
    'tpr_at_fpr',
    'wilson_interval',
]
