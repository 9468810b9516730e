"""How layers learn that several backward passes will go through the graph of one forward pass."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class RepeatAware(Protocol):
    """A layer that can save work if it knows that several backward passes go through its graph.

    Values and gradients must be the same either way; only what is kept between the passes may differ.
    """

    #: Whether several backward passes are to come.
    expects_repeats: bool


def expect_repeats(model: nn.Module, expected: bool = True) -> None:
    """Tell all layers of a model that are `RepeatAware` whether several backward passes are to come."""
    for layer in model.modules():
        if isinstance(layer, RepeatAware):
            layer.expects_repeats = expected
