"""Does an exported model score as the model does? Compared for every set of modalities and several batch sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from mmfas.evaluation.tables import text_table
from mmfas.models.fas import MultiModalFAS
from mmfas.structures import MODALITIES, FASDataSample
from mmfas.utils.errors import RunError

__all__ = ['BATCH_SIZES', 'Parity', 'compare_scores', 'draw_pictures']

#: Batch sizes that are compared.
BATCH_SIZES = (1, 2, 5)
#: Largest difference of a score that an export in float32 may have.
MAX_DIFFERENCE = 1e-5
#: The same of a logit, in parts of its size or of 1: where scores are 0 and 1 they say nothing.
MAX_LOGIT_DIFFERENCE = 1e-4

#: Pictures by modality (B, 3, H, W), uint8, and `present` (B, M) -> liveness (B,) and logits (B, 2).
Run: TypeAlias = Callable[[Mapping[str, np.ndarray], np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class ParityRow:
    """The largest differences in batches whose first sample has certain modalities.

    Args:
        modalities: What the first sample has; the next ones have other sets.
        scores: Batch size -> largest difference of a score.
        logits: Largest difference of a logit, divided by its size where that is above 1.
    """

    modalities: tuple[str, ...]
    scores: Mapping[int, float]
    logits: float


@dataclass(frozen=True)
class Parity:
    """How far the scores of an exported model are from those of the model.

    Args:
        rows: One per set of modalities.
    """

    rows: tuple[ParityRow, ...]

    @property
    def max_score(self) -> float:
        """Largest difference of a score."""
        return max(value for row in self.rows for value in row.scores.values())

    @property
    def max_logits(self) -> float:
        """Largest difference of a logit, divided by its size where that is above 1."""
        return max(row.logits for row in self.rows)

    def to_text(self) -> str:
        """Return the table for a terminal."""
        sizes = list(self.rows[0].scores)
        header = ['first sample has', *(f'score, batch {size}' for size in sizes), 'logits (relative)']
        rows = [
            ('+'.join(row.modalities), *(f'{row.scores[size]:.1e}' for size in sizes), f'{row.logits:.1e}')
            for row in self.rows
        ]
        return text_table(header, rows)

    def require(self) -> None:
        """Refuse what is not the model in float32.

        Raises:
            RuntimeError: If a score or logit differs by more than the bounds of this module, or is not a number.
        """
        if not (self.max_score <= MAX_DIFFERENCE and self.max_logits <= MAX_LOGIT_DIFFERENCE):
            raise RunError(
                f'the exported model differs from the model by {self.max_score:.1e} in a score and '
                f'{self.max_logits:.1e} in a logit, but at most {MAX_DIFFERENCE:.0e} and '
                f'{MAX_LOGIT_DIFFERENCE:.0e} are allowed, so it was not written:\n{self.to_text()}'
            )


def draw_pictures(
    modalities: Sequence[str], num: int, *, size: tuple[int, int], seed: int = 0
) -> dict[str, np.ndarray]:
    """Draw pictures of noise.

    Args:
        modalities: Names of the modalities.
        num: Number N of pictures of each.
        size: Rows and columns in pixels.
        seed: Seed of the noise.

    Returns:
        Modality -> pictures (N, 3, H, W), uint8.
    """
    generator = np.random.default_rng(seed)
    return {m: generator.integers(0, 256, (num, 3, *size), dtype=np.uint8) for m in modalities}


def compare_scores(
    run: Run,
    model: MultiModalFAS,
    pictures: Mapping[str, np.ndarray],
    *,
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> Parity:
    """Compare an exported model with the model, for every set of modalities and several batch sizes.

    Args:
        run: The exported model.
        model: The model, in evaluation mode.
        pictures: Modality -> pictures (N, 3, H, W), uint8; taken in turn.
        batch_sizes: Sizes of the batches; the samples of one have different sets.

    Returns:
        The largest differences.
    """
    num = len(model.modalities)
    patterns = [row for row in product((True, False), repeat=num) if any(row)]
    rows = []
    for first in range(len(patterns)):
        scores, worst = {}, 0.0
        for size in batch_sizes:
            present = np.array([patterns[(first + i) % len(patterns)] for i in range(size)])
            batch = {m: _take(values, first, size) for m, values in pictures.items()}
            score, logits = (torch.from_numpy(values).double() for values in run(batch, present))
            wanted_score, wanted_logits = _expected(model, batch, present)
            scores[size] = _largest(score - wanted_score)
            worst = max(worst, _largest((logits - wanted_logits) / wanted_logits.abs().clamp(min=1)))
        names = tuple(m for m, is_there in zip(model.modalities, patterns[first]) if is_there)
        rows.append(ParityRow(names, scores, worst))
    return Parity(tuple(rows))


def _take(values: np.ndarray, first: int, num: int) -> np.ndarray:
    """Take `num` rows from `first` on, starting again at the end."""
    return values[np.arange(first, first + num) % len(values)]


def _largest(difference: Tensor) -> float:
    """Return the largest absolute value; infinite if one is not a number, which no bound would catch."""
    return float(difference.abs().nan_to_num(nan=torch.inf).max())


@torch.no_grad()
def _expected(model: MultiModalFAS, batch: Mapping[str, np.ndarray], present: np.ndarray) -> tuple[Tensor, Tensor]:
    """Score a batch as `mmfas test` does: liveness (B,) and logits (B, 2), in float64."""
    columns = [MODALITIES.index(m) for m in model.modalities]
    samples = [FASDataSample() for _ in present]
    for sample, row in zip(samples, torch.from_numpy(present)):
        flags = torch.zeros(len(MODALITIES), dtype=torch.bool)
        flags[columns] = row
        sample.present = flags
    inputs = {m: torch.from_numpy(values) for m, values in batch.items()}
    scored = model.test_step({'inputs': inputs, 'data_samples': samples})
    logits = torch.stack([sample.pred_logits for sample in scored]).double()
    return torch.tensor([sample.pred_score for sample in scored], dtype=torch.float64), logits
