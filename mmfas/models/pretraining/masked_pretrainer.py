"""Masked and cross-modal pretraining of a trunk, without labels.

Legend: M modalities (canonical order), B batch, P patches of an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor
from torch.nn import functional

from mmfas.models.backbones.base import BaseTrunk
from mmfas.models.data_preprocessor import build_preprocessor
from mmfas.models.fas.batch import Inputs, stack_inputs
from mmfas.models.fas.train_step import fas_train_step
from mmfas.models.pretraining.decoder import CrossModalDecoder
from mmfas.registry import BACKBONES, MODELS, SCOPE
from mmfas.structures import MODALITIES, FASDataSample, LossTerms, check_modalities
from mmfas.utils.errors import InputError, UnknownKeyError

__all__ = ['MaskedMultiModalPretrainer']

#: Added to the variance of a patch: noise of a plain patch (a grey level or two) is not blown up to full contrast.
_PATCH_EPS = 1e-3
#: Ways to run the model.
_MODES = ('tensor', 'loss', 'predict', 'loss_terms')


@MODELS.register_module()
class MaskedMultiModalPretrainer(BaseModel):
    """Train a trunk to let a small decoder restore what was masked, after MAE (He et al., arXiv 2111.06377) and
    MultiMAE (Bachmann et al., arXiv 2204.01678).

    Masked patches are grey (0 after normalisation) when the trunk sees them. In some samples the decoder sees no
    token of one modality and has to restore it from the others. `DrawPatchMasks` draws both; nothing is drawn
    here, and no label is read.

    Differs from MAE: masked patches are grey instead of left out, so that the trunk runs as it will be used, and
    the loss is over all pixels instead of the masked ones.

    Args:
        trunk: Config of a trunk with patch tokens, or the trunk.
        decoder: Config of the decoder, or the decoder.
        beta: Where the smooth L1 loss turns from square to straight, in normalised pixels (255 grey levels are 2),
            or in deviations of the patch if these are restored.
        normalize_targets: Restore every patch with its mean taken off and divided by its deviation, as
            `norm_pix_loss` of MAE (section 4.1): texture counts as much as large shapes.
        modalities: Modalities, canonical order.
        data_preprocessor: Config of the data preprocessor, or the preprocessor; `FASDataPreprocessor` if None.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If trunk and decoder do not fit each other.
    """

    def __init__(
        self,
        trunk: Mapping[str, Any] | BaseTrunk,
        decoder: Mapping[str, Any] | CrossModalDecoder,
        *,
        beta: float = 1.0,
        normalize_targets: bool = False,
        modalities: Sequence[str] = MODALITIES,
        data_preprocessor: Any = None,
        init_cfg: Any = None,
    ) -> None:
        modalities = check_modalities(modalities)
        super().__init__(build_preprocessor(data_preprocessor, modalities), init_cfg)
        if beta <= 0:
            raise InputError(f'beta must be above 0, but got {beta}')
        self.modalities, self.beta, self.normalize_targets = modalities, beta, normalize_targets
        self.trunk: BaseTrunk = BACKBONES.build(trunk, modalities=modalities)
        given = {'_scope_': SCOPE, 'spec': self.trunk.spec}
        self.decoder: CrossModalDecoder = (
            MODELS.build({**given, **decoder}) if isinstance(decoder, Mapping) else decoder
        )

    def forward(
        self, inputs: Inputs, data_samples: Sequence[FASDataSample] | None = None, mode: str = 'tensor'
    ) -> Tensor | dict[str, Tensor] | list[FASDataSample] | LossTerms:
        """Dispatch to one of the ways to run the model.

        Args:
            inputs: Modality -> normalised images (B, 3, H, W); `present` -> boolean mask (B, M), optional.
            data_samples: The samples with the masks of `DrawPatchMasks`; without them nothing is masked.
            mode: `'tensor'` restored patches (M, B, P, 3 * patch_size^2), `'loss'` dict of losses, `'predict'`
                samples with `rebuild_error`, `'loss_terms'` the losses before they are named.

        Returns:
            What the mode says.

        Raises:
            ValueError: If the mode is unknown, or shapes disagree.
            KeyError: If samples have no masks.
        """
        if mode not in _MODES:
            raise InputError(f'mode must be one of {_MODES}, but got {mode!r}')
        if mode == 'tensor':
            return self.rebuild(inputs, data_samples)
        if data_samples is None:
            raise InputError(f'mode {mode!r} needs data samples with the masks of DrawPatchMasks')
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        terms = self.loss_terms(inputs, data_samples)
        return terms.to_losses() if mode == 'loss' else terms

    def rebuild(self, inputs: Inputs, data_samples: Sequence[FASDataSample] | None = None) -> Tensor:
        """Restore patches (M, B, P, 3 * patch_size^2) of normalised pixels."""
        images, present = stack_inputs(inputs, self.modalities)
        hidden = ~present
        if data_samples is not None:
            masks, is_hidden = self._masks(data_samples, images.device)
            size = self.decoder.patch_size
            is_grey = masks.repeat_interleave(size, -2).repeat_interleave(size, -1)
            if is_grey.shape[-2:] != images.shape[-2:]:
                raise InputError(
                    f'masks of {tuple(masks.shape[-2:])} patches do not fit images of {tuple(images.shape[-2:])} '
                    f'pixels: give DrawPatchMasks patch_size={size}, as its last image step'
                )
            images = images.masked_fill(is_grey[:, :, None], 0.0)
            hidden = hidden | is_hidden
        streams = self.trunk.embed(images, present)
        for block in self.trunk.bind(present):
            streams = block(streams)
        return self.decoder(streams, self.trunk.readout(streams), hidden)

    def errors(self, inputs: Inputs, data_samples: Sequence[FASDataSample]) -> tuple[Tensor, Tensor]:
        """Compare what was restored with what was there.

        Returns:
            Smooth L1 loss of every patch (M, B, P), and whether the modality was there (M, B).
        """
        images, present = stack_inputs(inputs, self.modalities)
        wanted = self._targets(images)
        restored = self.rebuild(inputs, data_samples).to(wanted.dtype)
        error = functional.smooth_l1_loss(restored, wanted, reduction='none', beta=self.beta)
        return error.mean(-1), present.t()

    def loss_terms(self, inputs: Inputs, data_samples: Sequence[FASDataSample]) -> LossTerms:
        """Compute the loss: the mean over all pixels of the modalities that are there."""
        error, present = self.errors(inputs, data_samples)
        total = (error.mean(-1) * present).sum() / present.sum().clamp(min=1)
        return LossTerms(main={'rebuild': total})

    def predict(self, inputs: Inputs, data_samples: Sequence[FASDataSample]) -> list[FASDataSample]:
        """Give every sample its errors, for `RebuildMetric`.

        Args:
            inputs: As in `forward`.
            data_samples: Samples that receive `rebuild_error`: (3, rows, columns) over `MODALITIES`, NaN where the
                model or the sample lacks the modality.

        Returns:
            The samples.
        """
        error, present = self.errors(inputs, data_samples)
        known = torch.where(present[..., None], error, torch.nan).transpose(0, 1).float().cpu()
        places = [MODALITIES.index(modality) for modality in self.modalities]
        for sample, values in zip(data_samples, known, strict=True):
            table = torch.full(tuple(sample.patch_mask.shape), torch.nan)
            table[places] = values.reshape(len(places), *table.shape[1:])
            sample.set_field(table, 'rebuild_error', dtype=Tensor)
        return list(data_samples)

    def train_step(self, data: dict[str, Any], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Run one step of training; see `fas_train_step`."""
        return fas_train_step(self, self, data, optim_wrapper)

    def _targets(self, images: Tensor) -> Tensor:
        """Cut what is to be restored from images (M, B, 3, H, W): patches (M, B, P, 3 * patch_size^2)."""
        patches = self.decoder.patches(images)
        if not self.normalize_targets:
            return patches
        variance, mean = torch.var_mean(patches, -1, keepdim=True, correction=0)
        return (patches - mean) / (variance + _PATCH_EPS).sqrt()

    def _masks(self, data_samples: Sequence[FASDataSample], device: torch.device) -> tuple[Tensor, Tensor]:
        """Collect the masks of the samples: patches (M, B, rows, columns) and hidden modalities (B, M)."""
        for sample in data_samples:
            if sample.get('patch_mask') is None:
                raise UnknownKeyError(
                    f"sample {sample.get('sample_id')!r} has no masks; put dict(type='DrawPatchMasks') before "
                    'PackFASInputs in the pipeline'
                )
        places = [MODALITIES.index(modality) for modality in self.modalities]
        masks = torch.stack([sample.patch_mask for sample in data_samples])[:, places].transpose(0, 1)
        hidden = torch.stack([sample.hidden for sample in data_samples])[:, places]
        return masks.to(device, non_blocking=True), hidden.to(device, non_blocking=True)
