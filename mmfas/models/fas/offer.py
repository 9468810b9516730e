"""What a model has for a rule that treats the gradients of its modalities apart."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from mmfas.models.backbones.base import BaseTrunk
from mmfas.models.heads.base import BaseFASHead
from mmfas.models.necks.base import BaseFusionNeck
from mmfas.structures import ModalityOffer


def offer_of(model: nn.Module, *, trunk: BaseTrunk, neck: BaseFusionNeck, head: BaseFASHead) -> ModalityOffer:
    """Collect what the parts of a model declare, of parameters that are trained.

    Args:
        model: The model, for the names of its parameters.
        trunk: Its trunk.
        neck: Its neck.
        head: Its head.
    """
    names = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
    before_head = (*_owned_names(trunk, names), *_owned_names(neck, names))
    remedy = {'remedy': head.modality_loss_remedy} if head.modality_loss_remedy else {}
    return ModalityOffer(
        losses=_losses(neck, head),
        trained=tuple(names.values()),
        owned=(*before_head, *_owned_names(head, names)),
        contested={None: None, True: before_head, False: ()}[head.mixes_modalities or neck.mixes_modalities],
        has_confidence=neck.gives_confidence,
        head=type(head).__name__,
        neck=type(neck).__name__,
        **remedy,
    )


def _owned_names(part: BaseTrunk | BaseFusionNeck | BaseFASHead, names: Mapping[int, str]) -> tuple[str, ...]:
    """List the trained parameters of which `part` says that a modality owns something, each once."""
    entries = [entry for owned in part.modality_parameters().values() for entry in owned]
    parameters = [entry[0] if isinstance(entry, tuple) else entry for entry in entries]
    return tuple(dict.fromkeys(names[id(p)] for p in parameters if id(p) in names))


def _losses(neck: BaseFusionNeck, head: BaseFASHead) -> tuple[str, ...] | None:
    """List the modalities that have a loss of their own; None where the head does not say."""
    given = head.modality_losses
    return None if given is None else tuple(m for m in neck.modalities if m in {*given, *neck.modality_losses})
