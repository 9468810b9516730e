"""The samples behind the worst mistakes in scores: found in data sets by their ids, with their pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mmfas.datasets.face_dataset import MultiModalFaceDataset
from mmfas.datasets.transforms import LoadMultiModalImages
from mmfas.evaluation.worst_samples import Mistake
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError
from mmfas.visualization.picture_source import DEPTH_RANGE_MM, IR_RANGE

__all__ = ['find_samples', 'load_pictures']


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
    """Load the pictures of a sample, 16-bit ones and those of several sizes too, as the eye needs them.

    Args:
        info: Sample of a data set.

    Returns:
        Modality -> picture (H, W, 3), uint8; None where it is absent.
    """
    load = LoadMultiModalImages(depth_range_mm=DEPTH_RANGE_MM, ir_range=IR_RANGE, allow_size_mismatch=True)
    loaded = load({**info, 'modalities': MODALITIES})
    assert loaded is not None
    return {m: loaded[m] if loaded['present'][m] else None for m in MODALITIES}
