"""Which experts a model takes on the samples of its test set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import Tensor

from mmfas.apis.scoring import ScoreError, load_model, load_samples, prepare_scoring
from mmfas.models.layers import expert_usage, usage_entropy


@dataclass(frozen=True)
class ExpertUsage:
    """What the routers of a model did.

    Args:
        counts: How often each expert was taken in each block (N, E), float64.
        modalities: Names of the pictures.
        pictures: Images of the first sample (M, H, W, 3), uint8.
        routing: The best expert of the first head for every patch of the first sample, in each block (N, h, w).
    """

    counts: Tensor
    modalities: tuple[str, ...]
    pictures: np.ndarray
    routing: Tensor

    @property
    def entropy(self) -> Tensor:
        """Entropy of the use in each block (N,): 1 if all experts are used alike, 0 if always the same one."""
        return usage_entropy(self.counts)


@torch.no_grad()
def measure_expert_usage(
    cfg: Config, checkpoint: str | None = None, *, max_samples: int = 64, batch_size: int = 16
) -> ExpertUsage:
    """Count the experts that a model takes.

    Args:
        cfg: Config with a `test_dataloader`, whose model has a neck with `num_experts`, at least 2.
        checkpoint: File with the weights; the initial ones if None.
        max_samples: Samples to look at, spread evenly over the data set, at least 1.
        batch_size: Samples in a batch, at least 1.

    Returns:
        The counts, and the routing of one sample to draw.

    Raises:
        ScoreError: If the config has no test set, or its neck no experts.
        FileNotFoundError: If the checkpoint does not exist.
        CheckpointError: If the checkpoint is refused or does not fit.
    """
    prepare_scoring(cfg)
    samples = load_samples(cfg, max_samples=max_samples)
    model = load_model(cfg, checkpoint)
    num_experts = getattr(model.neck, 'num_experts', 1)
    if num_experts < 2:
        raise ScoreError(f'{type(model.neck).__name__} has no experts to choose from; take IsolatedGatingMoENeck')
    counts, first = torch.zeros(0), torch.zeros(0)
    for start in range(0, len(samples), batch_size):
        batch = pseudo_collate(samples[start : start + batch_size])
        index = model.extract_feat(model.data_preprocessor(batch, False)['inputs']).maps['expert_index'].cpu()
        counted = torch.stack([expert_usage(block, num_experts) for block in index])
        if start:
            counts = counts + counted
        else:
            counts, first = counted, index[:, 0, ..., 0, 0]
    packed = samples[0]['inputs']
    pictures = np.stack([packed[m].permute(1, 2, 0).numpy() for m in model.modalities])
    return ExpertUsage(counts, model.modalities, pictures, first)
