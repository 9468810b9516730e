"""Take a network of feature maps apart: what runs before its stages, and the stages.

Legend: R rows of a batch, C channels, feat any shape of one row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmfas.models.backbones.base import BUILD_ERRORS
from mmfas.utils.errors import InputError

#: Side of the images that find out the width of the last stage, in pixels.
PROBE_SIZE = 64


#: Where models of timm keep what runs before, in and behind their stages; the first that fits a model counts.
TIMM_LAYOUTS: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    (('conv1', 'bn1', 'act1', 'maxpool'), ('layer1', 'layer2', 'layer3', 'layer4'), ()),  # residual networks
    (('stem',), ('stages',), ('norm_pre', 'head')),  # ConvNeXt
    (('conv_stem', 'bn1'), ('blocks',), ('conv_head', 'bn2', 'norm_head', 'act2')),  # EfficientNet, MobileNet
    (('stem',), ('s1', 's2', 's3', 's4'), ('final_conv',)),  # RegNet
)
#: Layers that run on tokens without knowing their rows and columns.
_POINTWISE = (nn.Dropout, nn.LayerNorm, nn.Identity)

#: Modules before the stages, and those of every stage, in order.
_Split = tuple[list[nn.Module], list[list[nn.Module]]]


def splits_of(cnn: nn.Module) -> Iterator[_Split]:
    """Guess how a network can be taken apart.

    A norm behind the last stage belongs to that stage. A stage of a DenseNet is a block and the transition behind
    it; one of ConvNeXt and of Swin begins with what makes the map smaller.

    Yields:
        Guesses, in an order that depends on the kind of network only; none may be right.
    """
    part: Any = cnn
    inner = getattr(cnn, 'timm_model', None)
    if inner is not None:
        yield from _timm_splits(inner)
    elif hasattr(cnn, 'downsample_layers'):
        stages = [[smaller, stage] for smaller, stage in zip(part.downsample_layers, part.stages, strict=True)]
        stages[0] = stages[0][1:]
        yield [part.downsample_layers[0]], _with_tail(stages, [] if pooled_norm(cnn) else [_last_norm(cnn)])
    elif is_token_network(cnn):
        smaller = [[], *([stage.downsample] for stage in part.stages[:-1])]
        stages = [[*first, *stage.blocks] for first, stage in zip(smaller, part.stages, strict=True)]
        yield [part.patch_embed, part.drop_after_pos], _with_tail(stages, [_last_norm(cnn)])
    else:
        yield _stem_of(cnn), _stages_of(cnn)


def _timm_splits(inner: Any) -> Iterator[_Split]:
    """Guess how a model of timm can be taken apart."""
    for before, within, behind in TIMM_LAYOUTS:
        if all(hasattr(inner, name) for name in within):
            found = [getattr(inner, name) for name in within]
            stages = list(found[0]) if len(found) == 1 else found
            yield _named(inner, before), _with_tail([[stage] for stage in stages], _named(inner, behind))


def _named(network: Any, names: Iterable[str]) -> list[nn.Module]:
    """Return those modules of a network that it has."""
    return [part for name in names if isinstance(part := getattr(network, name, None), nn.Module)]


def _with_tail(stages: list[list[nn.Module]], tail: list[nn.Module]) -> list[list[nn.Module]]:
    """Append modules to the last stage."""
    return [*stages[:-1], [*stages[-1], *tail]]


def _last_norm(cnn: Any) -> nn.Module:
    """Return the norm behind the last stage of ConvNeXt or Swin."""
    return getattr(cnn, f'norm{len(cnn.stages) - 1}')


def pooled_norm(cnn: Any) -> nn.Module | None:
    """Return the norm that a ConvNeXt runs on the average over positions, if it does so; else None."""
    return _last_norm(cnn) if getattr(cnn, 'gap_before_final_norm', False) else None


def is_token_network(cnn: Any) -> bool:
    """Tell whether a network is a Swin transformer: its stages take tokens and their rows and columns."""
    stages = getattr(cnn, 'stages', None)
    is_listed = isinstance(stages, nn.ModuleList) and all(hasattr(stage, 'blocks') for stage in stages)
    return is_listed and hasattr(cnn, 'patch_embed') and not getattr(cnn, 'use_abs_pos_embed', False)


def _stem_of(cnn: nn.Module) -> list[nn.Module]:
    """Return what mmpretrain's residual, mobile and dense networks run before their stages, in order."""
    has_stem = getattr(cnn, 'deep_stem', False) or hasattr(cnn, 'transitions')
    return _named(cnn, ('stem', 'maxpool') if has_stem else ('conv1', 'norm1', 'relu', 'maxpool'))


def _stages_of(cnn: nn.Module) -> list[list[nn.Module]]:
    """Return the stages of a network that lists them, each as modules in order; empty if it does not."""
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


