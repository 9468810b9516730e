"""How scores become numbers: one record for every step from the score file to the figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmfas.evaluation.functional.aggregation import AGGREGATES
from mmfas.evaluation.functional.calibration import CALIBRATIONS
from mmfas.evaluation.functional.thresholds import Criterion, parse_criterion
from mmfas.evaluation.pai_groups import check_pai_groups
from mmfas.utils.errors import InputError, WrongTypeError

if TYPE_CHECKING:
    from mmfas.evaluation.score_table import ScoreTable

LEVELS = ('frame', 'video', 'subject')
CLUSTERS = ('auto', 'sample', 'video', 'subject')
#: More replicates of a bootstrap or permutations say nothing more, and would take hours and all memory.
MOST_REPLICATES = 1_000_000
#: Names that configs and older scripts use for fields of the record.
_OLD_NAMES = {'how': 'frame_reduction'}
#: What the metric of a config says of them.
_OF_METRIC = ('criterion', 'level', 'how', 'by', 'pai_groups')


@dataclass(frozen=True)
class ScoreRules:
    """How scores become numbers.

    Args:
        criterion: How dev scores fix the threshold: `'eer'`, `'min-hter'`, `'bpcer@apcer=0.01'`,
            `'apcer@bpcer=0.01'`; or `'fixed=0.5'`, which needs no dev scores; or `'site-5@bpcer=0.1'`, which sets
            it on that many live videos of the target at this BPCER.
        level: `'frame'`, or `'video'` / `'subject'` to reduce frames first, in both dev and test.
        frame_reduction: `'mean'`, `'median'` or `'max'` of the frames that are reduced to one score.
        cluster: What the bootstrap draws: `'sample'`, `'video'`, `'subject'`, or `'auto'`: videos where every
            sample names one and some have several frames.
        num_bootstrap: Number of bootstrap replicates of HTER and AUC; 0 for no intervals.
        seed: Seed of the bootstrap, and of which live videos `'site'` takes, >= 0.
        allow_duplicates: Accept a sample id more than once, as some published lists repeat frames.
        by: Columns whose values are judged group by group, such as `('sex', 'device')`.
        pai_groups: Pairs of a regular expression and a name, or a mapping: attack instruments whose whole name
            fits are judged together under that name, besides one by one.
        calibration: `'temperature'` or `'platt'`: fitted on dev and judged beside the scores as they are, which
            all rates are of; `'none'` for neither.

    Raises:
        ValueError: If a value is unknown, an expression cannot be read, or the bootstrap would draw units smaller
            than those that have a score.

    >>> ScoreRules('bpcer@apcer=0.01', level='video').parsed
    Criterion(kind='bpcer@apcer', value=0.01)
    """

    criterion: str = 'eer'
    level: str = 'frame'
    frame_reduction: str = 'mean'
    cluster: str = 'auto'
    num_bootstrap: int = 1000
    seed: int = 0
    allow_duplicates: bool = False
    by: tuple[str, ...] = ()
    pai_groups: tuple[tuple[str, str], ...] = ()
    calibration: str = 'none'

    def __post_init__(self) -> None:
        object.__setattr__(self, 'by', (self.by,) if isinstance(self.by, str) else tuple(self.by))
        object.__setattr__(self, 'pai_groups', check_pai_groups(self.pai_groups))
        if parse_criterion(self.criterion).kind == 'site' and self.level == 'subject':
            raise InputError("the criterion 'site' counts videos: give level 'frame' or 'video', got 'subject'")
        named = {'level': LEVELS, 'frame_reduction': AGGREGATES, 'cluster': CLUSTERS}
        for name, known in {**named, 'calibration': ('none', *CALIBRATIONS)}.items():
            if getattr(self, name) not in known:
                raise InputError(f"{name} must be one of {', '.join(known)}, got '{getattr(self, name)}'")
        if self.num_bootstrap < 0:
            raise InputError(f'num_bootstrap must be 0 (no intervals) or more, got {self.num_bootstrap}')
        if self.num_bootstrap > MOST_REPLICATES:
            raise InputError(f'num_bootstrap must be at most {MOST_REPLICATES}, got {self.num_bootstrap}')
        if self.seed < 0:
            raise InputError(f'seed must be 0 or more, got {self.seed}')
        if self.cluster in LEVELS and LEVELS.index(self.cluster) < LEVELS.index(self.level):
            raise InputError(
                f"cluster '{self.cluster}' is finer than level '{self.level}', where a {self.cluster} has no "
                f'score of its own; give --cluster {self.level} or auto, or --level {self.cluster} (cluster= '
                'and level= in Python)'
            )

    @property
    def of_dev(self) -> ScoreRules:
        """The rules by which dev scores fix a threshold: these, with `'eer'` for a criterion that reads none."""
        return self.changed(criterion='eer') if self.parsed.kind == 'site' else self

    @property
    def parsed(self) -> Criterion:
        """The criterion, read."""
        return parse_criterion(self.criterion)

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any], **changes: Any) -> ScoreRules:
        """Take the rules of the validation metric, changed where a value is given.

        Args:
            cfg: Config whose `val_evaluator` may be a `FASMetric`.
            **changes: Values by field name; None keeps that of the config.

        Returns:
            The rules.
        """
        found = cls.arguments_of_metric(cfg)
        given = {name: found[name] for name in _OF_METRIC if name in found}
        return (
            cls().changed(**given).changed(**{name: value for name, value in changes.items() if value is not None})
        )

    @staticmethod
    def arguments_of_metric(cfg: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a config gives the metric of its validation.

        Args:
            cfg: Config whose `val_evaluator` may be a `FASMetric`.
        """
        metrics = cfg.get('val_evaluator') or []
        metrics = [metrics] if isinstance(metrics, Mapping) else metrics
        return next((dict(m) for m in metrics if str(m.get('type')).endswith('FASMetric')), {})

    def changed(self, **changes: Any) -> ScoreRules:
        """Return a record with other values.

        Args:
            **changes: Values by field name; `how` is an older name of `frame_reduction`.

        Raises:
            TypeError: If there is no such field.
        """
        values = {_OLD_NAMES.get(name, name): value for name, value in changes.items()}
        known = [field.name for field in fields(self)]
        unknown = [name for name in values if name not in known]
        if unknown:
            raise WrongTypeError(f"score rules have no '{unknown[0]}'; they have {', '.join(known)}")
        return replace(self, **values)

    def reduce(self, table: ScoreTable) -> ScoreTable:
        """Reduce the scores of frames to those of the level.

        Args:
            table: One score per frame.

        Returns:
            One score per frame, video or subject.

        Raises:
            ValueError: As `ScoreTable.aggregate`.
        """
        if self.level == 'frame':
            return table
        return table.aggregate(self.level, frame_reduction=self.frame_reduction)

    def clusters(self, table: ScoreTable) -> tuple[NDArray[np.str_] | None, str]:
        """Say what the bootstrap draws.

        Args:
            table: Scores, reduced to the level.

        Returns:
            The cluster of every score, shape (N,), or None: each its own; and what a cluster is.

        Raises:
            ValueError: If a sample has no id of the wanted kind.
        """
        level, cluster = self.level, self.cluster
        if cluster == 'auto':
            # If every frame is a video of its own, videos are unknown: the interval is over samples.
            is_named = level == 'frame' and bool(np.all(table.video != ''))
            has_videos = is_named and np.unique(table.group_ids('video')).size < len(table)
            cluster = 'video' if has_videos else 'sample'
        if cluster == 'sample' or cluster == level:
            return None, 'sample' if level == 'frame' else level
        return table.group_ids(cluster), cluster
