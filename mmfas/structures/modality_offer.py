"""What a model has for a rule that treats the gradients of its modalities apart."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModalityOffer:
    """What a rule that modulates gradients finds in a model; None where that is not known before a batch.

    Args:
        losses: Modalities that have a loss of their own.
        trained: Names of all trained parameters.
        owned: Names of those of which one modality owns something.
        contested: Names of those of `owned` that the losses of other modalities may reach.
        has_confidence: Whether the model tells how far each modality is to be trusted.
        head: Class of what gives the losses, for messages.
        neck: Class of what joins the modalities, for messages.
        remedy: How to get losses per modality where there are none.
    """

    losses: tuple[str, ...] | None = None
    trained: tuple[str, ...] | None = None
    owned: tuple[str, ...] | None = None
    contested: tuple[str, ...] | None = None
    has_confidence: bool | None = None
    head: str = 'the model'
    neck: str = 'the model'
    remedy: str = 'take a head that has them, such as LinearFASHead with modality_loss_weight=0.3 or PrototypeHead'
