"""Data preprocessor: collated uint8 images -> normalised float batches and the presence mask, on the device.

Legend: M modalities of the model, B batch, V views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmfas.registry import MODELS, SCOPE
from mmfas.structures import MODALITIES, check_modalities
from mmfas.utils.errors import InputError, UnknownKeyError

__all__ = ['FASDataPreprocessor']

Channels = float | Sequence[float]


@MODELS.register_module()
class FASDataPreprocessor(BaseDataPreprocessor):
    """Stack, move, normalise and mask the images of a batch.

    Works behind mmengine's `pseudo_collate` (the default; lists of images) and `default_collate` (stacked images).
    Images travel as uint8 and become the type of this module's buffers: float32, or what the model is cast to, so
    `model.double()` gets float64 images. Data samples stay where they are.

    Args:
        modalities: Modalities of the model, in canonical order.
        mean: Subtracted value in 0..255: one number, three per channel (R, G, B), or a dictionary of such by
            modality.
        std: Divisor in 0..255, given like `mean`. The published recipe is (x - 127.5) / 128 for all modalities.
        fill: What replaces an absent image after normalisation: `'black'` is a black image, (0 - mean) / std
            (-0.996, the papers' Protocol 2), `'zero'` is 0.
        non_blocking: Copy to the device without waiting for what it has still to do, which is safe, as nobody
            writes to a batch later. From pinned memory (`pin_memory=True` of the loader) the copy itself overlaps
            with that work, too.

    >>> preprocessor = FASDataPreprocessor(('rgb', 'ir'), fill='zero')
    >>> batch = {'inputs': {m: [torch.zeros(3, 4, 4, dtype=torch.uint8)] for m in ('rgb', 'depth', 'ir')}}
    >>> out = preprocessor(batch)['inputs']
    >>> out['rgb'].shape, out['present'].shape, float(out['ir'][0, 0, 0, 0])
    (torch.Size([1, 3, 4, 4]), torch.Size([1, 2]), -0.99609375)
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        modalities: Sequence[str] = MODALITIES,
        *,
        mean: Channels | Mapping[str, Channels] = 127.5,
        std: Channels | Mapping[str, Channels] = 128.0,
        fill: str = 'black',
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking)
        self.modalities = check_modalities(modalities)
        if fill not in ('black', 'zero'):
            raise InputError(f"fill must be 'black' or 'zero', but got {fill!r}")
        self.fill = fill
        self.register_buffer('mean', _per_modality('mean', mean, self.modalities), persistent=False)
        self.register_buffer('std', _per_modality('std', std, self.modalities), persistent=False)
        if not bool((self.std > 0).all()):
            raise InputError(f'std must be positive, but got {std}')

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a tiny config that builds this preprocessor."""
        return {'type': cls.__name__, 'modalities': ('rgb', 'depth', 'ir')}

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Prepare a collated batch.

        Args:
            data: `inputs` (modality -> list of B uint8 tensors (3, H, W), or one tensor (B, 3, H, W)) and, unless
                every modality is there, `data_samples` (list of B samples with `present`). With `AddViews` in the
                pipeline also `inputs_view`, of which each tensor has the views (V, 3, H, W) of a sample.
            training: Unused; here for the interface of mmengine.

        Returns:
            `inputs` with one float tensor (B, 3, H, W) per modality of the model and `present`, bool (B, M);
            `data_samples` as it came, or None. `inputs_view`, if it came, like `inputs` but with V*B rows, view by
            view.

        Raises:
            KeyError: If a modality is not packed.
            ValueError: If images of the batch differ in size; the message names the samples.
        """
        samples = data.get('data_samples')
        absent = [m for m in self.modalities if m not in data['inputs']]
        if absent:
            raise UnknownKeyError(
                f'inputs lack {absent}; PackFASInputs packs every modality, got {sorted(data["inputs"])}'
            )
        images = self._stack([data['inputs'][m] for m in self.modalities], samples)
        present = self._presence(samples, images.shape[1]).to(images.device, non_blocking=self._non_blocking)
        prepared = {'inputs': self._inputs(images, present), 'data_samples': samples}
        if 'inputs_view' in data:
            views = self._stack([data['inputs_view'][m] for m in self.modalities], samples)  # (M, B, V, 3, H, W)
            flat = views.transpose(1, 2).flatten(1, 2)
            prepared['inputs_view'] = self._inputs(flat, present.repeat(views.shape[2], 1))
        return prepared

    def _inputs(self, images: Tensor, present: Tensor) -> dict[str, Tensor]:
        """Normalise images (M, B, 3, H, W) and name them."""
        return {**dict(zip(self.modalities, self.normalise(images, present).unbind(0))), 'present': present}

    def normalise(self, images: Tensor, present: Tensor) -> Tensor:
        """Normalise images and fill absent ones.

        Args:
            images: Images (M, B, 3, H, W), uint8.
            present: Boolean mask (B, M).

        Returns:
            Images (M, B, 3, H, W) of the type of this module's buffers.
        """
        mask = present.t()[:, :, None, None, None]
        if self.fill == 'black':
            images = images * mask
        images = (images.to(self.mean.dtype) - self.mean) / self.std
        return images.masked_fill(~mask, 0.0) if self.fill == 'zero' else images

    def _stack(self, batches: list[Any], samples: Sequence[Any] | None) -> Tensor:
        """Join the images of all modalities to one uint8 tensor (M, B, 3, H, W) on the device."""
        if all(isinstance(batch, Tensor) for batch in batches):
            sizes = {tuple(batch.shape[-2:]) for batch in batches}
            if len(sizes) > 1:
                raise InputError(f'the modalities of a batch must be of one size, but are {sorted(sizes)}')
            return torch.stack([batch.to(self.mean.device, non_blocking=self._non_blocking) for batch in batches])
        flat = [image for batch in batches for image in batch]
        if len({image.shape for image in flat}) > 1:
            raise InputError(_describe_sizes(batches, self.modalities, samples))
        images = torch.stack(flat).to(self.mean.device, non_blocking=self._non_blocking)
        return images.view(len(batches), -1, *images.shape[1:])

    def _presence(self, samples: Sequence[Any] | None, batch_size: int) -> Tensor:
        """Return the mask (B, M), on the CPU."""
        if samples is None:
            return torch.ones(batch_size, len(self.modalities), dtype=torch.bool)
        columns = [MODALITIES.index(m) for m in self.modalities]
        return torch.stack([sample.present for sample in samples])[:, columns]