def run_on_tokens(modules: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Run modules of a Swin transformer one after the other.

    Args:
        modules: What runs, in order: the embedding of patches, or blocks and what merges patches.
        x: Images (R, 3, H, W) if the first module embeds patches, else maps (R, C, h, w).

    Returns:
        Maps (R, C, h, w).
    """
    size: tuple[int, int] | None = None
    if not hasattr(modules[0], 'projection'):
        size = (x.shape[-2], x.shape[-1])
        x = x.flatten(2).transpose(1, 2)
    for module in modules:
        if isinstance(module, _POINTWISE):
            x = module(x)
            continue
        result = module(x) if size is None else module(x, size)
        x, size = result if isinstance(result, tuple) else (result, size)
    return x.transpose(1, 2).unflatten(2, size or (1, -1))


def remove_modules(cnn: nn.Module, unused: Iterable[nn.Module]) -> None:
    """Put modules that do nothing in place of some of a network, so that it has their weights no more."""
    gone = {id(module) for module in unused}
    for parent in list(cnn.modules()):
        for name, child in list(parent.named_children()):
            if id(child) in gone:
                setattr(parent, name, nn.Identity())


@torch.no_grad()
def probe(cnn: nn.Module) -> tuple[list[int], int | None]:
    """Run one image through a network.

    Args:
        cnn: The network.

    Returns:
        Channels of the map behind every stage (behind the network where it cannot be taken apart), and the number
        of the split of `splits_of` whose parts reproduce its last map; None if no split does.

    Raises:
        ValueError: If it cannot run a picture, or yields no feature map.
    """
    cnn.train(False)
    side = _probe_size(cnn)
    image = torch.linspace(-1, 1, 3 * side**2).view(1, 3, side, side)
    try:
        expected = cnn(image)[-1]
    except (*BUILD_ERRORS, RuntimeError) as error:
        reason = f'{type(error).__name__}: {error}'
        raise InputError(
            f'{type(cnn).__name__} cannot run a picture of {side} pixels: {reason}; take a convolutional '
            'network, or MultiStreamViT for a transformer'
        ) from error
    norm = pooled_norm(cnn)
    if expected.dim() != 4 and norm is None:
        raise InputError(
            f'{type(cnn).__name__} yields {tuple(expected.shape)}, not a feature map (B, C, h, w); '
            'take a convolutional network, or MultiStreamViT for a transformer'
        )
    _require_channels_first(cnn, expected)
    split, channels = next(_right_splits(cnn, image, expected), (None, [expected.shape[1]]))
    if norm is not None and split is None:
        raise InputError(f'{type(cnn).__name__} yields no feature map; set gap_before_final_norm=False')
    cnn.train(True)
    return channels, split


def _probe_size(cnn: Any) -> int:
    """Return the side of a picture whose last map holds a window of a Swin transformer."""
    windows = cnn.stages[-1].blocks[0].attn.window_size if is_token_network(cnn) else 0
    return max(PROBE_SIZE, 32 * windows)


def _require_channels_first(cnn: Any, found: Tensor) -> None:
    """Refuse models of timm whose maps are (B, h, w, C)."""
    inner = getattr(cnn, 'timm_model', None)
    info: Any = getattr(inner, 'feature_info', None)
    width = info.channels()[-1] if hasattr(info, 'channels') else getattr(inner, 'num_features', found.shape[1])
    if found.shape[1] != width and found.shape[-1] == width:
        raise InputError(
            f'{type(inner).__name__} of timm yields maps (B, h, w, C), but (B, C, h, w) is needed; of Swin '
            'transformers take mmpretrain.SwinTransformer'
        )


def _right_splits(cnn: nn.Module, image: Tensor, expected: Tensor) -> Iterator[tuple[int, list[int]]]:
    """Yield numbers of splits that reproduce the last map, and the channels of the map behind every stage."""
    run, norm = run_on_tokens if is_token_network(cnn) else run_in_order, pooled_norm(cnn)
    for number, (stem, stages) in enumerate(splits_of(cnn)):
        channels: list[int] = []
        try:
            x = run(stem, image)
            for stage in stages:
                x = run(stage, x)
                channels.append(x.shape[1])
            result = x if norm is None else norm(x.mean((-2, -1), keepdim=True)).flatten(1)
        except (AttributeError, IndexError, TypeError, ValueError, RuntimeError):  # the parts do not fit together
            continue
        if channels and torch.equal(result, expected):
            yield number, channels


def parts_of(cnn: nn.Module, split: int | None) -> dict[str, Sequence[nn.Module]]:
    """Name the parts of a network: `'stem'` where it has one, `'blocks:0'`, `'blocks:1'`, ..., `'norm'` if any.

    Args:
        cnn: The network.
        split: Number of the way in which it can be taken apart; None if it cannot.
    """
    if split is None:
        return {'blocks:0': [cnn]}
    stem, stages = list(splits_of(cnn))[split]
    parts: dict[str, Sequence[nn.Module]] = {'stem': stem} if stem else {}
    parts |= {f'blocks:{i}': stage for i, stage in enumerate(stages)}
    norm = pooled_norm(cnn)
    return parts if norm is None else {**parts, 'norm': [norm]}
