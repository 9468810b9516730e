"""A convolutional network that runs all modalities as one batch, or parts of it with weights per modality.

Legend: M modalities, B batch, R rows of the flattened batch (at most M*B), C channels.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import ModuleList
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmfas.models.backbones.base import BaseTrunk, build_network, expand_part
from mmfas.models.backbones.cnn_stages import (
    is_token_network,
    parts_of,
    pooled_norm,
    probe,
    remove_modules,
    run_in_order,
    run_on_tokens,
)
from mmfas.models.backbones.pretrained import check_fit, read_pretrained, strip_prefix, with_lora
from mmfas.models.layers.batch_norm import running_statistics
from mmfas.models.specs import OwnedParameter
from mmfas.registry import BACKBONES
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError

#: Numbers of the present rows of the flattened batch, and of the batch of every modality.
_Rows = tuple[Tensor, Sequence[Tensor]]


class Stage:
    """A part of a network as a function of (R, *feat); it owns nothing, so the state dict does not know it.

    Args:
        modules: What runs, in order.
        is_whole: Whether they are a whole network, whose last map counts.
        on_tokens: Whether they are of a Swin transformer, whose modules run on tokens.
    """

    def __init__(self, modules: Sequence[nn.Module], *, is_whole: bool = False, on_tokens: bool = False) -> None:
        self.modules = modules
        self.is_whole = is_whole
        self.run = run_on_tokens if on_tokens and modules else run_in_order

    def __call__(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """Run rows of x (R, *feat) by their numbers, None for all; the others become zero."""
        if rows is not None:
            kept = self(x[rows])
            return kept.new_zeros(x.shape[0], *kept.shape[1:]).index_copy(0, rows, kept)
        x = self.run(self.modules, x)
        return x[-1] if self.is_whole else x


class CNNBlock:
    """View of one stage that all modalities share.

    Args:
        stage: The stage.
        rows: Numbers (R,) of the rows of the flattened batch (M*B) to run; None for all. The others become zero.
    """

    def __init__(self, stage: Stage, rows: Tensor | None = None) -> None:
        self.stage = stage
        self.rows = rows

    def __call__(self, streams: Tensor) -> Tensor:
        """Run the stage on streams (M, B, *feat)."""
        return self.stage(streams.flatten(0, 1), self.rows).unflatten(0, streams.shape[:2])


class OwnCNNBlock:
    """View of one stage of which every modality has its own.

    Args:
        stages: Stage of each modality.
        rows: Numbers of the rows to run, of the batch of each modality; None for all. The others become zero. A
            modality with fewer than two is normalised by its running statistics and leaves them alone: one image
            has no statistics of its own, and with none at all every weight still gets a gradient, of zero.
    """

    def __init__(self, stages: Sequence[Stage], rows: Sequence[Tensor] | None = None) -> None:
        self.stages = stages
        self.rows = rows

    def __call__(self, streams: Tensor) -> Tensor:
        """Run the stages on streams (M, B, *feat)."""
        if self.rows is None:
            return torch.stack([stage(stream) for stage, stream in zip(self.stages, streams, strict=True)])
        return torch.stack([self._run(*given) for given in zip(self.stages, streams, self.rows, strict=True)])

    @staticmethod
    def _run(stage: Stage, stream: Tensor, rows: Tensor) -> Tensor:
        if len(rows) > 1:
            return stage(stream, rows)
        with running_statistics(stage.modules):
            return stage(stream, rows)


@BACKBONES.register_module()
class MultiStreamCNN(BaseTrunk):
    """Network of feature maps, of mmpretrain or timm, for M streams; its stages are the blocks.

    The streams are feature maps (M, B, C, h, w), averaged over positions in `readout`. It serves late necks; one
    that works on tokens refuses it. With batch norm, only present images enter the statistics in training; the
    streams of absent ones are zero then. What the modalities share runs as one batch, what they do not as M.

    Args:
        cnn: Config of the network, such as `dict(type='mmpretrain.ResNet', depth=18)`, a ConvNeXt or Swin, or
            `mmpretrain.TIMMBackbone` with the `model_name` of a network of timm (extra `timm`). Networks whose
            stages cannot be separated run as a single block.
        modalities: Modalities of the streams.
        per_modality: Parts of which every modality has its own: `'stem'`, `'stages'`, `'stages:0-1'` (both ends),
            `'all'`; they start as copies.
        num_stages: Number of stages that are kept, from the first; None for all.
        frozen: Parts that are not trained: `'stem'`, `'blocks'`, `'blocks:0-2'` (both ends), `'all'`.
        pretrained: File of weights, of mmpretrain or an mmfas model, or `mmfas://NAME` for weights that come with
            the package; read by `init_weights`. Weights of mmpretrain go to the part of every modality.
        lora: Train low-rank updates of linear layers and nothing else of the trunk, as of `MultiStreamViT`.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If `cnn` sets what the trunk has an argument for, the network does not yield a feature map, or
            it has no such part.
    """

    networks = (
        'residual, mobile and dense networks of mmpretrain', 'mmpretrain.ConvNeXt', 'mmpretrain.SwinTransformer',
        'mmpretrain.TIMMBackbone (ResNet, ConvNeXt, EfficientNet, RegNet)', 'others, as one block',
    )  # fmt: skip
    gives_tokens = False
    reads_presence = True

    def __init__(
        self,
        cnn: Mapping[str, Any],
        *,
        modalities: Sequence[str] = MODALITIES,
        per_modality: Sequence[str] = (),
        num_stages: int | None = None,
        frozen: Sequence[str] = (),
        pretrained: str | None = None,
        lora: Mapping[str, Any] | None = None,
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
        self.cnn = build_network(cnn, 'cnn')
        channels, self._split = probe(self.cnn)
        self._on_tokens = is_token_network(self.cnn)
        whole = set(self.cnn.state_dict())
        self._num_stages = self._cut(len(channels) if num_stages is None else num_stages, len(channels))
        self._removed = whole - set(self.cnn.state_dict())
        self.embed_dims = channels[self._num_stages - 1]
        self._has_batch_norm = any(isinstance(m, _BatchNorm) for m in self.cnn.modules())
        self._own, self.own = self._split_off(per_modality)
        self.adapt(lora, frozen)
        self.freeze(_as_blocks(frozen))

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config of a tiny trunk: a residual network of width 8 to 64, the first layers per modality."""
        cnn = dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8)
        return dict(type='MultiStreamCNN', cnn=cnn, per_modality=('stem', 'stages:0'))

    def _cut(self, wanted: int, there: int) -> int:
        """Remove the stages behind the wanted ones, and return their number."""
        if not 1 <= wanted <= there or wanted < there and self._split is None:
            name = type(self.cnn).__name__
            what = f'{name} cannot be taken apart' if self._split is None else f'{name} has {there} stages'
            raise InputError(f'{what}, so num_stages must be 1 to {there}, but got {wanted}')
        self._pools_first = wanted == there and pooled_norm(self.cnn) is not None
        if self._split is not None:
            parts = parts_of(self.cnn, self._split)
            behind = [f'blocks:{i}' for i in range(wanted, there)]
            behind += ['norm'] if 'norm' in parts and wanted < there else []
            remove_modules(self.cnn, [module for name in behind for module in parts[name]])
        return wanted

    def _split_off(self, per_modality: Sequence[str]) -> tuple[frozenset[str], ModuleList | None]:
        """Copy the parts that every modality has of its own, and take them out of the common network."""
        parts = {name: modules for name, modules in self._parts(self.cnn).items() if name != 'norm'}
        names = [expand_part(name, parts, option='per_modality') for name in _as_blocks(per_modality)]
        own = frozenset(name for expanded in names for name in expanded)
        if not own:
            return own, None
        first = copy.deepcopy(self.cnn)
        found = self._parts(first)
        remove_modules(first, [m for name in found if name not in own for m in found[name]])
        if self._split is not None:
            remove_modules(self.cnn, [module for name in own for module in parts[name]])
        else:
            self.cnn = nn.Identity()
        return own, ModuleList([first, *(copy.deepcopy(first) for _ in self.modalities[1:])])

    def _parts(self, cnn: nn.Module) -> dict[str, Sequence[nn.Module]]:
        """Name the parts of a network that are kept."""
        found = parts_of(cnn, self._split)
        behind = {f'blocks:{i}' for i in range(self._num_stages, len(found))}
        behind |= set() if self._pools_first else {'norm'}
        return {name: modules for name, modules in found.items() if name not in behind}

    @property
    def blocks(self) -> Sequence[CNNBlock | OwnCNNBlock]:
        """Views of the stages."""
        return [self._view(f'blocks:{i}', None) for i in range(self._num_stages)]

    def bind(self, present: Tensor) -> Sequence[CNNBlock | OwnCNNBlock]:
        """Return the stages for one batch; see `embed` for what `present` (B, M) does."""
        rows = self._rows(present)
        return [self._view(f'blocks:{i}', rows) for i in range(self._num_stages)]

    def embed(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Run the stem on images (M, B, 3, H, W); in training with batch norm on present ones only."""
        return self._view('stem', None if present is None else self._rows(present))(images)

    def readout(self, streams: Tensor) -> Tensor:
        """Average streams (N, B, C, h, w) over positions: (N, B, C); ConvNeXt has a norm after that."""
        if not self._pools_first:
            return streams.mean(dim=(-2, -1))
        pooled = streams.flatten(0, 1).mean((-2, -1), keepdim=True)
        norm = (module for module in self.parts()['norm'] if isinstance(module, nn.Module))
        return run_in_order(norm, pooled).flatten(1).unflatten(0, streams.shape[:2])

    def parts(self) -> dict[str, list[nn.Module | nn.Parameter]]:
        """Name the parts that can be frozen."""
        networks = [self.cnn] if self.own is None else list(self.own)
        own = [self._parts(network) for network in networks]
        shared = self._parts(self.cnn)
        return {
            name: [m for parts in (own if name in self._own else [shared]) for m in parts[name]] for name in shared
        }

    def modality_parameters(self) -> dict[str, list[OwnedParameter]]:
        """Return the weights of the parts that each modality has of its own."""
        if self.own is None:
            return {}
        return {m: list(network.parameters()) for m, network in zip(self.modalities, self.own, strict=True)}

    def init_weights(self) -> None:
        """Initialise all parts, then read the `pretrained` file if there is one."""
        is_fresh = not self.is_init
        super().init_weights()
        if self.own is not None and is_fresh:
            for network in self.own[1:]:
                network.load_state_dict(self.own[0].state_dict())
        if self.pretrained is not None:
            self.load_pretrained(read_pretrained(self.pretrained))

    def load_pretrained(self, state_dict: Mapping[str, Tensor]) -> None:
        """Fill the trunk from weights of mmpretrain or of an mmfas model.

        Args:
            state_dict: Names -> tensors; prefixes `backbone.` and `trunk.` are understood. What belongs to stages
                that were left out is skipped; what every modality has of its own is copied to each.

        Raises:
            ValueError: If tensors are missing, left over or of another shape; all are listed.
        """
        wanted = self.state_dict()
        state: dict[str, Tensor] = {}
        for given, value in strip_prefix(state_dict, 'trunk.', 'backbone.').items():
            name = given.removeprefix('cnn.')
            places = [f'own.{i}.{name}' for i in range(0 if self.own is None else len(self.own))]
            if given.startswith('own.'):
                state[given] = value
            elif places and places[0] in wanted:
                state |= dict.fromkeys(places, value)
            elif name not in self._removed:
                state[f'cnn.{name}'] = value
        state = with_lora(state, wanted)
        check_fit(state, wanted, type(self).__name__)
        self.load_state_dict(state)

    def _view(self, name: str, rows: _Rows | None) -> CNNBlock | OwnCNNBlock:
        """Return the view of a part."""
        if self.own is not None and name in self._own:
            return OwnCNNBlock([self._stage(n, name) for n in self.own], None if rows is None else rows[1])
        return CNNBlock(self._stage(self.cnn, name), None if rows is None else rows[0])

    def _stage(self, cnn: nn.Module, name: str) -> Stage:
        """Return a part of a network; nothing for the stem of one that has none."""
        modules = self._parts(cnn).get(name, ())
        is_whole = name != 'stem' and self._split is None
        return Stage(modules, is_whole=is_whole, on_tokens=self._on_tokens and not is_whole)

    def _rows(self, present: Tensor) -> _Rows | None:
        """Return the numbers of the present rows, or None if all may be run."""
        if not (self.training and self._has_batch_norm):
            return None
        mask, device = present.t(), next(self.parameters()).device
        # on a device, `nonzero` waits: how many rows there are decides shapes
        shared, *own = (
            flags.nonzero().squeeze(1).to(device, non_blocking=True)
            for flags in (mask.flatten(), *(mask if self._own else ()))
        )
        return shared, own


def _as_blocks(names: Sequence[str]) -> list[str]:
    """Write stages as the blocks that they are: `'stages:0-1'` is `'blocks:0-1'`."""
    return [re.sub(r'^stages', 'blocks', name) for name in names]
