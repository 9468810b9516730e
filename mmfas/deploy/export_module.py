"""A model as one graph from pictures to score: nothing is left to do before it or after it.

Legend: M modalities of the model (canonical order), B batch.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from mmfas.models.data_preprocessor import FASDataPreprocessor
from mmfas.models.fas import MultiModalFAS
from mmfas.models.heads.base import liveness
from mmfas.utils.errors import WrongTypeError

__all__ = ['ExportModule']


class ExportModule(nn.Module):
    """Score pictures as `FASDataPreprocessor` and `MultiModalFAS.predict` do together.

    It holds a copy of the model: in evaluation mode, in float32, on the CPU. It looks at no values, so that its
    graph serves every batch size. Two things are left to the caller. A sample without any modality, which
    `predict` refuses, gets a score that means nothing. And the score is in float32, where logits more than 17
    apart all give 0 or 1: rank by the logits, or turn them into scores in float64, as `OnnxRuntime` does.

    Args:
        model: The model; it is not changed.

    Raises:
        TypeError: If the model is of another kind, or has a preprocessor that is no `FASDataPreprocessor`.
    """

    def __init__(self, model: MultiModalFAS) -> None:
        super().__init__()
        if not isinstance(model, MultiModalFAS) or not isinstance(model.data_preprocessor, FASDataPreprocessor):
            parts = f'{type(model).__name__} with {type(getattr(model, "data_preprocessor", None)).__name__}'
            raise WrongTypeError(f'only a MultiModalFAS with a FASDataPreprocessor can be exported, not {parts}')
        self.model = copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
        self.modalities = self.model.modalities

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs in order: the modalities, then `present`."""
        return (*self.modalities, 'present')

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Score a batch.

        Args:
            inputs: Pictures of each modality (B, 3, H, W), uint8, RGB, then `present`, boolean mask (B, M). What
                the picture of an absent modality shows does not matter.

        Returns:
            Liveness (B,) in [0, 1], and logits (B, 2) in the order spoof, live; both float32.
        """
        *pictures, present = inputs
        images = self.model.data_preprocessor.normalise(torch.stack(pictures), present)
        batch = dict(zip(self.modalities, images.unbind(0), strict=True))
        logits = self.model.head(self.model.extract_feat({**batch, 'present': present}))
        return liveness(logits), logits
