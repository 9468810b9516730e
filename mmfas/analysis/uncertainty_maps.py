"""How sure a model is of each patch of each picture, for a few samples of its test set.

Legend: M modalities, N blocks, h x w patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from mmfas.apis.scoring import ScoreError, load_model, load_samples, prepare_scoring
from mmfas.models.heads import liveness


@dataclass(frozen=True)
class UncertaintyMaps:
    """What there is to see of one sample.

    Args:
        sample_id: Name of the sample.
        label: 1 live, 0 spoof.
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
def uncertainty_maps(cfg: Config, checkpoint: str | None = None, *, max_samples: int = 4) -> list[UncertaintyMaps]:
    """Run a model on test samples, one by one, and keep its uncertainty.

    Args:
        cfg: Config with a `test_dataloader`, whose model has a neck with uncertainty, such as `UAdapterNeck`.
        checkpoint: File with the weights; the initial ones if None.
        max_samples: Samples to look at, spread evenly over the data set, at least 1.

    Returns:
        The maps of each sample.

    Raises:
        ScoreError: If the config has no test set, or its neck does not estimate confidence.
        FileNotFoundError: If the checkpoint does not exist.
        CheckpointError: If the checkpoint is refused or does not fit.
    """
    prepare_scoring(cfg)
    samples = load_samples(cfg, max_samples=max_samples)
    model = load_model(cfg, checkpoint)
    found = []
    for item in samples:
        data = model.data_preprocessor(pseudo_collate([item]), False)
        features = model.extract_feat(data['inputs'])
        # the second key is the former name, which a neck of yours may still have
        maps = features.maps.get('confidence', features.maps.get('uncertainty'))
        if maps is None or features.confidence is None:
            raise ScoreError(f'{type(model.neck).__name__} estimates no uncertainty to draw; take UAdapterNeck')
        sample = item['data_samples']
        found.append(
            UncertaintyMaps(
                sample_id=str(sample.get('sample_id')),
                label=int(sample.gt_label),
                score=float(liveness(model.head(features).double())[0]),
                modalities=model.modalities,
                present=data['inputs']['present'][0].cpu().numpy(),
                pictures=np.stack([item['inputs'][m].permute(1, 2, 0).numpy() for m in model.modalities]),
                patch_confidence=maps[:, :, 0].float().cpu().numpy(),
                confidence=features.confidence[:, 0].float().cpu().numpy(),
            )
        )
    return found
