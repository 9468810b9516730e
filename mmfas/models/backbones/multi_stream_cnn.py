"""A convolutional network that runs all modalities as one batch.

Legend: M modalities, B batch, R rows of the flattened batch (at most M*B), C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmfas.models.backbones.base import BUILD_ERRORS, BaseTrunk
from mmfas.models.backbones.pretrained import check_fit, strip_prefix
from mmfas.registry import BACKBONES, MODELS
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError

#: Side of the images that find out the width of the last stage, in pixels.
PROBE_SIZE = 64


class CNNBlock:
    """View of one stage; it owns nothing, so the state dict does not know it.

    Args:
        stage: Maps (R, *feat) to (R, *feat).
        rows: Numbers of the rows to run; None for all. The others become zero.
    """

    def __init__(self, stage: Callable[[Tensor], Tensor], rows: Tensor | None = None) -> None:
        self.stage = stage
        self.rows = rows

    def __call__(self, streams: Tensor) -> Tensor:
        """Run the stage on streams (M, B, *feat)."""
        flat = streams.flatten(0, 1)
        if self.rows is None:
            out = self.stage(flat)
        else:
            kept = self.stage(flat[self.rows])
            out = kept.new_zeros(flat.shape[0], *kept.shape[1:]).index_copy(0, self.rows, kept)
        return out.unflatten(0, streams.shape[:2])


@BACKBONES.register_module()
class MultiStreamCNN(BaseTrunk):
    """Convolutional network of mmpretrain shared by M streams; its stages are the blocks.

    The streams are feature maps (M, B, C, h, w), averaged over positions in `readout`. It serves late necks; one
    that works on tokens refuses it. With batch norm, only present images enter the statistics in training; the
    streams of absent ones are zero then.

    Args:
        cnn: Config of the network, such as `dict(type='mmpretrain.ResNet', depth=18)`. Networks whose stages
            cannot be separated run as a single block.
        modalities: Modalities of the streams.
        frozen: Parts that are not trained: `'stem'`, `'blocks'`, `'blocks:0-2'` (both ends), `'all'`.
        pretrained: File of weights, of mmpretrain or an mmfas model; read by `init_weights`.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If `cnn` sets what the trunk has an argument for, or the network does not yield a feature map.
    """

    def __init__(
        self,
        cnn: Mapping[str, Any],
        *,
        modalities: Sequence[str] = MODALITIES,
        frozen: Sequence[str] = (),
        pretrained: str | None = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(modalities=modalities, init_cfg=init_cfg)
        for name, instead in (
            ('frozen_stages', 'frozen'),
            ('init_cfg', 'pretrained'),
            ('out_indices', 'the neck'),
        ):
            if name in cnn:
                raise InputError(f'`cnn.{name}` is not used here: see `{instead}` of the trunk')
        self.pretrained = pretrained
        try:
            self.cnn = MODELS.build(dict(cnn))
        except BUILD_ERRORS as error:  # how networks of other toolkits refuse what a user wrote
            raise InputError(f'`cnn` cannot be built: {type(error).__name__}: {error}') from error
        self.embed_dims, self._is_split = _probe(self.cnn)
        self._has_batch_norm = any(isinstance(m, _BatchNorm) for m in self.cnn.modules())
        self.freeze(frozen)

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config of a tiny trunk: a residual network of width 8 to 64."""
        cnn = dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8)
        return dict(type='MultiStreamCNN', cnn=cnn)

    @property
    def blocks(self) -> Sequence[CNNBlock]:
        """Views of the stages."""
        return [CNNBlock(stage) for stage in self._stages()]

    def bind(self, present: Tensor) -> Sequence[CNNBlock]:
        """Return the stages for one batch; see `embed` for what `present` (B, M) does."""
        rows = self._rows(present)
        return [CNNBlock(stage, rows) for stage in self._stages()]

    def embed(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Run the stem on images (M, B, 3, H, W); in training with batch norm on present ones only."""
        return CNNBlock(self._stem, None if present is None else self._rows(present))(images)

    def readout(self, streams: Tensor) -> Tensor:
        """Average streams (N, B, C, h, w) over positions: (N, B, C)."""
        return streams.mean(dim=(-2, -1))

    def parts(self) -> dict[str, list[nn.Module | nn.Parameter]]:
        """Name the parts that can be frozen."""
        if not self._is_split:
            return {'blocks:0': [self.cnn]}
        stages: dict[str, list[Any]] = {f'blocks:{i}': [stage] for i, stage in enumerate(_stages_of(self.cnn))}
        stem: list[Any] = _stem_of(self.cnn)
        return {'stem': stem, **stages} if stem else stages

    def init_weights(self) -> None:
        """Initialise all parts, then read the `pretrained` file if there is one."""
        super().init_weights()
        if self.pretrained is not None:
            from mmfas.utils.checkpoint import load_weights

            self.load_pretrained(load_weights(self.pretrained))

    def load_pretrained(self, state_dict: Mapping[str, Tensor]) -> None:
        """Fill the trunk from weights of mmpretrain or of an mmfas model.

        Args:
            state_dict: Names -> tensors; prefixes `backbone.` and `trunk.` are understood.

        Raises:
            ValueError: If tensors are missing, left over or of another shape; all are listed.
        """
        state = strip_prefix(state_dict, 'trunk.', 'backbone.')
        state = {name if name.startswith('cnn.') else f'cnn.{name}': value for name, value in state.items()}
        check_fit(state, self.state_dict(), type(self).__name__)
        self.load_state_dict(state)

    def _rows(self, present: Tensor) -> Tensor | None:
        """Return the numbers of the present rows of the flattened batch, or None if all may be run."""
        if not (self.training and self._has_batch_norm):
            return None
        return present.t().flatten().nonzero().squeeze(1)

    def _stem(self, images: Tensor) -> Tensor:
        """Run what comes before the first stage on images (R, 3, H, W)."""
        for module in _stem_of(self.cnn) if self._is_split else ():
            images = module(images)
        return images

    def _stages(self) -> Sequence[Callable[[Tensor], Tensor]]:
        """Return the stages, each mapping (R, *feat) to (R, *feat)."""
        return _stages_of(self.cnn) if self._is_split else [lambda images: self.cnn(images)[-1]]


def _stem_of(cnn: nn.Module) -> list[nn.Module]:
    """Return what mmpretrain's residual and mobile networks run before their stages, in order."""
    names = ('stem', 'maxpool') if getattr(cnn, 'deep_stem', False) else ('conv1', 'norm1', 'relu', 'maxpool')
    return [getattr(cnn, name) for name in names if hasattr(cnn, name)]


def _stages_of(cnn: nn.Module) -> list[nn.Module]:
    """Return the stages of a network that lists them, by name or as modules; empty if it does not."""
    listed = getattr(cnn, 'res_layers', None) or getattr(cnn, 'layers', None) or []
    return [getattr(cnn, stage) if isinstance(stage, str) else stage for stage in listed]


@torch.no_grad()
def _probe(cnn: nn.Module) -> tuple[int, bool]:
    """Run one image: return the channels of the last map, and whether stem and stages reproduce it."""
    cnn.train(False)
    image = torch.linspace(-1, 1, 3 * PROBE_SIZE**2).view(1, 3, PROBE_SIZE, PROBE_SIZE)
    try:
        expected = cnn(image)[-1]
    except (*BUILD_ERRORS, RuntimeError) as error:
        reason = f'{type(error).__name__}: {error}'
        raise InputError(f'{type(cnn).__name__} cannot run a picture of {PROBE_SIZE} pixels: {reason}') from error
    if expected.dim() != 4:
        raise InputError(
            f'{type(cnn).__name__} yields {tuple(expected.shape)}, not a feature map (B, C, h, w); '
            'take a convolutional network, or MultiStreamViT for a transformer'
        )
    try:
        for module in [*_stem_of(cnn), *_stages_of(cnn)]:
            image = module(image)
        is_split = bool(_stages_of(cnn)) and torch.equal(image, expected)
    except (TypeError, RuntimeError):  # the guessed parts do not fit together
        is_split = False
    cnn.train(True)
    return expected.shape[1], is_split
