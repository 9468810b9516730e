"""Prototypes of classes, one-sided: one of all live samples, and one of the spoofs of each domain.

Legend: M modalities (canonical order), B batch, C width of one modality's feature, K classes: live, and one spoof
class per domain.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.heads.base import sum_and_count
from mmfas.structures import LIVE, FusedFeatures, domain_code
from mmfas.utils.errors import InputError


def single_side_prototypical_loss(
    features: Tensor, prototypes: Tensor, targets: Tensor, seen: Tensor | None = None
) -> Tensor:
    """Compute the single-side prototypical loss, cross entropy of negative distances to prototypes.

    MMDG (arXiv 2402.19298), Eq. 6: `-log(exp(-|c - p_t|) / sum_d exp(-|c - p_d|))` with the plain Euclidean
    distance; features are not normalised. At distance 0 the gradient of that distance is 0.

    Args:
        features: Features (M, B, C).
        prototypes: Prototypes (M, K, C).
        targets: Class numbers (B,) in [0, K).
        seen: Boolean mask (M, K): other classes take no part, except in the rows of samples that are of such a
            class, whose loss must not be used. None for all.

    Returns:
        Losses (M, B).
    """
    logits = -torch.linalg.vector_norm(features[:, :, None] - prototypes[:, None], dim=-1)  # (M, B, K)
    if seen is not None:
        takes_part = seen[:, None] | ~seen[:, targets, None]
        logits = torch.where(takes_part, logits, -torch.inf)
    losses = functional.cross_entropy(logits.flatten(0, 1), targets.repeat(len(logits)), reduction='none')
    return losses.unflatten(0, (len(logits), -1))


class DomainClasses(nn.Module):
    """What a head needs that knows its training domains, and prototypes of classes if it asks for them.

    To be mixed into a head, whose state dict then holds `prototypes` (M, K, C) and `seen` (M, K). Class 0 holds
    the live samples of all domains, class 1 + i the spoofs of domain i. A prototype is the mean feature of its
    class, set from outside by `PrototypeRefreshHook`; no gradient flows into it.
    """

    modalities: tuple[str, ...]
    domains: tuple[str, ...]
    mask_unseen: bool
    prototypes: Tensor
    seen: Tensor
    codes: Tensor

    def set_domains(self, domains: Sequence[str]) -> None:
        """Note the names of the training domains.

        Args:
            domains: Names, each once.

        Raises:
            ValueError: If there are none, or one is repeated.
        """
        self.domains = (domains,) if isinstance(domains, str) else tuple(domains)
        if not self.domains or len(set(self.domains)) < len(self.domains):
            raise InputError(f'domains must name the training domains, each once, but got {self.domains}')
        codes = torch.tensor([domain_code(name) for name in self.domains])
        self.register_buffer('codes', codes, persistent=False)

    def make_prototypes(self, num_modalities: int, *, width: int, mask_unseen: bool) -> None:
        """Make empty prototypes.

        Args:
            num_modalities: Number M of modalities.
            width: Width C of a feature.
            mask_unseen: Leave classes without any sample out; if False they are prototypes at zero, as released,
                and a class that one refresh misses is averaged with zero.
        """
        self.mask_unseen = mask_unseen
        shape = (num_modalities, 1 + len(self.domains))
        self.register_buffer('prototypes', torch.zeros(*shape, width))
        self.register_buffer('seen', torch.full(shape, not mask_unseen))

    def classes_of(self, targets: Tensor, domain: Tensor | None) -> Tensor:
        """Number the classes of samples.

        Args:
            targets: Labels (B,), 1 live and 0 spoof.
            domain: Domain codes (B,).

        Returns:
            0 for live, 1 + i for a spoof of domain i; (B,).

        Raises:
            ValueError: If the domain of a sample is unknown or none of `domains`.
        """
        is_live = targets == LIVE
        return torch.where(is_live, 0, 1 + self.domain_numbers(domain, excused=is_live))

    def domain_numbers(self, domain: Tensor | None, *, excused: Tensor | None = None) -> Tensor:
        """Number the domains of samples.

        Args:
            domain: Domain codes (B,).
            excused: Boolean mask (B,) of samples whose domain does not matter; theirs may be any, with number 0.

        Returns:
            Numbers (B,) in the order of `domains`.

        Raises:
            ValueError: If the domain of a sample is unknown or none of `domains`.
        """
        if domain is None:
            raise InputError(
                f'{type(self).__name__} needs the domain of every training sample, but some have none; set '
                '`domain` of the data set or name it in its meta_file'
            )
        match = domain[:, None] == self.codes
        is_known = (match.any(1) if excused is None else match.any(1) | excused).all()
        message = (
            f'a training sample comes from a domain that is none of model.head.domains={self.domains}; add it'
        )
        if is_known.device.type != 'cpu':
            torch._assert_async(is_known, message)
        elif not is_known:
            raise InputError(message)
        return match.int().argmax(1)

    def prototype_terms(
        self, features: FusedFeatures, targets: Tensor, present: Tensor, *, domain: Tensor | None, weight: float
    ) -> tuple[dict[str, tuple[Tensor, Tensor]], Tensor]:
        """Compute the SSP loss of each modality over the samples that have one.

        Args:
            features: What the neck returned.
            targets: Labels (B,), 1 live and 0 spoof.
            present: Boolean mask (B, M).
            domain: Domain codes (B,).
            weight: Factor of every loss.

        Returns:
            Per-modality losses as (sum, count), and which samples have one (B, M).
        """
        classes = self.classes_of(targets, domain)
        losses = single_side_prototypical_loss(
            features.require_per_modality(), self.prototypes, classes, self.seen
        )
        counted = present & self.seen[:, classes].t()
        return sum_and_count(weight * losses, counted, self.modalities), counted

    @torch.no_grad()
    def class_sums(
        self, features: FusedFeatures, targets: Tensor, present: Tensor, *, domain: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Sum the features of each class, in double precision; sums of several batches add up.

        Args:
            features: What the neck returned.
            targets: Labels (B,), 1 live and 0 spoof.
            present: Boolean mask (B, M); an absent modality is not counted.
            domain: Domain codes (B,).

        Returns:
            Sums (M, K, C) and numbers of samples (M, K).
        """
        member = functional.one_hot(self.classes_of(targets, domain), self.seen.shape[1])
        weight = (member * present.t()[..., None]).double()  # (M, B, K)
        return weight.transpose(1, 2) @ features.require_per_modality().double(), weight.sum(1)

    @torch.no_grad()
    def forget_prototypes(self) -> None:
        """Start over: no class was seen. Loaded weights may hold prototypes of classes that these data lack."""
        self.prototypes.zero_()
        self.seen.zero_()

    @torch.no_grad()
    def update_prototypes(self, sums: Tensor, counts: Tensor, momentum: float) -> None:
        """Move the prototypes to new class means: `p <- momentum p + (1 - momentum) mean`.

        A class that was never seen before takes the mean as it is; one without a sample keeps its prototype.

        Args:
            sums: Sums of the features (M, K, C), over all processes.
            counts: Numbers of samples (M, K), over all processes.
            momentum: Weight of the old prototypes, where their class was seen before, in [0, 1].
        """
        found = counts > 0 if self.mask_unseen else torch.ones_like(self.seen)
        mean = sums / counts.clamp(min=1)[..., None]
        keep = torch.where(self.seen & found, momentum, (~found).double())[..., None]
        self.prototypes.copy_(keep * self.prototypes + (1 - keep) * mean)
        self.seen |= found
