"""Error rates, curves, thresholds and intervals as pure functions of arrays: numpy alone, no model, no engine."""

from mmfas.evaluation.functional.aggregation import AGGREGATES, aggregate_scores
from mmfas.evaluation.functional.bootstrap import bootstrap_auc, bootstrap_hter, bootstrap_rate_difference
from mmfas.evaluation.functional.calibration import (
    CALIBRATIONS,
    Reliability,
    ScoreCalibration,
    fit_calibration,
    reliability,
)
from mmfas.evaluation.functional.curves import RocCurve, auc, det_curve, probit, roc_curve
from mmfas.evaluation.functional.epc import EpcCurve, epc
from mmfas.evaluation.functional.intervals import Interval, difference_interval, half_sum_interval, wilson_interval
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
from mmfas.evaluation.functional.paired import McNemar, PairedSamples, mcnemar
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
    'CALIBRATIONS',
    'CRITERIA',
    'AcerResult',
    'ApcerResult',
    'Criterion',
    'EerPoint',
    'EpcCurve',
    'Interval',
    'McNemar',
    'PadPoint',
    'PairedSamples',
    'Rate',
    'Reliability',
    'RocCurve',
    'ScoreCalibration',
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
    'bootstrap_rate_difference',
    'bootstrap_site_hter',
    'bpcer',
    'bpcer_at_apcer',
    'det_curve',
    'difference_interval',
    'eer',
    'epc',
    'far',
    'fit_calibration',
    'half_sum_interval',
    'hter',
    'mcnemar',
    'min_hter',
    'parse_criterion',
    'probit',
    'reliability',
    'roc_curve',
    'select_threshold',
    'site_threshold',
    'site_thresholds',
    'tpr_at_fpr',
    'wilson_interval',
]
