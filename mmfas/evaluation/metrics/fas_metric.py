"""The metric of the Runner: gathers scores of all processes and calls the pure functions once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmfas.evaluation.attributes import join_attributes
from mmfas.evaluation.evaluate import FASReport, choose_threshold, dev_threshold, evaluate_scores
from mmfas.evaluation.functional import Threshold
from mmfas.evaluation.pai_groups import PAI_GROUP
from mmfas.evaluation.score_files import read_failures
from mmfas.evaluation.score_records import score_record
from mmfas.evaluation.score_rules import ScoreRules
from mmfas.evaluation.score_table import ScoreTable
from mmfas.evaluation.site import SITE_NOTE, choose_at_site
from mmfas.evaluation.subgroups import SubgroupReport
from mmfas.evaluation.warning_signs import CHOSEN_ON, ranking_notes
from mmfas.registry import METRICS
from mmfas.utils.errors import InputError

#: The numbers of a report at its threshold, in the order of its table.
_RATES = ('threshold', 'hter', 'bpcer', 'apcer_max', 'acer_max', 'acer_pooled', 'auc')


@METRICS.register_module()
class FASMetric(BaseMetric):
    """Error rates of face anti-spoofing on a dev or a test split.

    On the dev split the threshold is chosen on these very scores, so `dev/hter` is what model selection should
    minimise: `save_best='dev/hter', rule='less'`. On a test split the threshold comes from outside (`threshold`,
    `dev_scores` or `site_scores`); without one, only AUC and values named `..._oracle` are reported.

    Args:
        split: `'dev'` or `'test'`; also the prefix of the metric names unless `prefix` is given.
        criterion: How the dev scores fix the threshold; see `mmfas.evaluation.parse_criterion`.
        threshold: Test only: a threshold fixed beforehand.
        dev_scores: Test only: score file of the dev split.
        site_scores: Test only: score file of live videos of the target, for the criterion `'site'`.
        level: `'frame'`, `'video'` or `'subject'`.
        how: `'mean'`, `'median'` or `'max'`: the `frame_reduction` of `ScoreRules`.
        by: Columns whose values are judged group by group, such as `['domain', 'sex']`.
        pai_groups: Regular expression -> name: instruments that are judged together, besides one by one.
        attributes: CSV file with further columns by `sample_id`, `video` or `subject`, see `join_attributes`.
        calibration: Test with `dev_scores` only: `'temperature'` or `'platt'`, see `ScoreRules`.
        failures: Score file of the presentations of this split that have no score (the cell is empty, the column
            `reason` says why), such as those without a face; they are counted as failures to acquire.
        out_file: Where the main process writes the score file; None to write none.
        collect_device: `'cpu'` or `'gpu'`, the way results travel between processes.
        prefix: Prefix of the metric names.
        collect_dir: Folder through which processes exchange results on `'cpu'`.

    Raises:
        ValueError: If an option is unknown, or two contradict each other.
    """

    def __init__(
        self,
        split: str = 'dev',
        criterion: str = 'eer',
        *,
        threshold: float | None = None,
        dev_scores: str | None = None,
        site_scores: str | None = None,
        level: str = 'frame',
        how: str = 'mean',
        by: Sequence[str] = (),
        pai_groups: Mapping[str, str] | None = None,
        attributes: str | None = None,
        failures: str | None = None,
        calibration: str = 'none',
        out_file: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        if split not in ('dev', 'test'):
            raise InputError(f"split must be 'dev' or 'test', got '{split}'")
        if split == 'dev' and (threshold is not None or dev_scores is not None):
            raise InputError("threshold and dev_scores belong to split='test': the dev split chooses its own")
        if threshold is not None and dev_scores is not None:
            raise InputError('give either threshold or dev_scores, not both: one of them would be ignored')
        if calibration != 'none' and dev_scores is None:
            raise InputError(f"calibration='{calibration}' is fitted on dev_scores: give them with split='test'")
        self.rules = ScoreRules(criterion, level, how, calibration=calibration).changed(
            by=by, pai_groups=pai_groups or {}
        )
        is_site = self.rules.parsed.kind == 'site'
        if is_site != (site_scores is not None) or (is_site and (split == 'dev' or threshold is not None)):
            raise InputError(
                "criterion='site' and site_scores='SITE.csv' belong together, with split='test' and no threshold: "
                'dev scores are not of the site'
            )
        super().__init__(collect_device=collect_device, prefix=prefix or split, collect_dir=collect_dir)
        self.split = split
        self.threshold = threshold
        self.dev_scores = dev_scores
        self.site_scores = site_scores
        self.out_file = out_file
        self.attributes = attributes
        self._failures = [] if failures is None else read_failures(failures)
        self._dev: ScoreTable | None = None
        self._site: ScoreTable | None = None
        self._logged: set[str] = set()

    @property
    def needs_both_classes(self) -> bool:
        """Whether the scores must be of both classes, as a threshold needs both."""
        return self.split == 'dev'

    @classmethod
    def names_given_by(cls, cfg: Mapping[str, Any]) -> tuple[str, ...]:
        """List the metrics that a config of this class can give, so that what watches one can be checked early.

        Args:
            cfg: Arguments of this class; others are not read.

        Returns:
            Names with prefix; `*` stands for what only the samples decide, such as the kinds of attack.

        >>> FASMetric.names_given_by(dict(split='test', prefix='W'))
        ('W/auc', 'W/*_oracle')
        """
        split = cfg.get('split', 'dev')
        if split == 'dev':
            names: tuple[str, ...] = (*_RATES, 'eer', *_further_names(cfg))
        elif all(cfg.get(name) is None for name in ('threshold', 'dev_scores', 'site_scores')):
            names = ('auc', '*_oracle')
        else:
            beside = () if None in (cfg.get('dev_scores'), cfg.get('site_scores')) else ('hter_at_dev',)
            names = (*_RATES, *beside, 'apcer_*', '*_oracle', *_further_names(cfg))
        return tuple(f'{cfg.get("prefix") or split}/{name}' for name in names)

    @classmethod
    def better_values_of(cls, name: str) -> str | None:
        """Say which values of a metric are better.

        Args:
            name: One of `names_given_by`, with prefix.

        Returns:
            `'less'`, `'greater'`, or None if that depends, as of a threshold.

        >>> FASMetric.better_values_of('dev/hter'), FASMetric.better_values_of('dev/auc')
        ('less', 'greater')
        """
        rate = name.rpartition('/')[2]
        if rate.startswith('threshold'):
            return None
        return 'greater' if rate.startswith(('auc', 'tpr')) else 'less'

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep what the score file needs of one batch.

        Args:
            data_batch: The batch; not read.
            data_samples: Dicts of `FASDataSample`s, see `score_record`.

        Raises:
            KeyError: If a sample has no prediction, label or id.
            ValueError: If a score is not finite (the message names the sample), `dev_scores` lack a class or
                `site_scores` have too few live videos.
        """
        if self.dev_scores is not None and self._dev is None:
            # Checked at the first sample: a file without a class must not only be noticed after the last one.
            self._dev = ScoreTable.from_csv(self.dev_scores)
            dev_threshold(self._dev, self.rules.of_dev)
        if self.site_scores is not None and self._site is None:
            self._site = ScoreTable.from_csv(self.site_scores)
            choose_at_site(self._site, self.rules)
        for sample in data_samples:
            record = score_record(sample)
            if not isfinite(record['score']):
                raise InputError(
                    f"score of sample '{record['sample_id']}' is {record['score']}: the model diverged on it"
                )
            self.results.append(record)

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Return the metrics of the gathered results; runs in the main process only.

        Args:
            results: Records of `process`, of all processes, in the order of the data set.

        Returns:
            Metrics by name, without prefix.
        """
        table = ScoreTable.from_records([*results, *self._failures])
        if self.attributes is not None:
            table = join_attributes(table, self.attributes)
        if self.out_file is not None:
            table.to_csv(self.out_file)
        if self.split == 'dev':
            metrics, notes = _dev_metrics(table, self.rules)
        else:
            metrics, notes = _test_metrics(table, self._dev, self.threshold, self.rules, self._site)
        self._log(notes)
        return metrics

    def _log(self, notes: Sequence[str]) -> None:
        """Log what a reader must know: the counts once, as they do not change; signs of a mistake every time."""
        for note in notes:
            is_count = note.startswith((CHOSEN_ON, SITE_NOTE))
            if not (is_count and note in self._logged):
                level = logging.INFO if is_count else logging.WARNING
                print_log(f'{self.prefix}: {note}', logger='current', level=level)
            self._logged.add(note)

    @staticmethod
    def calculate_dev(table: ScoreTable, rules: ScoreRules | None = None) -> dict[str, float]:
        """Return the metrics of a dev split at the threshold chosen on it.

        Args:
            table: Dev scores with both classes.
            rules: How scores become numbers; the defaults of `ScoreRules` if None.

        Returns:
            `threshold`, `hter`, `bpcer`, `apcer_max`, `acer_max`, `acer_pooled`, `auc` and `eer`.

        Raises:
            ValueError: If a class is absent.
        """
        return _dev_metrics(table, rules or ScoreRules())[0]

    @staticmethod
    def calculate_test(
        table: ScoreTable,
        *,
        dev: ScoreTable | None = None,
        threshold: Threshold | float | None = None,
        site: ScoreTable | None = None,
        rules: ScoreRules | None = None,
    ) -> dict[str, float]:
        """Return the metrics of a test split at a threshold from outside.

        Args:
            table: Test scores.
            dev: Dev scores, of other samples.
            threshold: A threshold fixed beforehand, instead of `dev`.
            site: Scores of live videos of the target, for the criterion `'site'`.
            rules: How scores become numbers; the defaults of `ScoreRules` if None.

        Returns:
            What is defined of `threshold`, `hter`, `bpcer`, `apcer_max`, `acer_max`, `acer_pooled`, `auc`,
            `apcer_<pai>`, `eer_oracle` and `tpr_at_fpr_<target>_oracle`; with a threshold that is an oracle, all
            but `auc` end in `_oracle`.

        Raises:
            ValueError: If dev and test share samples, or dev lacks a class.
        """
        return _test_metrics(table, dev, threshold, rules or ScoreRules(), site)[0]


def _dev_metrics(table: ScoreTable, rules: ScoreRules) -> tuple[dict[str, float], list[str]]:
    """Return the metrics of a dev split, and what its reader must know."""
    threshold, notes = choose_threshold(table, rules)
    metrics = _flatten(evaluate_scores(table, threshold=threshold, rules=rules, num_bootstrap=0))
    metrics['eer'] = metrics.pop('eer_oracle')
    return {name: value for name, value in metrics.items() if not name.endswith('_oracle')}, notes


def _test_metrics(
    table: ScoreTable,
    dev: ScoreTable | None,
    threshold: Threshold | float | None,
    rules: ScoreRules,
    site: ScoreTable | None = None,
) -> tuple[dict[str, float], list[str]]:
    """Return the metrics of a test split, and what its reader must know."""
    report = evaluate_scores(table, dev=dev, threshold=threshold, site=site, rules=rules, num_bootstrap=0)
    notes = ranking_notes(rules.reduce(table), 'test')
    notes += [] if report.failures is None else [report.failures.note()]
    if dev is not None:
        notes = [*choose_threshold(dev, rules.of_dev)[1], *notes]
    if site is not None:
        notes = [*choose_at_site(site, rules).notes, *notes]
    metrics = _flatten(report)
    if report.operating is not None and report.operating.apcer is not None:
        metrics.update({f'apcer_{pai}': rate.value for pai, rate in report.operating.apcer.per_pai.items()})
    if report.operating is None or not report.operating.threshold.is_oracle:
        return metrics, notes
    names = {name: name if name == 'auc' else f'{name.removesuffix("_oracle")}_oracle' for name in metrics}
    return {names[name]: value for name, value in metrics.items()}, notes


def _flatten(report: FASReport) -> dict[str, float]:
    """Return the numbers of a report that are defined, by name."""
    flat: dict[str, float] = {}
    values = report.to_dict()
    for name in _RATES:
        value = values[name]
        if value is not None:
            flat[name] = value['value'] if isinstance(value, dict) else value
    if report.at_dev is not None and report.at_dev.hter is not None:
        flat['hter_at_dev'] = report.at_dev.hter.value
    if report.oracle is not None:
        flat['eer_oracle'] = report.oracle.eer.value
        for point in report.oracle.tpr_at_fpr:
            flat[f'tpr_at_fpr_{point.target:g}_oracle'] = point.tpr.value
    if report.calibration is not None:
        flat['ece'], flat['ece_calibrated'] = report.calibration.ece_test
        flat['threshold_calibrated'] = report.calibration.threshold.value
    for part in report.subgroups:
        flat.update(_flatten_groups(part))
    if report.failures is not None:
        flat.update({f'apnrr_{pai}': rate.value for pai, rate in report.failures.apnrr.items()})
        if report.failures.bpnrr is not None:
            flat['bpnrr'] = report.failures.bpnrr.value
    return flat


def _flatten_groups(part: SubgroupReport) -> Iterator[tuple[str, float]]:
    """Yield the rates of groups and their largest gaps, by name."""
    for group in part.groups:
        if group.bpcer is not None:
            yield f'bpcer_{part.column}_{group.name}', group.bpcer.value
        if group.apcer is not None:
            yield f'apcer_pooled_{part.column}_{group.name}', group.apcer.pooled.value
    for gap in part.gaps:
        yield f'{gap.rate.lower().replace(" ", "_")}_gap_{part.column}', gap.value


def _further_names(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of rates of groups and of failures."""
    by = [cfg['by']] if isinstance(cfg.get('by'), str) else cfg.get('by') or []
    for column in [*by, *([PAI_GROUP] if cfg.get('pai_groups') else [])]:
        for rate in ('bpcer', 'apcer_pooled'):
            yield from (f'{rate}_{column}_*', f'{rate}_gap_{column}')
    if cfg.get('calibration', 'none') != 'none':
        yield from ('ece', 'ece_calibrated', 'threshold_calibrated')
    if cfg.get('failures') is not None:
        yield from ('bpnrr', 'apnrr_*')
