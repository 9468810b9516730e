"""What a rule that modulates gradients is given, and what it must give back.

Legend: M modalities that have a loss of their own, R entries that the rule reads, S segments. The R entries are
those of all trainable parameters, flattened and joined, or of those in which modalities own something.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from mmfas.engine.modulators.segments import Segments
from mmfas.structures import ModalityOffer
from mmfas.utils.errors import InputError


@dataclass(frozen=True)
class ModalityGradients:
    """The gradients of one step, equal on every process.

    With mixed precision `rows` and `main` carry the same positive factor, the loss scale.

    Args:
        modalities: Names of the modalities, canonical order.
        rows: Gradient of each modality's mean loss, shape (M, R).
        main: Gradient of the main losses, shape (R,); it is added to what the rule returns.
        losses: Mean loss of each modality, shape (M,), without loss scale.
        counts: Samples that have the modality, shape (M,), float; where it is 0, row and loss are 0.
        confidence: Confidence in each modality, mean over the samples that have it, shape (M,); 0 where none has;
            None where the model does not estimate it.
        segments: Which entries belong to one modality, as the modules declare.
        slices: Where each parameter lies in R.
        names: Name of each parameter in the model.
        scale: Loss scale that rows and main carry, scalar; None where there is none.
    """

    modalities: tuple[str, ...]
    rows: Tensor
    main: Tensor
    losses: Tensor
    counts: Tensor
    confidence: Tensor | None
    segments: Segments
    slices: tuple[slice, ...]
    names: tuple[str, ...]
    scale: Tensor | None = None

    @cached_property
    def segment_products(self) -> Tensor:
        """Inner products of the rows in each segment, shape (S, M, M), double precision."""
        return self.segments.products_of(self.rows)


class BaseModulator(ABC):
    """A rule that turns the gradients of several modalities into one direction.

    A rule must be positively homogeneous, `f(s * rows, s * main) = s * f(rows, main)` for s > 0, because of the
    loss scale: compare gradients with each other, and with an absolute number only if it is multiplied by `scale`.
    It must let NaN and infinity through, which the loss scaler looks for; and it must not read values on the host
    (`.item()`), which would stop the device.
    """

    #: Whether the rule reads gradients where no modality owns anything. A rule with False is given the entries of
    #: those parameters alone in which modalities own something, everything else takes the plain sum; that spares
    #: one backward pass per modality the gradients of all shared weights.
    reads_shared: bool = True
    #: How many modalities with a loss of their own the rule needs to do anything; 0 if it is meant to do nothing.
    min_modalities: int = 1
    #: Whether the rule acts only on parameters of which one modality owns something.
    needs_owned: bool = False

    @abstractmethod
    def modulate(self, gradients: ModalityGradients) -> Tensor:
        """Combine the rows.

        Args:
            gradients: The gradients of one step; not to be changed in place.

        Returns:
            Direction (R,) to which the gradient of the main losses is added.
        """

    def refusal(self, offer: ModalityOffer) -> str | None:
        """Say why this rule would change nothing in a model; asked before the first step.

        Args:
            offer: What the model has.

        Returns:
            What is missing and what to do; None if the rule can act, or that cannot be known.
        """
        rule, losses = type(self).__name__.removesuffix('Modulator'), offer.losses
        without = "train without a rule, optim_wrapper.type='OptimWrapper'"
        if losses is not None and len(losses) < self.min_modalities:
            if losses:
                return (
                    f'{rule} weighs modalities against each other, but {offer.head} gives a loss of its own to '
                    f'{", ".join(losses)} only; take {self.min_modalities} modalities or {without}'
                )
            return (
                f'{rule} has nothing to modulate: {offer.head} gives no loss per modality; {offer.remedy}, or '
                f'{without}'
            )
        if self.needs_owned and offer.owned == ():
            return (
                f'{rule} acts on parameters that belong to one modality, but no trained one does; give the trunk '
                "some (model.trunk.per_modality=('cls', 'pos')), take a neck that has some (UAdapterNeck or "
                f'AMANeck), train those that are frozen, or {without}'
            )
        return None

    def doubt(self, offer: ModalityOffer) -> str | None:
        """Say why this rule will hardly matter in a model, as a warning; None by default.

        Args:
            offer: What the model has.
        """
        return None

    def describe(self, gradients: ModalityGradients) -> dict[str, Tensor]:
        """Return scalars worth a curve, such as which modality was fast; nothing by default.

        Args:
            gradients: What `modulate` was given.

        Returns:
            Name -> scalar tensor, left on its device.
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, as tensors and plain values; nothing by default."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned.

        Args:
            state_dict: Result of `state_dict`.

        Raises:
            ValueError: If there is state, but this rule has none.
        """
        if state_dict:
            raise InputError(f'{type(self).__name__} has no state, but the checkpoint has {sorted(state_dict)}')
