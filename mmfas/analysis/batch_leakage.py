"""How much a method that looks at its batch gains from the order in which test samples are served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel

from mmfas.apis.scoring import load_model, load_samples, prepare_scoring, score_in_batches
from mmfas.evaluation import auc, eer, hter

#: Orders of samples: one class after the other as in the published test lists, or shuffled.
ORDERS = ('sorted', 'shuffled')


@dataclass(frozen=True)
class BatchingResult:
    """What scores are worth if samples are put into batches in one way; means over the repetitions.

    A change is the difference to the same sample's score in the first pass, alone in its batch.

    Args:
        batch_size: Samples in a batch.
        order: One of `ORDERS`.
        hter: HTER at the threshold of the dev scores (their EER), which were made in batches of the same kind.
        oracle_hter: Equal error rate of the test scores: threshold of the test set itself.
        auc: Area under the ROC curve.
        mean_change: Mean absolute change of a score.
        largest_change: Largest absolute change of a score, over samples and repetitions.
        flipped: Fraction of the test samples whose decision changes.
    """

    batch_size: int
    order: str
    hter: float
    oracle_hter: float
    auc: float
    mean_change: float
    largest_change: float
    flipped: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


class _Split(NamedTuple):
    """Samples of one split and whether each is live (N,)."""

    samples: list[Any]
    is_live: np.ndarray


class _Pass(NamedTuple):
    """Scores of the test samples (N,) and the threshold of the dev samples scored in the same way."""

    scores: np.ndarray
    threshold: float


def measure_batch_leakage(
    cfg: Config,
    checkpoint: str | None = None,
    *,
    batch_sizes: Sequence[int] = (1, 3, 16),
    num_repeats: int = 5,
    max_samples: int | None = None,
    seed: int = 0,
) -> list[BatchingResult]:
    """Score dev and test set in batches of several sizes, sorted by class and shuffled.

    Alone in its batch a sample has no neighbours: both orders are then one and the same, and what changes there is
    no leakage but a model that is random at test.

    Args:
        cfg: Config with `val_dataloader` (dev) and `test_dataloader`; both are loaded once, into memory.
        checkpoint: File with the weights; the initial ones if None.
        batch_sizes: Batch sizes.
        num_repeats: How often each is scored: with other shuffles, and other draws of a model that draws.
        max_samples: Samples of either split, spread evenly over it; None for all.
        seed: Seed of initial weights, shuffles and draws.

    Returns:
        One result per batch size and order.

    Raises:
        ScoreError: If the config has no dev or no test set.
        FileNotFoundError: If the checkpoint does not exist.
        CheckpointError: If the checkpoint is refused or does not fit.
        ValueError: If a split lacks a class.
    """
    prepare_scoring(cfg)
    dev, test = (_split(cfg, key, max_samples) for key in ('val_dataloader', 'test_dataloader'))
    torch.manual_seed(seed)
    model = load_model(cfg, checkpoint)
    rng = np.random.default_rng(seed)
    alone = _score(model, dev, test, 1, 'sorted', rng)
    results, passes = [], [alone]
    for size in batch_sizes:
        for order in ORDERS:
            if size > 1 or order == ORDERS[0]:
                passes = [_score(model, dev, test, size, order, rng) for _ in range(num_repeats)]
            results.append(_summarise(passes, alone, test.is_live, batch_size=size, order=order))
    return results


def _split(cfg: Config, key: str, max_samples: int | None) -> _Split:
    """Load one split."""
    samples = load_samples(cfg, key, max_samples=max_samples)
    return _Split(samples, np.array([bool(sample['data_samples'].gt_label) for sample in samples]))


def _score(
    model: BaseModel, dev: _Split, test: _Split, batch_size: int, order: str, rng: np.random.Generator
) -> _Pass:
    """Score both splits in batches of one kind."""
    scores = []
    for split in (dev, test):
        # the published lists: one class after the other, frames of a video side by side
        rows = (
            np.argsort(split.is_live, kind='stable') if order == 'sorted' else rng.permutation(len(split.is_live))
        )
        scores.append(score_in_batches(model, split.samples, rows.tolist(), batch_size).numpy())
    return _Pass(scores[1], eer(scores[0], dev.is_live).threshold)


def _summarise(passes: list[_Pass], alone: _Pass, is_live: np.ndarray, **kind: Any) -> BatchingResult:
    """Compare repetitions with the first pass."""
    changes = np.stack([np.abs(scores - alone.scores) for scores, _ in passes])
    decided = alone.scores >= alone.threshold
    return BatchingResult(
        **kind,
        hter=float(np.mean([hter(scores, is_live, threshold=threshold) for scores, threshold in passes])),
        oracle_hter=float(np.mean([eer(scores, is_live).value for scores, _ in passes])),
        auc=float(np.mean([auc(scores, is_live) for scores, _ in passes])),
        mean_change=float(changes.mean()),
        largest_change=float(changes.max()),
        flipped=float(np.mean([(scores >= threshold) != decided for scores, threshold in passes])),
    )


def leakage_rows(results: Sequence[BatchingResult]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Lay results out as a table.

    Args:
        results: What `measure_batch_leakage` returned.

    Returns:
        Header and rows; rates in per cent, changes of scores as they are.
    """
    rates = ('HTER % (dev threshold)', 'HTER % (oracle)', 'AUC %')
    header = ('batch', 'order', *rates, 'mean change of a score', 'largest', 'decisions changed %')
    percent = {'hter', 'oracle_hter', 'auc', 'flipped'}
    rows = []
    for result in results:
        cells = [str(result.batch_size), result.order]
        for field in fields(result)[2:]:
            value = getattr(result, field.name)
            cells.append(f'{100 * value:.2f}' if field.name in percent else f'{value:.1e}')
        rows.append(tuple(cells))
    return header, rows
