"""How sure a model is of each patch of each picture of one sample.

Legend: M modalities, N blocks, h x w patches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate

from mmfas.apis.scoring import ScoreError
from mmfas.models.fas import MultiModalFAS
from mmfas.models.heads import liveness

__all__ = ['UncertaintyMaps', 'uncertainty_of']


@dataclass(frozen=True)
class UncertaintyMaps:
    """What there is to see of one sample.

    Args:
        sample_id: Name of the sample.
        label: 1 live, 0 spoof; -1 if it is not known.
        score: Liveness that the model gives it, in [0, 1].
        modalities: Names of the pictures, M of them.
        present: Which of them the sample has (M,), bool.
        pictures: Images (M, H, W, 3), uint8.
        patch_confidence: Confidence U in every patch, in each block (N, M, h, w), in (0, 1].
        confidence: U of each modality, with which ReGrad weights gradients (M,), in (0, 1].
    """

    sample_id: str
    label: int
    score: float
    modalities: tuple[str, ...]
    present: np.ndarray
    pictures: np.ndarray
    patch_confidence: np.ndarray
    confidence: np.ndarray

    @property
    def trust(self) -> np.ndarray:
        """Former name of `patch_confidence`, for one release."""
        return self.patch_confidence


@torch.no_grad()
def uncertainty_of(model: MultiModalFAS, item: Mapping[str, Any]) -> UncertaintyMaps:
    """Run a model on one sample and keep its uncertainty.

    Args:
        model: In evaluation mode, with a neck with uncertainty, such as `UAdapterNeck`.
        item: `inputs` (modality -> uint8 tensor (3, H, W)) and `data_samples`, as the pipeline returns them.

    Returns:
        The maps.

    Raises:
        ScoreError: If the neck does not estimate confidence.
    """
    data = model.data_preprocessor(pseudo_collate([item]), False)
    features = model.extract_feat(data['inputs'])
    # the second key is the former name, which a neck of yours may still have
    maps = features.maps.get('confidence', features.maps.get('uncertainty'))
    if maps is None or features.confidence is None:
        raise ScoreError(f'{type(model.neck).__name__} estimates no uncertainty to draw; take UAdapterNeck')
    sample = item['data_samples']
    return UncertaintyMaps(
        sample_id=str(sample.get('sample_id')),
        label=int(sample.get('gt_label', -1)),
        score=float(liveness(model.head(features).double())[0]),
        modalities=model.modalities,
        present=data['inputs']['present'][0].cpu().numpy(),
        pictures=np.stack([item['inputs'][m].permute(1, 2, 0).numpy() for m in model.modalities]),
        patch_confidence=maps[:, :, 0].float().cpu().numpy(),
        confidence=features.confidence[:, 0].float().cpu().numpy(),
    )
