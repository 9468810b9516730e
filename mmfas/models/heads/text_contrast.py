"""Compare features with the mean text of each class, and views of one face with each other (FLIP-MCL).

Legend: M modalities (canonical order), B batch, V views, K prompts, C width of the texts, D width of the joint
feature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmfas.models.heads.base import BaseFASHead, sum_and_count
from mmfas.models.heads.text_anchors import TextAnchors
from mmfas.models.layers.batch_norm import running_statistics
from mmfas.models.losses.base import BaseLoss
from mmfas.models.specs import FeatureSpec
from mmfas.registry import HEADS, LOSSES
from mmfas.structures import LIVE, FusedFeatures, LossTerms
from mmfas.utils.errors import InputError


def _exact(x: Tensor) -> Tensor:
    """Return x in single precision at least: steps of a cosine in bfloat16, times 100, would tie scores."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _without_autocast(tensor: Tensor) -> AbstractContextManager[Any]:
    """Compute as exactly as the tensors are; a device without memory has nothing to switch off."""
    return nullcontext() if tensor.is_meta else torch.autocast(tensor.device.type, enabled=False)


def simclr_losses(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Compute the contrastive loss of SimCLR (arXiv 2002.05709, Eq. 1) of two views of a batch.

    `-log(exp(cos(z_i, z_j) / t) / sum_k exp(cos(z_i, z_k) / t))` over all k but i, with z_j the other view of the
    same sample. It depends on the batch and is for training only. Products are in single precision at least, also
    under autocast.

    Args:
        first: Features (B, C) of one view.
        second: Features (B, C) of the other.
        temperature: Divisor t of the cosines, positive.

    Returns:
        Losses (2 B,), those of the first view first.
    """
    rows = functional.normalize(_exact(torch.cat([first, second])), dim=1)
    with _without_autocast(rows):
        cosines = rows @ rows.t()
    logits = cosines.masked_fill(torch.eye(len(rows), dtype=torch.bool, device=rows.device), -torch.inf)
    partners = torch.arange(len(rows), device=rows.device).roll(len(first))
    return functional.cross_entropy(logits / temperature, partners, reduction='none')


class ViewContrast(nn.Module):
    """A perceptron with two hidden layers on each view, and `simclr_losses` on its output.

    Args:
        width: Width C of the features.
        hidden_dims: Width of both hidden layers, with batch norm.
        out_dims: Width of the compared features.
        temperature: See `simclr_losses`.

    Raises:
        ValueError: If the temperature is not positive.
    """

    def __init__(
        self, width: int, *, hidden_dims: int = 4096, out_dims: int = 256, temperature: float = 0.1
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise InputError(f'temperature must be positive, but got {temperature}')
        self.temperature = temperature
        self.project = nn.Sequential(
            *(nn.Linear(width, hidden_dims), nn.BatchNorm1d(hidden_dims), nn.ReLU()),
            *(nn.Linear(hidden_dims, hidden_dims), nn.BatchNorm1d(hidden_dims), nn.ReLU()),
            nn.Linear(hidden_dims, out_dims),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compute the mean loss of two views (B, C); each has batch statistics of its own.

        A single sample has no statistics, so the running ones serve it; its loss is 0, as it has no negatives.
        """
        with running_statistics([self.project] if len(first) < 2 else []):
            return simclr_losses(self.project(first), self.project(second), self.temperature).mean()


def prompt_halves(
    targets: Tensor, num_anchors: Sequence[int], *, with_replacement: bool = False
) -> tuple[Tensor, Tensor]:
    """Draw two disjoint sets of the prompts of the true class of every sample.

    Args:
        targets: Labels (B,), 1 live and 0 spoof.
        num_anchors: Number of prompts of spoof and of live, in sum K, each at least 2.
        with_replacement: Draw the prompts of the first set with replacement, as the released code does: it has
            fewer different ones then, and the second, which is the rest, more.

    Returns:
        How often each prompt is in the first set and in the second (B, K).
    """
    num_spoof, num_live = num_anchors
    is_live = targets[:, None] == LIVE
    is_own = (torch.arange(num_spoof + num_live, device=targets.device) >= num_spoof) == is_live  # (B, K)
    size = torch.where(is_live, num_live, num_spoof)
    half = size // 2
    if with_replacement:
        most = max(num_anchors) // 2
        draws = torch.rand(len(targets), most, device=targets.device) * size
        picks = draws.long() + torch.where(is_live, num_spoof, 0)
        counted = (torch.arange(most, device=targets.device) < half).float()
        first = torch.zeros(is_own.shape, device=targets.device).scatter_add(1, picks, counted)
    else:
        order = (
            torch.rand(is_own.shape, device=targets.device).masked_fill(~is_own, torch.inf).argsort(1).argsort(1)
        )
        first = (is_own & (order < half)).float()
    return first, (is_own & (first == 0)).float()


def _refresh_texts(head: nn.Module, misfit: object) -> None:
    """Renew the texts after weights were read; a function of the module, so that copies renew their own."""
    if isinstance(head, TextContrastHead) and not head.training:
        head.remember_texts()


@HEADS.register_module()
class TextContrastHead(BaseFASHead):
    """Score by the cosine to the text of each class; views of one face are drawn together (FLIP-MCL).

    From "FLIP: Cross-domain Face Anti-spoofing with Language Guidance" (arXiv 2309.16649), for any number of
    modalities: with t_y the mean of the embedded prompts of class y and v the joint feature,
    `logits = exp(s) cos(v, t_y)`, and

    `L = CE(logits) + modality_loss_weight * CE(logits of each present modality) + contrast_weight * SimCLR(views)
    + consistency_weight * (cos(v_1, T_1) - cos(v_2, T_2))^2`

    with T_1 and T_2 the means of disjoint halves of the prompts of the true class, drawn for each sample. The two
    views come from `AddViews` in the training pipeline: with one further view, the sample itself is the first. At
    test the texts are constants: they are encoded once when the head is put into evaluation mode or reads weights.

    Differs from the paper: more than one modality (the paper has RGB alone), a loss for each of them. Differs from
    the released code: the halves are drawn without replacement (`with_replacement`).

    Args:
        anchors: Arguments of `TextAnchors`; FLIP trains the text tower (`train_text`) with its own prompts
            (`text_tower=dict(prompts='flip')`, `num_anchors=(6, 6)`).
        loss: Config of the loss of all logits, or the loss; cross entropy if None.
        modality_loss_weight: Factor of the loss of every modality, at least 0; 0 for none.
        contrast_weight: Factor of the SimCLR loss, at least 0; 0 for none.
        consistency_weight: Factor of the consistency loss, at least 0; 0 for none.
        logit_scale: Start of the learned factor exp(s) of the cosines, positive; 100 is that of CLIP.
        contrast: Arguments of `ViewContrast`.
        with_replacement: See `prompt_halves`.
        spec: What the neck yields; the model gives it. Where its widths are not C, linear layers stand before.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If a weight is negative, `logit_scale` is not positive, an option would have no effect, a class
            has a single prompt, or the neck has no per-modality features for their losses.
    """

    modality_loss_remedy = 'set model.head.modality_loss_weight above 0'
    texts: Tensor

    def __init__(
        self,
        anchors: Mapping[str, Any],
        *,
        loss: Mapping[str, Any] | BaseLoss | None = None,
        modality_loss_weight: float = 1.0,
        contrast_weight: float = 1.0,
        consistency_weight: float = 1.0,
        logit_scale: float = 100.0,
        contrast: Mapping[str, Any] | None = None,
        with_replacement: bool = False,
        spec: FeatureSpec | Mapping[str, Any],
        init_cfg: Any = None,
    ) -> None:
        super().__init__(spec=spec, init_cfg=init_cfg)
        weights = (modality_loss_weight, contrast_weight, consistency_weight)
        if min(weights) < 0 or logit_scale <= 0:
            raise InputError(
                f'weights must be at least 0 and logit_scale positive, but got {weights}, {logit_scale}'
            )
        if contrast and not contrast_weight or with_replacement and not consistency_weight:
            raise InputError(
                'contrast needs contrast_weight above 0 and with_replacement needs consistency_weight above 0 to '
                'have an effect; set them or leave the options out'
            )
        self.anchors = TextAnchors(**anchors)
        if consistency_weight and min(self.anchors.num_anchors) < 2:
            raise InputError(
                'the consistency loss compares two sets of prompts of a class, so anchors.num_anchors must be at '
                f'least 2, but got {self.anchors.num_anchors}; or set consistency_weight=0'
            )
        width = self.anchors.dims
        self.project = _projection(self.spec.fused_dims, width)
        self.modality_project = self._modality_projection(width) if modality_loss_weight else None
        self.contrast = ViewContrast(width, **(contrast or {})) if contrast_weight else None
        self.loss = LOSSES.build(loss or dict(type='CrossEntropyLoss'))
        self.modality_loss_weight, self.contrast_weight = modality_loss_weight, contrast_weight
        self.consistency_weight, self.with_replacement = consistency_weight, with_replacement
        self.log_scale = nn.Parameter(torch.tensor(math.log(logit_scale)))
        self.register_buffer('texts', torch.zeros(2, width), persistent=False)
        self.register_load_state_dict_post_hook(_refresh_texts)

    def _modality_projection(self, width: int) -> nn.Module | None:
        """Return what brings features of single modalities to the width of the texts; None where `project` does.

        One layer for both: then the projection of a mean is the mean of the projections.
        """
        dims = self._require_modality_features('modality_loss_weight')
        return None if dims == self.spec.fused_dims else _projection(dims, width)

    @property
    def needs_views(self) -> bool:
        """Whether a loss compares views."""
        return bool(self.contrast_weight or self.consistency_weight)

    @property
    def modality_losses(self) -> tuple[str, ...]:
        """All modalities, or none with `modality_loss_weight=0`."""
        return self.modalities if self.modality_loss_weight else ()

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config of a tiny head with random anchors."""
        return dict(
            type='TextContrastHead',
            anchors=dict(dims=16, num_anchors=(3, 2)),
            logit_scale=5.0,
            contrast=dict(hidden_dims=8, out_dims=4),
        )

    def train(self, mode: bool = True) -> TextContrastHead:
        """Set training mode; in evaluation mode the texts are constants."""
        super().train(mode)
        if not mode:
            self.remember_texts()
        return self

    def init_weights(self) -> None:
        """Initialise all parts, and read the files of anchors or of the text tower."""
        super().init_weights()
        _refresh_texts(self, None)

    @torch.no_grad()
    def remember_texts(self) -> None:
        """Encode the texts that scores are compared with."""
        self.texts = self.class_texts(self.anchors())

    def class_texts(self, anchors: Tensor) -> Tensor:
        """Average prompts (K, C) of each class, then make them unit vectors (2, C)."""
        means = torch.stack([_exact(own).mean(0) for own in anchors.split(self.anchors.num_anchors)])
        return functional.normalize(means, dim=1)

    def forward(self, features: FusedFeatures) -> Tensor:
        """Compute the joint logits (B, 2) in the order spoof, live."""
        texts = self.class_texts(self.anchors()) if self.training else self.texts
        return self._logits(self.project(features.fused), texts)

    def _logits(self, features: Tensor, texts: Tensor) -> Tensor:
        """Compare features (*, B, C) with the texts (2, C) of both classes."""
        # sums of products and no matrix product, which autocast would round
        cosines = functional.normalize(_exact(features), dim=-1)[..., None, :] * _exact(texts)
        return self.log_scale.exp() * cosines.sum(-1)

    def loss_terms(
        self, features: FusedFeatures, targets: Tensor, present: Tensor, *, domain: Tensor | None = None
    ) -> LossTerms:
        """Compute `cls`, `contrast` and `consistency`, and the loss of each modality where it is present."""
        anchors = self.anchors()
        texts = self.class_texts(anchors)
        joint = self.project(features.fused)
        main = {'cls': self.loss(self._logits(joint, texts), targets).mean()}
        per_modality = {}
        if self.modality_loss_weight:
            project = self.modality_project or self.project
            logits = self._logits(project(features.require_per_modality()), texts)
            losses = self.loss(logits.flatten(0, 1), targets.repeat(len(logits))).unflatten(0, (len(logits), -1))
            per_modality = sum_and_count(self.modality_loss_weight * losses, present, self.modalities)
        if self.needs_views:
            first, second = self._two_views(joint, features)
            if self.contrast is not None:
                main['contrast'] = self.contrast_weight * self.contrast(first, second)
            if self.consistency_weight:
                main['consistency'] = self.consistency_weight * self.consistency(first, second, anchors, targets)
        return LossTerms(main, per_modality, self.confidence_terms(features, present))

    def _two_views(self, joint: Tensor, features: FusedFeatures) -> tuple[Tensor, Tensor]:
        """Return two views (B, C): the last two, or the sample itself and the only further one."""
        if features.views is None:
            raise InputError('TextContrastHead needs FusedFeatures.views for its contrast and consistency losses')
        views = self.project(features.views[-2:])
        return (joint, views[0]) if len(views) == 1 else (views[0], views[1])

    def consistency(self, first: Tensor, second: Tensor, anchors: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean squared difference of the cosines of two views to halves of the texts of their class.

        Args:
            first: Features (B, C) of one view.
            second: Features (B, C) of the other.
            anchors: Prompts (K, C).
            targets: Labels (B,).
        """
        halves = prompt_halves(targets, self.anchors.num_anchors, with_replacement=self.with_replacement)
        given = _exact(anchors)
        with _without_autocast(given):
            one, other = (
                functional.cosine_similarity(
                    _exact(view), (counts / counts.sum(1, keepdim=True)).to(given) @ given, dim=1
                )
                for view, counts in zip((first, second), halves, strict=True)
            )
            return functional.mse_loss(one, other)


def _projection(dims: int, width: int) -> nn.Module:
    """Return a linear layer, or nothing where the width is right already."""
    return nn.Identity() if dims == width else nn.Linear(dims, width)
