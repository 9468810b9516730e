"""Low-rank updates of linear layers: a large trunk is adapted by training a small part of it.

Legend: O width of the output, I width of the input, r rank.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.utils.errors import InputError

#: Names of the two factors behind the name of a layer.
DOWN, UP = 'lora_down', 'lora_up'


@dataclass(frozen=True)
class LoRAOptions:
    """Which layers get a low-rank update, and of what size.

    Args:
        targets: Ends of the names of linear layers, such as `'attn.qkv'`; `*` stands for anything.
        rank: Rank r of the update, at least 1.
        alpha: The update is multiplied by alpha / r; r if None, so that the factor is 1.
    """

    targets: Sequence[str]
    rank: int = 8
    alpha: float | None = None

    def __post_init__(self) -> None:
        names = [self.targets] if isinstance(self.targets, str) else list(self.targets)
        object.__setattr__(self, 'targets', tuple(names))
        is_rank = isinstance(self.rank, int) and not isinstance(self.rank, bool) and self.rank >= 1
        if not is_rank or not (self.alpha is None or 0 < self.alpha < math.inf) or not names:
            raise InputError(
                'lora needs targets, a rank of at least 1 and an alpha above 0, but got '
                f'{names}, {self.rank!r} and {self.alpha!r}'
            )

    @property
    def scale(self) -> float:
        """Factor of the update."""
        return 1.0 if self.alpha is None else self.alpha / self.rank

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> LoRAOptions:
        """Read the options of a config.

        Args:
            options: Keys of a config.

        Raises:
            ValueError: If a key is unknown or a value is out of range.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(options) - set(known))
        if unknown or 'targets' not in options:
            raise InputError(f'lora takes {", ".join(known)} and needs targets, but got {sorted(options)}')
        return cls(**options)


class LoRALinear(nn.Linear):
    """Linear layer with a trained low-rank update: `W x + b + scale * up (down x)`.

    From "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685), Eq. 3. `up` starts at zero, so
    step 0 equals the plain layer. Weight and bias keep their names, so that weights of the plain layer fit.

    Args:
        plain: Layer whose place it takes; its tensors are used, not copied.
        rank: Rank r.
        scale: Factor of the update.
    """

    def __init__(self, plain: nn.Linear, *, rank: int, scale: float) -> None:
        # on no device: the tensors come from the plain layer
        super().__init__(plain.in_features, plain.out_features, plain.bias is not None, device='meta')
        self.weight, self.bias = plain.weight, plain.bias
        like = plain.weight
        self.lora_down = nn.Parameter(torch.empty(rank, plain.in_features, device=like.device, dtype=like.dtype))
        self.lora_up = nn.Parameter(torch.zeros(plain.out_features, rank, device=like.device, dtype=like.dtype))
        nn.init.kaiming_uniform_(self.lora_down, a=math.sqrt(5))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., I) to (..., O)."""
        update = functional.linear(functional.linear(x, self.lora_down), self.lora_up)
        return super().forward(x) + self.scale * update


def add_lora(module: nn.Module, options: LoRAOptions) -> list[str]:
    """Put a low-rank update beside linear layers, and stop training everything else.

    Args:
        module: Network, changed in place.
        options: Which layers, and of what size.

    Returns:
        Names of the layers.

    Raises:
        ValueError: If a target names no linear layer; the message lists those that there are.
    """
    linear = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    found: dict[str, nn.Linear] = {}
    for target in options.targets:
        named = {name: layer for name, layer in linear.items() if fnmatchcase(f'.{name}', f'*.{target}')}
        if not named:
            there = sorted({re.sub(r'(?<=\.)\d+(?=\.)', '*', name) for name in linear})
            raise InputError(f'lora: {target!r} names no linear layer; there are {", ".join(there) or "none"}')
        found |= named
    module.requires_grad_(False)
    for name, layer in found.items():
        parent, _, own = name.rpartition('.')
        setattr(module.get_submodule(parent), own, LoRALinear(layer, rank=options.rank, scale=options.scale))
    return list(found)


def is_lora(name: str) -> bool:
    """Tell whether a tensor is a factor of an update, by its name."""
    return name.endswith((f'.{DOWN}', f'.{UP}'))


def merge_lora(state_dict: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Add the updates to the weights, so that the plain network computes the same, up to rounding.

    Args:
        state_dict: Weights of a network with updates.
        scale: Their factor.

    Returns:
        Weights of the plain network.
    """
    merged = {name: value for name, value in state_dict.items() if not is_lora(name)}
    for name, up in state_dict.items():
        if name.endswith(f'.{UP}'):
            stem = name.removesuffix(f'.{UP}')
            update = up.double() @ state_dict[f'{stem}.{DOWN}'].double()
            weight = merged[f'{stem}.weight']
            merged[f'{stem}.weight'] = (weight.double() + scale * update).to(weight.dtype)
    return merged


def without_lora(
    model: Mapping[str, Any], state_dict: Mapping[str, Tensor]
) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """Return config and weights of a model whose trunk has no updates any more, but computes the same.

    Args:
        model: Config of a model.
        state_dict: Its weights.
    """
    trunk = model.get('trunk')
    options = trunk.get('lora') if isinstance(trunk, Mapping) else None
    if not isinstance(trunk, Mapping) or options is None:
        return model, dict(state_dict)
    plain = {key: value for key, value in trunk.items() if key != 'lora'}
    return {**model, 'trunk': plain}, merge_lora(state_dict, LoRAOptions.of(options).scale)
