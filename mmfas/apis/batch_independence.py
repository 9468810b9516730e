"""Showing that a score does not depend on which other samples share its batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModel

from mmfas.apis.scoring import ScoreError, build_loader, build_model, prepare_scoring, score_batches

#: Largest difference that rounding explains, by precision of the model.
TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-5}


@dataclass(frozen=True)
class BatchIndependence:
    """How much scores changed with the batches they were computed in.

    Args:
        num_samples: Samples that were scored.
        differences: Largest difference to batch size 1 in data set order, by what was done, such as
            `'batch 7, shuffled'`.
        worst_sample: Sample with the largest difference of all.
        tolerance: Difference that rounding explains.
    """

    num_samples: int
    differences: dict[str, float]
    worst_sample: str
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether no difference is larger than rounding explains."""
        return max(self.differences.values()) <= self.tolerance


def check_batch_independence(
    cfg: Config,
    checkpoint: str | None = None,
    *,
    batch_sizes: Sequence[int] = (1, 7, 16),
    max_samples: int = 64,
    double: bool = False,
    seed: int = 0,
) -> BatchIndependence:
    """Score test samples alone and in batches of several sizes and orders, and compare.

    Args:
        cfg: Config with a `test_dataloader`; its samples are loaded once, so random transforms do not matter.
        checkpoint: File with the weights; the initial ones if None.
        batch_sizes: Batch sizes to try, each in data set order and shuffled.
        max_samples: Samples to score, spread evenly over the data set.
        double: Compute in float64.
        seed: Seed of the initial weights and of the shuffling.

    Returns:
        The differences.

    Raises:
        ScoreError: If the config has no test set.
        FileNotFoundError: If the checkpoint does not exist.
        CheckpointError: If the checkpoint is refused or does not fit.
    """
    if not cfg.get('test_dataloader'):
        raise ScoreError('the config has no test set: give it test_dataloader=dict(...)')
    prepare_scoring(cfg)
    torch.manual_seed(seed)
    model = build_model(cfg, checkpoint)
    dtype = torch.float64 if double else torch.float32
    model.to(dtype)
    dataset = build_loader(cfg.test_dataloader, num_workers=0, persistent_workers=False).dataset
    num_samples = len(dataset)  # type: ignore[arg-type]
    rows = torch.linspace(0, num_samples - 1, min(max_samples, num_samples)).long().unique().tolist()
    samples = [dataset[row] for row in rows]
    alone = _scores(model, samples, list(range(len(samples))), 1)
    differences, worst = {}, (0.0, 0)
    shuffled = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed)).tolist()
    for size in batch_sizes:
        for order, indices in (('in order', list(range(len(samples)))), ('shuffled', shuffled)):
            change = (_scores(model, samples, indices, size) - alone).abs()
            differences[f'batch {size}, {order}'] = change.max().item()
            worst = max(worst, (change.max().item(), int(change.argmax())))
    name = str(samples[worst[1]]['data_samples'].get('sample_id'))
    return BatchIndependence(len(samples), differences, name, TOLERANCES[dtype])


def _scores(model: BaseModel, samples: list[Any], indices: list[int], size: int) -> torch.Tensor:
    """Score samples in batches; return the scores (N,) in the order of `samples`."""
    batches = (
        pseudo_collate([samples[i] for i in indices[at : at + size]]) for at in range(0, len(indices), size)
    )
    scores = torch.tensor([record['score'] for record in score_batches(model, batches)], dtype=torch.float64)
    ordered = torch.empty_like(scores)
    ordered[indices] = scores
    return ordered
