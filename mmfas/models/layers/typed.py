"""The one place where torch's loose types of submodules become exact."""

from __future__ import annotations

from typing import TypeVar, cast

from torch import nn

Layer = TypeVar('Layer', bound=nn.Module)


def modules_of(layers: nn.ModuleList, kind: type[Layer]) -> list[Layer]:
    """List the modules of a `ModuleList` as what they are; torch calls every one of them an `nn.Module`.

    Args:
        layers: The list.
        kind: Class that all of them have; not checked.
    """
    return cast('list[Layer]', list(layers))
