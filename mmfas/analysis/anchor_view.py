"""What MMDA does with a face: what its modalities attend to, and how close each prompt is.

Legend: M modalities, A heads, S states of the U, K anchors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import Tensor
from torch.nn import functional

from mmfas.apis.scoring import ScoreError, load_model, load_samples, prepare_scoring
from mmfas.models import MD2ANeck, TextAlignHead


@dataclass(frozen=True)
class AnchorView:
    """What one checkpoint does.

    Args:
        attention: Attention in a sample and in its reference (2, M, M), means over samples and heads; a row is
            what a modality attends to.
        noise_weight: The lambda that weighs the second map.
        modalities: Names of the modalities.
        pictures: Images of one sample (M, H, W, 3), uint8.
        cosines: Cosine of that sample to every anchor at every state (S, K), spoof anchors first.
        num_anchors: Number of spoof and of live anchors, in sum K.
        score: Score of that sample.
        sample_id: Its name.
        are_random: Whether the anchors are random directions that no text tower has made.
    """

    attention: Tensor
    noise_weight: float
    modalities: tuple[str, ...]
    pictures: np.ndarray
    cosines: Tensor
    num_anchors: tuple[int, int]
    score: float
    sample_id: str
    are_random: bool


@torch.no_grad()
def view_anchors(
    cfg: Config, checkpoint: str | None = None, *, max_samples: int = 64, face: int = 0, batch_size: int = 16
) -> AnchorView:
    """Run a model on test samples and keep what there is to look at.

    Args:
        cfg: Config with a `test_dataloader`, whose model has an `MD2ANeck` and a `TextAlignHead`.
        checkpoint: File with the weights; the initial ones if None.
        max_samples: Samples to average attention over, spread evenly over the data set, at least 1.
        face: Which of these samples to compare with the anchors.
        batch_size: Samples in a batch, at least 1.

    Returns:
        Attention, lambda and cosines.

    Raises:
        ScoreError: If the config has no test set, the model has other parts or there is no such face.
        FileNotFoundError: If the checkpoint does not exist.
        CheckpointError: If the checkpoint is refused or does not fit.
    """
    prepare_scoring(cfg)
    samples = load_samples(cfg, max_samples=max_samples)
    if not 0 <= face < len(samples):
        raise ScoreError(f'face must be from 0 to {len(samples) - 1}, but got {face}')
    model = load_model(cfg, checkpoint)
    neck, head = model.neck, model.head
    if not isinstance(neck, MD2ANeck) or not isinstance(head, TextAlignHead):
        parts = f'{type(neck).__name__} and {type(head).__name__}'
        raise ScoreError(f'anchors are drawn for MD2ANeck and TextAlignHead, not for {parts}')
    attention = torch.zeros(2, len(model.modalities), len(model.modalities), dtype=torch.float64)
    for start in range(0, len(samples), batch_size):
        batch = model.data_preprocessor(pseudo_collate(samples[start : start + batch_size]), False)
        features = model.extract_feat(batch['inputs'])
        attention += features.maps['attention'].double().mean(2).sum(1).cpu() / len(samples)
    alone = model.data_preprocessor(pseudo_collate([samples[face]]), False)
    states = head.states(model.extract_feat(alone['inputs']))
    cosines = functional.cosine_similarity(states.image, states.anchors, dim=-1)
    packed = samples[face]['inputs']
    return AnchorView(
        attention=attention,
        noise_weight=float(neck.attention.noise_weight),
        modalities=model.modalities,
        pictures=np.stack([packed[m].permute(1, 2, 0).numpy() for m in model.modalities]),
        cosines=cosines.cpu(),
        num_anchors=head.anchors.num_anchors,
        score=float(model(**alone, mode='predict')[0].pred_score),
        sample_id=str(samples[face]['data_samples'].get('sample_id')),
        are_random=head.anchors.file is None and head.anchors.tower is None,
    )
