"""Confidence in a token: how little it varies under dropout (MMDG, arXiv 2402.19298)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mmfas.utils.errors import InputError

SAMPLING_MODES = ('closed_form', 'sampled')


SPREADS = ('std', 'variance')


class TokenConfidence(nn.Module):
    """Confidence in tokens: `exp(-rate * spread)` under dropout, 1 for sure and near 0 for unsure ones.

    From MMDG (arXiv 2402.19298), uncertainty estimation module: the spread of `num_samples` dropped-out copies of
    an activation x. Dropout scales what it keeps by 1 / (1 - p), so in expectation the variance is
    `x^2 p / (1 - p)`: it measures the size of activations. The result carries no gradient.

    The two modes are different estimators. `'sampled'` has the distribution of the released code: with k of n
    copies kept, the unbiased variance of the copies is `x^2 k (n - k) / ((1 - p)^2 n (n - 1))`, so one binomial
    number per element replaces the n copies. Its variance is right on average, but the mean of its exp is not the
    exp of the closed form: 2.7 % more at |x| = 1, 10 % at 2. As released it draws again in every pass, at test
    too; a score is then not reproducible and depends on the position in the batch.

    Args:
        mode: `'closed_form'` (deterministic) or `'sampled'`.
        spread: `'std'` as released, or `'variance'` as the paper writes.
        rate: Steepness, at least 0; with 0 every confidence is 1.
        dropout: Dropout probability p, in (0, 1).
        num_samples: Number n of copies of mode `'sampled'`, at least 2.
        mean_first: Average the spread over the channels before the exp, which gives the paper's shape
            (B, L, 1); else the exp is averaged, as released.

    Raises:
        ValueError: If an option is unknown or out of range.

    >>> TokenConfidence()(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3])
    """

    cumulative: Tensor
    deviation: Tensor

    def __init__(
        self,
        mode: str = 'closed_form',
        *,
        spread: str = 'std',
        rate: float = 2.25,
        dropout: float = 0.3,
        num_samples: int = 20,
        mean_first: bool = False,
    ) -> None:
        super().__init__()
        if mode not in SAMPLING_MODES or spread not in SPREADS:
            raise InputError(
                f'mode must be one of {SAMPLING_MODES} and spread of {SPREADS}, but got {mode!r} and {spread!r}'
            )
        if rate < 0 or not 0 < dropout < 1 or num_samples < 2:
            raise InputError(
                'rate must be at least 0, dropout in (0, 1) and num_samples at least 2, but got '
                f'{rate}, {dropout} and {num_samples}'
            )
        self.mode, self.spread, self.rate, self.mean_first = mode, spread, rate, mean_first
        self.odds = dropout / (1 - dropout)
        cumulative, deviation = _binomial_tables(num_samples, 1 - dropout)
        self.register_buffer('cumulative', cumulative, persistent=False)
        self.register_buffer('deviation', deviation, persistent=False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Return the confidence (...), in (0, 1], in tokens (..., C)."""
        spread = self._spread(x)
        if self.mean_first:
            return spread.mean(-1).mul_(-self.rate).exp_()
        return spread.mul_(-self.rate).exp_().mean(-1)

    def _spread(self, x: Tensor) -> Tensor:
        """Return standard deviation or variance of every element under dropout."""
        if self.mode == 'sampled':
            draws = torch.rand(x.shape, dtype=self.cumulative.dtype, device=x.device)
            std = x.abs() * self.deviation[torch.bucketize(draws, self.cumulative, right=True, out_int32=True)]
        else:
            std = x.abs().mul_(math.sqrt(self.odds))
        return std if self.spread == 'std' else std.square_()


def _binomial_tables(num: int, keep: float) -> tuple[Tensor, Tensor]:
    """Tabulate a binomial number k of `num`: P(K <= k) for k < num, and the deviation of an activation of 1."""
    mass = [math.comb(num, k) * keep**k * (1 - keep) ** (num - k) for k in range(num + 1)]
    deviation = [math.sqrt(k * (num - k) / (num * (num - 1))) / keep for k in range(num + 1)]
    cumulative = torch.tensor(mass, dtype=torch.float64).cumsum(0)[:-1]
    return cumulative.float(), torch.tensor(deviation)
