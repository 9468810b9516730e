"""What fewer bits cost in accuracy: the same labelled list scored by the bundle and by the file made from it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmfas.datasets.face_dataset import MultiModalFaceDataset
from mmfas.deploy.bundle import Bundle
from mmfas.deploy.bundle_export import open_onnx
from mmfas.deploy.torch_runtime import Runtime, TorchRuntime
from mmfas.evaluation import ScoreRules, ScoreTable
from mmfas.evaluation.functional import auc, eer, hter
from mmfas.evaluation.score_records import score_record
from mmfas.evaluation.tables import text_table
from mmfas.structures import LIVE
from mmfas.utils.errors import InputError

__all__ = ['PrecisionCost', 'Quality', 'labelled_samples', 'measure_cost']

#: Samples that are scored at once.
_BATCH = 32


@dataclass(frozen=True)
class Quality:
    """How well one set of scores tells live from spoof.

    Args:
        auc: Area under the ROC curve, in [0, 1].
        hter: Half total error rate at the threshold of the bundle, in [0, 1].
        eer: Equal error rate, at a threshold chosen on these scores, in [0, 1].
        own_threshold: That threshold.
    """

    auc: float
    hter: float
    eer: float
    own_threshold: float

    @classmethod
    def of(cls, scores: ScoreTable, threshold: float) -> Quality:
        """Compute the rates of a table of scores.

        Args:
            scores: With both classes.
            threshold: That of the bundle.

        Raises:
            ValueError: If a class is missing.
        """
        arrays = (scores.score, scores.is_live)
        point = eer(*arrays)
        return cls(auc(*arrays), hter(*arrays, threshold=threshold), point.value, point.threshold)


@dataclass(frozen=True)
class PrecisionCost:
    """The bundle and the file made from it, on the same samples.

    Args:
        bundle: Rates of the bundle.
        exported: Rates of the file.
        num_live: Live samples, at the level of the bundle's threshold.
        num_spoof: Attacks.
        max_difference: Largest difference of the score of one frame.
        num_changed: Frames that the threshold of the bundle decides otherwise.
    """

    bundle: Quality
    exported: Quality
    num_live: int
    num_spoof: int
    max_difference: float
    num_changed: int

    def to_text(self) -> str:
        """Return the table for a terminal, rates in per cent."""
        header = ['', 'AUC', 'HTER, threshold of the bundle', 'EER', 'threshold at EER']
        rows = [
            (name, *(f'{100 * rate:.2f}' for rate in (one.auc, one.hter, one.eer)), f'{one.own_threshold:.4f}')
            for name, one in (('bundle', self.bundle), ('file', self.exported))
        ]
        lost = (
            f'{100 * (after - before):+.2f}'
            for before, after in (
                (self.bundle.auc, self.exported.auc),
                (self.bundle.hter, self.exported.hter),
                (self.bundle.eer, self.exported.eer),
            )
        )
        return (
            text_table(header, [*rows, ('change', *lost, '')])
            + f'\n{self.num_live} live, {self.num_spoof} attacks; a score moved by {self.max_difference:.1e} at '
            f'most, and {self.num_changed} frames are decided otherwise'
        )


def labelled_samples(bundle: Bundle, lists: Sequence[str], data_root: str = '') -> MultiModalFaceDataset:
    """Read labelled lists as the bundle sees them.

    Args:
        bundle: Says how pictures are prepared.
        lists: Annotation files (`.txt`, `.csv`, `.json`) with live samples and attacks, such as the dev lists.
        data_root: Folder that holds the data, and from which the lists are named.

    Returns:
        The samples.

    Raises:
        FileNotFoundError: If a list is missing.
        ValueError: If a list is malformed or they hold one class only.
    """
    dataset = MultiModalFaceDataset(
        list(lists), data_root, modalities=bundle.modalities, pipeline=bundle.pipeline, test_mode=True
    )
    labels = {int(dataset.get_data_info(index)['gt_label']) for index in range(len(dataset))}
    if len(labels) < 2:
        found = 'live samples' if LIVE in labels else 'attacks'
        raise InputError(
            f'{", ".join(lists)}: AUC and HTER need live samples and attacks, but there are {found} only'
        )
    return dataset


def measure_cost(bundle: Bundle, path: str | os.PathLike[str], samples: MultiModalFaceDataset) -> PrecisionCost:
    """Score labelled samples with a bundle and with the ONNX file made from it.

    Args:
        bundle: The bundle.
        path: The file.
        samples: What `labelled_samples` returns.

    Returns:
        The rates of both.

    Raises:
        FileNotFoundError: If a picture is missing.
    """
    runtimes = (TorchRuntime(bundle.build_model()), open_onnx(path)[1])
    tables = _score(samples, runtimes)
    rule = bundle.decision
    rules = ScoreRules(level=rule.level, frame_reduction=rule.frame_reduction, allow_duplicates=True)
    reduced = [rules.reduce(table) for table in tables]
    of_bundle, of_file = (table.score for table in tables)
    before, after = (Quality.of(table, rule.threshold) for table in reduced)
    return PrecisionCost(
        before,
        after,
        num_live=reduced[0].num_live,
        num_spoof=reduced[0].num_spoof,
        max_difference=float(np.abs(of_bundle - of_file).max()),
        num_changed=int(((of_bundle >= rule.threshold) != (of_file >= rule.threshold)).sum()),
    )


def _score(dataset: MultiModalFaceDataset, runtimes: Sequence[Runtime]) -> list[ScoreTable]:
    """Score every sample with every runtime; the pictures are read once."""
    records: list[list[Mapping[str, Any]]] = [[] for _ in runtimes]
    for start in range(0, len(dataset), _BATCH):
        batch = [dataset[index] for index in range(start, min(start + _BATCH, len(dataset)))]
        for runtime, found in zip(runtimes, records):
            for packed, score in zip(batch, runtime.score(batch).tolist(), strict=True):
                sample = packed['data_samples'].clone()
                sample.pred_score = score
                found.append(score_record(sample))
    return [ScoreTable.from_records(found, allow_duplicates=True) for found in records]
