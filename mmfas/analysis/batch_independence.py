"""Showing that a score does not depend on the other samples of its batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmengine.config import Config

from mmfas.apis.scoring import load_model, load_samples, prepare_scoring, score_in_batches

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
        batch_sizes: Batch sizes to try, both in data set order and shuffled.
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
    prepare_scoring(cfg)
    samples = load_samples(cfg, max_samples=max_samples)
    torch.manual_seed(seed)
    model = load_model(cfg, checkpoint)
    dtype = torch.float64 if double else torch.float32
    model.to(dtype)
    in_order = list(range(len(samples)))
    alone = score_in_batches(model, samples, in_order, 1)
    differences, worst = {}, (0.0, 0)
    shuffled = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed)).tolist()
    for size in batch_sizes:
        for order, indices in (('in order', in_order), ('shuffled', shuffled)):
            change = (score_in_batches(model, samples, indices, size) - alone).abs()
            differences[f'batch {size}, {order}'] = change.max().item()
            worst = max(worst, (change.max().item(), int(change.argmax())))
    name = str(samples[worst[1]]['data_samples'].get('sample_id'))
    return BatchIndependence(len(samples), differences, name, TOLERANCES[dtype])
