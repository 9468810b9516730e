"""A vision transformer that runs all modalities as one batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

from mmfas.models.backbones.base import BUILD_ERRORS, BaseTrunk
from mmfas.models.backbones.pretrained import fit_vit_weights
from mmfas.models.backbones.stream_embedding import EMBEDDINGS, StreamEmbedding
from mmfas.models.backbones.vit_block import ViTBlock
from mmfas.models.layers import RepeatableGELU
from mmfas.models.specs import OwnedParameter, owned_slices
from mmfas.registry import BACKBONES, MODELS
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError

POOLINGS = {'cls': 'cls_token', 'mean': 'avg_featmap'}
#: What the streams take from a vision transformer and from its layers.
_VIT_PARTS = (
    'patch_embed', 'cls_token', 'pos_embed', 'drop_after_pos', 'pre_norm', 'layers', 'interpolate_mode',
    'img_size', 'embed_dims', 'final_norm',
)  # fmt: skip
_LAYER_PARTS = (
    'ln1', 'ln2', 'ffn', 'attn.qkv', 'attn.num_heads', 'attn.proj', 'attn.proj_drop', 'attn.gamma1',
    'attn.out_drop',
)  # fmt: skip
_REMEDY = 'use mmpretrain.VisionTransformer or a subclass of it, or MultiStreamCNN for a network of feature maps'
#: Keys of a custom architecture.
ARCH_KEYS = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')


@BACKBONES.register_module()
class MultiStreamViT(BaseTrunk):
    """Vision transformer of mmpretrain whose blocks are shared by M streams.

    The streams are one tensor (M, B, L, C), run as a batch of M*B sequences. The readout is the final norm, then
    the class token or the mean of the patch tokens, then an optional projection without bias (CLIP).

    Args:
        vit: Arguments of `mmpretrain.VisionTransformer`: `arch` (name or dict), `img_size`, `patch_size`,
            `pre_norm`, `drop_path_rate`, ... A `type` may name a subclass.
        modalities: Modalities of the streams.
        per_modality: Which of `'patch'`, `'cls'`, `'pos'` each modality has of its own; they start as copies.
        pooling: `'cls'` or `'mean'` (mmpretrain's `avg_featmap`).
        proj_dims: Width of the projection after pooling; None for no projection.
        frozen: Parts that are not trained: `'patch'`, `'cls'`, `'pos'`, `'pre_norm'`, `'blocks'`,
            `'blocks:0-10'` (both ends), `'norm'`, `'projection'`, `'all'`.
        pretrained: File of weights, in mmpretrain's names (see `mmfas weights convert`) or of an mmfas model, or
            `mmfas://NAME` for weights that come with the package; read by `init_weights`.
        fresh: Which of `'patch'`, `'cls'`, `'pos'` keep their random start when that file is read.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If `vit` sets what the trunk has an argument for, its `arch` cannot be built, or an option is
            unknown.

    Differs from mmpretrain: freezing is per part and holds after `.train()`; `frozen_stages` and `out_type` are
    refused; the embeddings live in `embedding`, stacked over modalities.

    >>> trunk = BACKBONES.build(MultiStreamViT.example_cfg())
    >>> trunk.embed_dims, trunk.num_blocks, trunk.grid((32, 32))
    (16, 2, (4, 4))
    """

    def __init__(
        self,
        vit: Mapping[str, Any],
        *,
        modalities: Sequence[str] = MODALITIES,
        per_modality: Sequence[str] = (),
        pooling: str = 'cls',
        proj_dims: int | None = None,
        frozen: Sequence[str] = (),
        pretrained: str | None = None,
        fresh: Sequence[str] = (),
        init_cfg: Any = None,
    ) -> None:
        super().__init__(modalities=modalities, init_cfg=init_cfg)
        self.pooling = pooling
        self.pretrained = pretrained
        self.vit: Any = _build_vit(vit, pooling)
        RepeatableGELU.replace_in(self.vit)
        self.fresh = tuple(fresh)
        for option, names in (('per_modality', per_modality), ('fresh', fresh)):
            unknown = sorted(set(names) - set(EMBEDDINGS))
            if unknown:
                raise InputError(f'{option} may hold {EMBEDDINGS}, but got {unknown}')
        self.embedding = StreamEmbedding(self.vit, num_streams=len(self.modalities), per_modality=per_modality)
        # the embedding holds copies: the originals would be trainable tensors that no gradient reaches
        self.vit.patch_embed = self.vit.cls_token = self.vit.pos_embed = None
        self.token_dims = self.vit.embed_dims
        self.embed_dims = proj_dims or self.token_dims
        self.num_prefix = self.embedding.num_prefix
        self.reads_prefix_only = pooling == 'cls'
        self.image_size = tuple(self.vit.img_size)
        self.projection = nn.Linear(self.token_dims, proj_dims, bias=False) if proj_dims else None
        self.freeze(frozen)

    @classmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config of a tiny trunk: width 16, two blocks, 32 pixels."""
        arch = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
        vit = dict(type='mmpretrain.VisionTransformer', arch=arch, img_size=32, patch_size=8)
        return dict(type='MultiStreamViT', vit=vit, per_modality=('cls', 'pos'))

    @property
    def blocks(self) -> Sequence[ViTBlock]:
        """Four-part views of the encoder layers."""
        return [ViTBlock(layer) for layer in self.vit.layers]

    @property
    def num_blocks(self) -> int:
        """Number of encoder layers."""
        return len(self.vit.layers)

    def grid(self, image_size: Sequence[int]) -> tuple[int, int]:
        """Return rows and columns of the patch grid for images of `image_size` (H, W) pixels."""
        return self.embedding.grid(image_size)

    def embed(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Turn images (M, B, 3, H, W) into streams (M, B, L, C); `present` is not needed."""
        return self.vit.pre_norm(self.vit.drop_after_pos(self.embedding(images)))

    def readout(self, streams: Tensor) -> Tensor:
        """Read streams (N, B, L, C) out as features (N, B, embed_dims)."""
        tokens = streams[..., 0, :] if self.pooling == 'cls' else streams[..., self.num_prefix :, :]
        # a norm acts on each token alone, so those that are not read need none
        features = self.vit.ln1(tokens) if self.vit.final_norm else tokens
        if self.pooling == 'mean':
            features = self.vit.ln2(features.mean(dim=-2))
        return features if self.projection is None else self.projection(features)

    def parts(self) -> dict[str, list[nn.Module | nn.Parameter]]:
        """Name the parts that can be frozen."""
        embedding, vit = self.embedding, self.vit
        norms = [getattr(vit, name) for name in ('ln1', 'ln2') if hasattr(vit, name)]
        named: dict[str, list[Any]] = {
            'patch': [embedding.patch_weight, embedding.patch_bias],
            'cls': [embedding.cls_token],
            'pos': [embedding.pos_embed, vit.drop_after_pos],
            'pre_norm': [vit.pre_norm],
            **{f'blocks:{i}': [layer] for i, layer in enumerate(vit.layers)},
            'norm': norms,
            'projection': [self.projection],
        }
        return {name: [item for item in items if item is not None] for name, items in named.items()}

    def modality_parameters(self) -> dict[str, list[OwnedParameter]]:
        """Return the slices of the embeddings that each modality has of its own."""
        return owned_slices(self.modalities, *self.embedding.owned())

    def init_weights(self) -> None:
        """Initialise all parts, then read the `pretrained` file if there is one."""
        positions = self.embedding.pos_embed
        if not self.is_init:
            # one draw for all modalities, as copies of a pretrained table would be, if that table is wanted
            drawn = positions.data[: None if 'pos' in self.fresh else 1].clone()
            positions.data.copy_(trunc_normal_(drawn, std=0.02).expand_as(positions))
        super().init_weights()
        if self.pretrained is not None:
            from mmfas.utils.shipped import load_pretrained

            parts = [item for name in self.fresh for item in self.parts()[name]]
            kept = [(p, p.detach().clone()) for p in parts if isinstance(p, nn.Parameter)]
            self.load_pretrained(load_pretrained(self.pretrained))
            for parameter, start in kept:
                parameter.data.copy_(start)

    def load_pretrained(self, state_dict: Mapping[str, Tensor]) -> None:
        """Fill the trunk from weights in mmpretrain's names or from an mmfas model.

        A shared embedding is copied to every modality that has its own; positions are interpolated to the grid.

        Args:
            state_dict: Names -> tensors; prefixes `backbone.` and `trunk.` are understood.

        Raises:
            ValueError: If tensors are missing, left over or of another shape; all are listed.
        """
        own = self.state_dict()
        self.load_state_dict(fit_vit_weights(state_dict, own, self.embedding, owner=type(self).__name__))


def _build_vit(vit: Mapping[str, Any], pooling: str) -> Any:
    """Build mmpretrain's transformer without its own freezing and pooling."""
    if pooling not in POOLINGS:
        raise InputError(f'pooling must be one of {tuple(POOLINGS)}, but got {pooling!r}')
    governed = {'out_type': 'pooling', 'frozen_stages': 'frozen', 'out_indices': None, 'init_cfg': 'pretrained'}
    for name in governed.keys() & vit.keys():
        hint = f'use `{governed[name]}` of the trunk' if governed[name] else 'the trunk yields every block'
        raise InputError(f'`vit.{name}` is not used here: {hint}')
    _check_arch(vit.get('arch'))
    cfg = {'type': 'mmpretrain.VisionTransformer', **vit, 'out_type': POOLINGS[pooling]}
    try:
        model = MODELS.build(cfg)
    except (
        BUILD_ERRORS
    ) as error:  # how networks of other toolkits refuse what a user wrote, or arguments of this one
        reason = f'{type(error).__name__}: {error}'.removeprefix('AssertionError: ')
        if 'out_type' in reason:  # an argument of ours that every vision transformer of mmpretrain takes
            reason = f'{cfg["type"]} is not a vision transformer that takes `out_type`'
        raise InputError(f'`vit` cannot be built: {reason}; {_REMEDY}') from error
    lacking = list(_lacking(model))
    if lacking:
        raise InputError(f'{cfg["type"]} has no {", ".join(lacking)}, which the streams need; {_REMEDY}')
    if getattr(model, 'num_extra_tokens', 0) > 1:
        raise InputError(f'{cfg["type"]} has more than a class token before its patches; {_REMEDY}')
    return model


def _lacking(vit: Any) -> Iterator[str]:
    """Name what a network lacks that embedding, blocks and readout take from it."""
    missing = [name for name in _VIT_PARTS if not hasattr(vit, name)]
    yield from missing
    if 'layers' in missing:
        return
    layers = list(vit.layers) if isinstance(vit.layers, nn.ModuleList | nn.Sequential) else []
    if not layers:
        yield 'encoder layers'
    for name in _LAYER_PARTS if layers else ():
        part: Any = layers[0]
        for step in name.split('.'):
            part = getattr(part, step, None)
        if part is None:
            yield f'layers.{name}'
    if 'pos_embed' not in missing and vit.pos_embed is None:
        yield 'absolute positions (pos_embed)'


def _check_arch(arch: Any) -> None:
    """Refuse keys of a custom architecture that mmpretrain would ignore, and a width the heads do not divide."""
    if not isinstance(arch, Mapping):
        return
    unknown = sorted(set(arch) - set(ARCH_KEYS))
    if unknown:
        raise InputError(f'`vit.arch` may hold {ARCH_KEYS}, but got {unknown}')
    dims, heads = arch.get('embed_dims', 0), arch.get('num_heads', 1)
    if heads < 1 or dims % heads:
        raise InputError(f'`vit.arch`: embed_dims {dims} is not a multiple of num_heads {heads}')
