"""Take a convolutional network of mmpretrain apart: what runs before its stages, and the stages.

Legend: R rows of a batch, C channels, feat any shape of one row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from mmfas.models.backbones.base import BUILD_ERRORS
from mmfas.utils.errors import InputError

#: Side of the images that find out the width of the last stage, in pixels.
PROBE_SIZE = 64


def stem_of(cnn: nn.Module) -> list[nn.Module]:
    """Return what mmpretrain's residual, mobile and dense networks run before their stages, in order."""
    has_stem = getattr(cnn, 'deep_stem', False) or hasattr(cnn, 'transitions')
    names = ('stem', 'maxpool') if has_stem else ('conv1', 'norm1', 'relu', 'maxpool')
    return [getattr(cnn, name) for name in names if hasattr(cnn, name)]


def stages_of(cnn: nn.Module) -> list[list[nn.Module]]:
    """Return the stages of a network that lists them, each as modules in order; empty if it does not.

    A stage of a DenseNet is a block and the transition behind it.
    """
    blocks, transitions = (getattr(cnn, name, None) for name in ('stages', 'transitions'))
    if isinstance(blocks, nn.ModuleList) and isinstance(transitions, nn.ModuleList):
        return [list(pair) for pair in zip(blocks, transitions, strict=True)]
    listed = getattr(cnn, 'res_layers', None) or getattr(cnn, 'layers', None) or []
    return [[getattr(cnn, stage) if isinstance(stage, str) else stage] for stage in listed]


def run_in_order(modules: Iterable[nn.Module], x: Tensor) -> Tensor:
    """Run modules one after the other on (R, *feat)."""
    for module in modules:
        x = module(x)
    return x


def remove_modules(cnn: nn.Module, unused: Iterable[nn.Module]) -> None:
    """Put modules that do nothing in place of some of a network, so that it has their weights no more."""
    gone = {id(module) for module in unused}
    for parent in list(cnn.modules()):
        for name, child in list(parent.named_children()):
            if id(child) in gone:
                setattr(parent, name, nn.Identity())


@torch.no_grad()
def probe(cnn: nn.Module) -> tuple[list[int], bool]:
    """Run one image through a network.

    Args:
        cnn: The network.

    Returns:
        Channels of the map behind every stage (behind the network where it cannot be taken apart), and whether
        stem and stages reproduce its last map.

    Raises:
        ValueError: If it cannot run a picture, or yields no feature map.
    """
    cnn.train(False)
    image = torch.linspace(-1, 1, 3 * PROBE_SIZE**2).view(1, 3, PROBE_SIZE, PROBE_SIZE)
    try:
        expected = cnn(image)[-1]
    except (*BUILD_ERRORS, RuntimeError) as error:
        reason = f'{type(error).__name__}: {error}'
        raise InputError(f'{type(cnn).__name__} cannot run a picture of {PROBE_SIZE} pixels: {reason}') from error
    if expected.dim() != 4:
        raise InputError(
            f'{type(cnn).__name__} yields {tuple(expected.shape)}, not a feature map (B, C, h, w); '
            'take a convolutional network, or MultiStreamViT for a transformer'
        )
    channels: list[int] = []
    try:
        image = run_in_order(stem_of(cnn), image)
        for stage in stages_of(cnn):
            image = run_in_order(stage, image)
            channels.append(image.shape[1])
        is_split = bool(channels) and torch.equal(image, expected)
    except (TypeError, RuntimeError):  # the guessed parts do not fit together
        is_split = False
    cnn.train(True)
    return (channels, True) if is_split else ([expected.shape[1]], False)


def parts_of(cnn: nn.Module, *, is_split: bool) -> dict[str, Sequence[nn.Module]]:
    """Name the parts of a network: `'stem'` where it has one, and `'blocks:0'`, `'blocks:1'`, ..."""
    if not is_split:
        return {'blocks:0': [cnn]}
    stem = stem_of(cnn)
    stages: dict[str, Sequence[nn.Module]] = {f'blocks:{i}': stage for i, stage in enumerate(stages_of(cnn))}
    return {'stem': stem, **stages} if stem else stages