def _per_modality(name: str, value: Any, modalities: Sequence[str]) -> Tensor:
    """Expand a constant to (M, 1, 3, 1, 1)."""
    if isinstance(value, Mapping):
        missing = [m for m in modalities if m not in value]
        if missing:
            raise InputError(f'{name} is given by modality but lacks {missing}')
        rows = [value[m] for m in modalities]
    else:
        rows = [value] * len(modalities)
    tensors = [torch.as_tensor(row, dtype=torch.float32, device='cpu').reshape(-1) for row in rows]
    if any(len(row) not in (1, 3) for row in tensors):
        raise InputError(f'{name} must be one number or three per modality, but got {value}')
    return torch.stack([row.expand(3) for row in tensors]).view(len(modalities), 1, 3, 1, 1)


def _describe_sizes(batches: list[Any], modalities: Sequence[str], samples: Sequence[Any] | None) -> str:
    """Say which samples of a batch have which size."""
    found: dict[tuple[int, int], list[str]] = {}
    for modality, batch in zip(modalities, batches):
        for index, image in enumerate(batch):
            name = str(index) if samples is None else samples[index].get('sample_id', str(index))
            found.setdefault((image.shape[-1], image.shape[-2]), []).append(f'{modality} of {name}')
    listing = '; '.join(f'{w}x{h}: {", ".join(names[:3])}' for (w, h), names in found.items())
    return f'the images of a batch must be of one size, but are {listing}; add ResizeModalities to the pipeline'


def build_preprocessor(cfg: Any, modalities: tuple[str, ...]) -> Any:
    """Build the data preprocessor of a model.

    Args:
        cfg: Config, the preprocessor itself, or None for a `FASDataPreprocessor`.
        modalities: Modalities of the model, where the config names none.
    """
    cfg = {} if cfg is None else cfg
    if not isinstance(cfg, Mapping):
        return cfg
    cfg = {'type': 'FASDataPreprocessor', **cfg}
    if cfg['type'] == 'FASDataPreprocessor':
        cfg = {'modalities': modalities, **cfg}
    return MODELS.build({'_scope_': SCOPE, **cfg})
