"""Rename foreign weights of mobile networks to the names that `MultiStreamCNN` reads.

What belongs to the classifier is left out. Whether a file is complete is seen when a trunk reads it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from mmfas.utils.errors import InputError

#: Blocks of every stage of EfficientNet-Lite0.
LITE0_REPEATS = (1, 2, 2, 3, 3, 4, 1)
#: Blocks of every stage of MobileNetV2.
MOBILENET_V2_REPEATS = (1, 2, 3, 4, 3, 3, 1)
_LITE0_OUTER = {'_conv_stem': 'conv_stem', '_bn0': 'bn1', '_conv_head': 'conv_head', '_bn1': 'bn2'}
_LITE0_FIRST = {'_depthwise_conv': 'conv_dw', '_bn1': 'bn1', '_project_conv': 'conv_pw', '_bn2': 'bn2'}
_LITE0_INNER = {
    '_expand_conv': 'conv_pw', '_bn0': 'bn1', '_depthwise_conv': 'conv_dw', '_bn1': 'bn2',
    '_project_conv': 'conv_pwl', '_bn2': 'bn3',
}  # fmt: skip


def convert_efficientnet_lite0(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert EfficientNet-Lite0 from the names of efficientnet-lite-pytorch.

    Args:
        state_dict: Names such as `_blocks.3._expand_conv.weight` -> tensors.

    Returns:
        Names of `mmpretrain.TIMMBackbone(model_name='tf_efficientnet_lite0')` -> tensors.

    Raises:
        ValueError: If a name does not belong to this network.
    """
    places = _places(LITE0_REPEATS, first=0)

    def rename(name: str) -> str | None:
        block = re.fullmatch(r'_blocks\.(\d+)\.(\w+)\.(\w+)', name)
        if block is None:
            layer, _, kind = name.partition('.')
            return f'timm_model.{_LITE0_OUTER[layer]}.{kind}' if layer in _LITE0_OUTER else None
        number, layers = int(block[1]), _LITE0_INNER if int(block[1]) else _LITE0_FIRST
        if number not in places or block[2] not in layers:
            return None
        stage, place = places[number]
        return f'timm_model.blocks.{stage}.{place}.{layers[block[2]]}.{block[3]}'

    return _renamed(
        state_dict, rename, classifier='_fc.', what='an EfficientNet-Lite0 of efficientnet-lite-pytorch'
    )


def convert_mobilenet_v2(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert MobileNetV2 from the names `features.N.conv.M`, layers of a block counted through with activations.

    Args:
        state_dict: Names such as `features.2.conv.3.weight` -> tensors.

    Returns:
        Names of `mmpretrain.MobileNetV2` -> tensors.

    Raises:
        ValueError: If a name does not belong to this network.
    """
    places = _places(MOBILENET_V2_REPEATS, first=1)
    kinds = ('conv', 'bn')  # and an activation, which has no weights

    def rename(name: str) -> str | None:
        outer = re.fullmatch(r'features\.(0|18)\.([01])\.(\w+)', name)
        if outer is not None:
            return f'{"conv1" if outer[1] == "0" else "conv2"}.{kinds[int(outer[2])]}.{outer[3]}'
        block = re.fullmatch(r'features\.(\d+)\.conv\.(\d+)\.(\w+)', name)
        if block is None or int(block[1]) not in places or int(block[2]) % 3 == 2:
            return None
        (stage, place), (layer, kind) = places[int(block[1])], divmod(int(block[2]), 3)
        return f'layer{stage + 1}.{place}.conv.{layer}.{kinds[kind]}.{block[3]}'

    return _renamed(
        state_dict, rename, classifier='classifier.', what='a MobileNetV2 with names features.N.conv.M'
    )


def _places(repeats: Iterable[int], *, first: int) -> dict[int, tuple[int, int]]:
    """Map the number of a block, counted through, to its stage and its place there."""
    listed = ((stage, place) for stage, count in enumerate(repeats) for place in range(count))
    return dict(zip(itertools.count(first), listed))


def _renamed(
    state_dict: Mapping[str, Tensor], rename: Callable[[str], str | None], *, classifier: str, what: str
) -> dict[str, Tensor]:
    """Rename all tensors but those of the classifier.

    Raises:
        ValueError: If a name is not understood, or nothing is left.
    """
    names = {name: rename(name) for name in state_dict if not name.startswith(classifier)}
    unknown = [name for name, ours in names.items() if ours is None]
    if unknown or not names:
        raise InputError(
            f'this is not {what}: {len(names) - len(unknown)} names were understood, {len(unknown)} not, such as '
            f'{unknown[:5]}'
        )
    return {ours: state_dict[name] for name, ours in names.items() if ours is not None}
