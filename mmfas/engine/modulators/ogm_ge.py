"""OGM-GE: the dominant modality is slowed down, and noise is added for generalisation.

Legend: M modalities, S segments (tensors that one modality owns), R entries that the rule reads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmfas.engine.modulators.base import BaseModulator, ModalityGradients
from mmfas.engine.modulators.segments import Segments, ratio
from mmfas.registry import GRADIENT_MODULATORS
from mmfas.utils.errors import InputError


@GRADIENT_MODULATORS.register_module()
class OGMGE(BaseModulator):
    """Scale the gradient of what a dominant modality owns, and add noise of the gradient's own size.

    From "Balanced Multimodal Learning via On-the-fly Gradient Modulation" (arXiv 2203.15332), Eq. 8-11. With s_m
    the score of the right class in modality m, `rho_m = s_m / s_other` and `k_m = 1 - tanh(alpha rho_m)` where
    `rho_m > 1`, else 1, every tensor owned by m moves along `k_m g + noise`, g the gradient of all losses and the
    noise normal with the standard deviation of g in this tensor. What no modality owns takes the plain sum.

    Differs from the paper: s_m is `exp(-mean loss)`, the geometric instead of the arithmetic mean of the right
    class's probability where the loss is the cross entropy; with three modalities s_other is the mean over the
    others that samples have; no 1e-8 is added to the deviation, as gradients carry the loss scale.

    The noise is drawn from the seed and the number of the step: the same on every process and in a resumed run.

    Args:
        alpha: Strength of the modulation, at least 0.
        noise: Factor of the noise, at least 0; 0 is OGM without GE.
        loss_weight: Factor that the losses of the modalities carry (`modality_loss_weight` of the head), above 0.
        seed: Seed of the noise, not negative.

    Raises:
        ValueError: If a number is out of its range, or `alpha` and `noise` are both 0.
    """

    reads_shared = False
    min_modalities = 2
    needs_owned = True

    def __init__(self, *, alpha: float = 0.3, noise: float = 1.0, loss_weight: float = 1.0, seed: int = 0) -> None:
        if alpha < 0 or noise < 0 or loss_weight <= 0 or seed < 0:
            raise InputError(
                'alpha, noise and seed must not be negative and loss_weight must be above 0, got '
                f'alpha={alpha}, noise={noise}, seed={seed}, loss_weight={loss_weight}'
            )
        if not alpha and not noise:
            raise InputError(
                "alpha=0 and noise=0 change nothing; set one of them or take modulator=dict(type='Sum')"
            )
        self.alpha = alpha
        self.noise = noise
        self.loss_weight = loss_weight
        self.seed = seed
        self.num_steps = 0

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config that builds this rule."""
        return {'type': 'OGMGE', 'alpha': 0.5}

    def modulate(self, gradients: ModalityGradients) -> Tensor:
        """Return the modulated direction without the main gradient, shape (R,)."""
        segments, direction = gradients.segments, gradients.rows.sum(0)
        head = slice(0, segments.num_entries)
        main, total = gradients.main[head], gradients.main[head] + direction[head]
        owned = segments.owners >= 0
        scale = torch.where(owned, self._scales(gradients)[segments.owners.clamp(min=0)], 1.0)
        modulated = segments.spread(scale.to(total.dtype)) * total
        if self.noise:
            spread = deviation(segments, total) * owned
            modulated = modulated + self.noise * segments.spread(spread) * self._draw(total)
        self.num_steps += 1
        direction[head] = modulated - main
        return direction

    def describe(self, gradients: ModalityGradients) -> dict[str, Tensor]:
        """Return `scale_<modality>`, what the gradient of its tensors was multiplied with."""
        scales = self._scales(gradients)
        return {f'scale_{name}': scales[i] for i, name in enumerate(gradients.modalities)}

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps."""
        return {'num_steps': self.num_steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.num_steps = state_dict['num_steps']

    def _scales(self, gradients: ModalityGradients) -> Tensor:
        """Return the factor k of each modality (M,)."""
        there = (gradients.counts > 0).to(gradients.losses.dtype)
        score = there * torch.exp(-gradients.losses / self.loss_weight)
        others = ratio(score.sum() - score, (there.sum() - there).clamp(min=0))
        dominance = ratio(score, others)
        return torch.where(dominance > 1, 1 - torch.tanh(self.alpha * dominance), torch.ones_like(dominance))

    def _draw(self, like: Tensor) -> Tensor:
        """Draw standard normal noise of the shape of `like`."""
        generator = torch.Generator(like.device).manual_seed((self.seed << 32) + self.num_steps)
        return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)


def deviation(segments: Segments, entries: Tensor) -> Tensor:
    """Compute the standard deviation (S,) of the entries (Q,) of each segment, around their mean."""
    mean = segments.sum(entries) / segments.lengths
    return (segments.sum((entries - segments.spread(mean)).square()) / segments.lengths).sqrt()
