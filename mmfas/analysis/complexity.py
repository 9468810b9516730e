"""Size and arithmetic of a model, and the inputs to measure them with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmfas.structures import LIVE, SPOOF, FASDataSample
from mmfas.utils.errors import WrongTypeError

#: Rows and columns where neither the config nor the caller says, in pixels.
DEFAULT_SIZE = (224, 224)


@dataclass(frozen=True)
class Complexity:
    """Size and arithmetic of a model.

    Args:
        trainable: Parameters with a gradient.
        total: All parameters.
        parts: Child module -> (trainable, all) parameters.
        flops: Floating point operations of scoring one sample; one multiply-add counts as two.
        image_size: Rows and columns of the images they were counted for, in pixels.
    """

    trainable: int
    total: int
    parts: Mapping[str, tuple[int, int]]
    flops: int
    image_size: tuple[int, int]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return asdict(self)


def image_size_of(model: nn.Module, size: tuple[int, int] | None = None) -> tuple[int, int]:
    """Return `size`, or what the trunk was made for, or 224 x 224.

    Args:
        model: Model, of ours or not.
        size: Rows and columns in pixels, if the caller knows.
    """
    return size or getattr(getattr(model, 'trunk', None), 'image_size', None) or DEFAULT_SIZE


def example_inputs(
    model: nn.Module, batch_size: int, *, size: tuple[int, int], seed: int = 0
) -> dict[str, Tensor]:
    """Draw a batch of noise as the data preprocessor would hand it over, everything present.

    Args:
        model: Model with `modalities`.
        batch_size: Number of samples B.
        size: Rows and columns in pixels.
        seed: Seed of the noise.

    Returns:
        Modality -> images (B, 3, H, W); `present` -> boolean mask (B, M); on the device of the model.

    Raises:
        TypeError: If the model is not a multi-modal one.
    """
    modalities = getattr(model, 'modalities', None)
    if modalities is None:
        raise WrongTypeError(
            f'expected a model with `modalities`, such as MultiModalFAS, but got {type(model).__name__}'
        )
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    inputs = {m: torch.randn(batch_size, 3, *size, generator=generator).to(device) for m in modalities}
    inputs['present'] = torch.ones(batch_size, len(modalities), dtype=torch.bool, device=device)
    return inputs


def example_samples(batch_size: int) -> list[FASDataSample]:
    """Make labelled samples: live and spoof in turn, from two domains.

    Args:
        batch_size: Number of samples.
    """
    samples = []
    for i in range(batch_size):
        label = LIVE if i % 2 == 0 else SPOOF
        pai = 'live' if label == LIVE else 'print'
        sample = FASDataSample(metainfo={'sample_id': str(i), 'domain': 'CS'[i // 2 % 2], 'pai': pai})
        sample.gt_label = label
        samples.append(sample)
    return samples


def _count(module: nn.Module) -> tuple[int, int]:
    """Return the numbers of trainable and of all parameters."""
    sizes = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return sum(size for size, trains in sizes if trains), sum(size for size, _ in sizes)


def measure_complexity(model: nn.Module, *, image_size: tuple[int, int] | None = None) -> Complexity:
    """Count parameters and operations of a model.

    Args:
        model: Model in evaluation mode.
        image_size: Rows and columns in pixels; what the trunk was made for if None.

    Returns:
        The counts. Operations are those of matrix products, convolutions and attention, as torch counts them.
    """
    size = image_size_of(model, image_size)
    inputs = example_inputs(model, 1, size=size)
    counter = FlopCounterMode(display=False)
    # The fused CPU kernel of attention is not in torch's table; the plain one is made of counted products.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(inputs, mode='tensor')
    trainable, total = _count(model)
    parts = {name: _count(child) for name, child in model.named_children() if _count(child)[1]}
    return Complexity(trainable, total, parts, flops=counter.get_total_flops(), image_size=size)
