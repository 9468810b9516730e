"""The worst mistakes in scores: attacks that were accepted, live faces that were rejected, and their pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmfas.datasets.face_dataset import MultiModalFaceDataset
from mmfas.datasets.transforms import LoadMultiModalImages
from mmfas.evaluation import ScoreTable
from mmfas.evaluation.functional import Threshold
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError

__all__ = ['Mistake', 'WorstSamples', 'find_samples', 'load_pictures', 'worst_samples']


@dataclass(frozen=True)
class Mistake:
    """A sample on the wrong side of the threshold.

    Args:
        sample_id: Its name.
        domain: Its data set; `''` where unknown.
        pai: Attack instrument; `'live'` for a live face.
        subject: The person; `''` where unknown.
        score: What it was given.
    """

    sample_id: str
    domain: str
    pai: str
    subject: str
    score: float


@dataclass(frozen=True)
class WorstSamples:
    """The mistakes that are furthest from the threshold, the worst first.

    Args:
        accepted: Accepted attacks, the highest score first.
        rejected: Rejected live faces, the lowest score first.
        num_accepted: How many attacks were accepted in all.
        num_rejected: How many live faces were rejected in all.
        num_attacks: How many attacks there are.
        num_live: How many live faces there are.
    """

    accepted: tuple[Mistake, ...]
    rejected: tuple[Mistake, ...]
    num_accepted: int
    num_rejected: int
    num_attacks: int
    num_live: int


def worst_samples(table: ScoreTable, threshold: Threshold, *, num: int = 8) -> WorstSamples:
    """Find the worst mistakes.

    Args:
        table: Scores, one per frame.
        threshold: Accept if score >= threshold.
        num: Mistakes of either kind to return, at least 1.

    Returns:
        The mistakes; samples with one score are in the order of the table.
    """
    accepted = table.score >= threshold.value
    wrong_attack, wrong_live = accepted & ~table.is_live, ~accepted & table.is_live

    def listed(mask: np.ndarray, sign: int) -> tuple[Mistake, ...]:
        rows = np.flatnonzero(mask)
        chosen = rows[np.argsort(sign * table.score[rows], kind='stable')][:num]
        return tuple(
            Mistake(
                str(table.sample_id[row]),
                domain=str(table.domain[row]),
                pai=str(table.pai[row]),
                subject=str(table.subject[row]),
                score=float(table.score[row]),
            )
            for row in chosen
        )

    return WorstSamples(
        accepted=listed(wrong_attack, -1),
        rejected=listed(wrong_live, 1),
        num_accepted=int(wrong_attack.sum()),
        num_rejected=int(wrong_live.sum()),
        num_attacks=table.num_spoof,
        num_live=table.num_live,
    )


def find_samples(
    mistakes: Iterable[Mistake], datasets: Sequence[MultiModalFaceDataset]
) -> dict[Mistake, Mapping[str, Any]]:
    """Find the samples of mistakes in data sets, by id and, where the scores name it, domain.

    Args:
        mistakes: What to look for.
        datasets: Where to look.

    Returns:
        Mistake -> sample of a data set.

    Raises:
        ValueError: If one is not there; the message names it.
    """
    mistakes = list(mistakes)
    wanted = {mistake.sample_id for mistake in mistakes}
    by_key: dict[tuple[str, str], Mapping[str, Any]] = {}
    known: dict[str, Mapping[str, Any]] = {}
    for dataset in datasets:
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            if info['sample_id'] in wanted:
                by_key.setdefault((info['domain'], info['sample_id']), info)
                known.setdefault(info['sample_id'], info)
    found = {m: by_key.get((m.domain, m.sample_id)) if m.domain else known.get(m.sample_id) for m in mistakes}
    missing = [mistake.sample_id for mistake, info in found.items() if info is None]
    if missing:
        size = sum(len(dataset) for dataset in datasets)
        raise InputError(
            f'{len(missing)} samples of the scores are not in the lists ({size} samples), the first is '
            f"'{missing[0]}'; give the config or the lists that were scored"
        )
    return {mistake: info for mistake, info in found.items() if info is not None}


def load_pictures(info: Mapping[str, Any]) -> dict[str, np.ndarray | None]:
    """Load the pictures of a sample.

    Args:
        info: Sample of a data set.

    Returns:
        Modality -> picture (H, W, 3), uint8; None where it is absent.
    """
    loaded = LoadMultiModalImages()({**info, 'modalities': MODALITIES})
    assert loaded is not None
    return {m: loaded[m] if loaded['present'][m] else None for m in MODALITIES}
