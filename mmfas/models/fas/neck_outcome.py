"""What else the model takes from its neck in training: features of further views, and losses of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import Tensor

from mmfas.models.fas.batch import Inputs
from mmfas.structures import FusedFeatures, LossTerms


def with_views(
    features: FusedFeatures,
    extract_feat: Callable[..., FusedFeatures],
    inputs_view: Inputs,
    *,
    domain: Tensor | None,
    on_host: Tensor | None,
) -> FusedFeatures:
    """Add the joint features of further views, all of them computed as one batch.

    Args:
        features: What the neck made of the batch.
        extract_feat: `MultiModalFAS.extract_feat`.
        inputs_view: Modality -> images (V*B, 3, H, W), view by view; `present` -> boolean mask (V*B, M).
        domain: Domain codes (B,), or None.
        on_host: Mask (B, M) in the host's memory, that of every view, or None.

    Returns:
        The same with `views` (V, B, D).
    """
    batch_size = len(features.fused)
    num = len(inputs_view['present']) // batch_size
    domain = None if domain is None else domain.repeat(num)
    on_host = None if on_host is None else on_host.repeat(num, 1)
    fused = extract_feat(inputs_view, domain, on_host=on_host).fused
    return replace(features, views=fused.unflatten(0, (num, batch_size)))


def with_neck_losses(terms: LossTerms, features: FusedFeatures, counts: Mapping[str, Tensor]) -> LossTerms:
    """Add the losses of a neck to those of the head.

    Args:
        terms: Losses of the head.
        features: What the neck made of the batch, with its own losses.
        counts: Modality -> number of samples that have it, a scalar.

    Returns:
        All losses; those of the neck for the whole batch are called `aux_<name>`.
    """
    terms = terms.with_modality_losses(features.modality_losses, counts)
    aux = {f'aux_{name}': value for name, value in features.aux_losses.items()}
    return replace(terms, main={**terms.main, **aux}) if aux else terms
