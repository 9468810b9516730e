"""Made-up scores whose true error rates are known: to try commands, and to see what few samples can show.

Live and attack scores are normal with deviation 1 before a logistic curve brings them to 0..1; how far apart their
means are follows from the equal error rate. Rates of the files differ from the true ones by chance alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from mmfas.evaluation.score_table import ScoreTable
from mmfas.utils.errors import InputError

__all__ = ['Simulation', 'simulate_scores']

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Simulation:
    """What scores are made of.

    Args:
        eer: Equal error rate of every instrument before any shift, above 0, at most 0.5.
        num_live: Live samples, at least 1.
        num_attacks: Samples of every instrument, at least 1.
        pais: Instruments.
        shift: How far all scores are moved, in standard deviations; above 0 everything looks more alive, as of
            another camera, and a threshold chosen without the shift no longer fits.
        frames: Frames of every video, at least 1; frames of one video differ little.
        domain: Domain of the samples.
        prefix: Beginning of the names of the videos, as samples of dev and test must differ.

    Raises:
        ValueError: If a value is out of range.
    """

    eer: float
    num_live: int = 300
    num_attacks: int = 300
    pais: Sequence[str] = ('print', 'replay')
    shift: float = 0.0
    frames: int = 1
    domain: str = 'simulated'
    prefix: str = ''

    def __post_init__(self) -> None:
        if not 0 < self.eer <= 0.5:
            raise InputError(f'eer must be above 0 and at most 0.5, got {self.eer}')
        if min(self.num_live, self.num_attacks, self.frames) < 1 or not np.isfinite(self.shift):
            raise InputError('num_live, num_attacks and frames must be at least 1, and shift finite')
        if not self.pais or len(set(self.pais)) != len(self.pais) or {'live', ''} & set(self.pais):
            raise InputError(f"pais must be different names other than 'live', got {list(self.pais)}")

    @property
    def true_rates(self) -> tuple[float, float]:
        """APCER and BPCER of all samples there could be, at the threshold 0.5 of unshifted scores."""
        half = -_NORMAL.inv_cdf(self.eer)
        return _NORMAL.cdf(self.shift - half), _NORMAL.cdf(-half - self.shift)


def simulate_scores(what: Simulation, seed: int = 0) -> ScoreTable:
    """Make scores.

    Args:
        what: What they are made of.
        seed: Seed of the draws, not negative.

    Returns:
        One score for every frame, videos one after another: live ones first, then every instrument.
    """
    rng = np.random.default_rng(seed)
    kinds = ['live'] * what.num_live + [pai for pai in what.pais for _ in range(what.num_attacks)]
    label = np.array([kind == 'live' for kind in kinds])
    half = -_NORMAL.inv_cdf(what.eer)
    means = np.where(label, half, -half) + what.shift + rng.standard_normal(len(kinds))
    logits = means[:, None] + 0.1 * rng.standard_normal((len(kinds), what.frames)) * (what.frames > 1)
    videos = [f'{what.prefix}{kind}_{number:05d}' for number, kind in enumerate(kinds)]
    ids = [f'{video}_{frame:03d}' for video in videos for frame in range(what.frames)]
    return ScoreTable(
        sample_id=np.array(ids),
        domain=np.full(len(ids), what.domain),
        subject=np.full(len(ids), ''),
        label=np.repeat(label.astype(np.int64), what.frames),
        score=1 / (1 + np.exp(-logits.ravel())),
        pai=np.repeat(kinds, what.frames),
        video=np.repeat(videos, what.frames),
    )
