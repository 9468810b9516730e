"""A vision transformer that runs all modalities as one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn

from mmfas.models.backbones.base import BaseTrunk, build_network
from mmfas.models.backbones.pretrained import fit_vit_weights, read_pretrained
from mmfas.models.backbones.stream_embedding import EMBEDDINGS, StreamEmbedding
from mmfas.models.backbones.vit_block import ViTBlock
from mmfas.models.backbones.vit_families import REMEDY, ViTFamily, add_registers, family_of_type
from mmfas.models.layers import RepeatableGELU
from mmfas.models.specs import OwnedParameter, owned_slices
from mmfas.registry import BACKBONES, MODELS, resolve
from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError

POOLINGS = {'cls': 'cls_token', 'mean': 'avg_featmap'}
#: Keys of a custom architecture.
ARCH_KEYS = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')


@BACKBONES.register_module()
class MultiStreamViT(BaseTrunk):
    """Vision transformer of mmpretrain or timm whose blocks are shared by M streams.

    The streams are one tensor (M, B, L, C), run as a batch of M*B sequences. The readout is the final norm, then
    the class token or the mean of the patch tokens, then an optional projection without bias (CLIP). The class
    token of a distilled DeiT is the mean of its class and its distillation token.

    Args:
        vit: Arguments of `mmpretrain.VisionTransformer`: `arch` (name or dict), `img_size`, `patch_size`,
            `pre_norm`, `drop_path_rate`, ..., and `num_registers`, the register tokens of DINOv2. A `type` may
            name a subclass, `mmpretrain.DistilledVisionTransformer`, `mmpretrain.BEiTViT`, `mmpretrain.ViTEVA02`,
            or `mmpretrain.TIMMBackbone` with the `model_name` of a ViT of timm (extra `timm`).
        modalities: Modalities of the streams.
        per_modality: Which of `'patch'`, `'cls'`, `'pos'` each modality has of its own; they start as copies.
        pooling: `'cls'` or `'mean'` (mmpretrain's `avg_featmap`).
        proj_dims: Width of the projection after pooling; None for no projection.
        frozen: Parts that are not trained: `'patch'`, `'cls'`, `'pos'`, `'pre_norm'`, `'blocks'`,
            `'blocks:0-10'` (both ends), `'norm'`, `'projection'`, `'all'`.
        pretrained: File of weights, in mmpretrain's names (see `mmfas weights convert`), for a model of timm in
            timm's, or of an mmfas model, or `mmfas://NAME` for weights that come with the package; read by
            `init_weights`.
        fresh: Which of `'patch'`, `'cls'`, `'pos'` keep their random start when that file is read.
        lora: Train low-rank updates of linear layers and nothing else of the trunk: `dict(targets=('attn.qkv',),
            rank=8)`, see `LoRAOptions`.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If `vit` sets what the trunk has an argument for, its `arch` cannot be built, no neck could
            enter its blocks, or an option is unknown.

    Differs from mmpretrain: freezing is per part and holds after `.train()`; `frozen_stages` and `out_type` are
    refused; the embeddings live in `embedding`, stacked over modalities.

    >>> trunk = BACKBONES.build(MultiStreamViT.example_cfg())
    >>> trunk.embed_dims, trunk.num_blocks, trunk.grid((32, 32))
    (16, 2, (4, 4))
    """

    networks = (
        'mmpretrain.VisionTransformer', 'mmpretrain.DistilledVisionTransformer', 'mmpretrain.BEiTViT',
        'mmpretrain.ViTEVA02', "mmpretrain.TIMMBackbone (timm's vit_*, deit_*, deit3_*)",
    )  # fmt: skip
    gives_tokens = True

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
        lora: Mapping[str, Any] | None = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(modalities=modalities, init_cfg=init_cfg)
        self.pooling = pooling
        self.pretrained = pretrained
        self.vit: Any
        self.vit, self.family = _build_vit(vit, pooling)
        RepeatableGELU.replace_in(self.vit)
        self.fresh = tuple(fresh)
        for option, names in (('per_modality', per_modality), ('fresh', fresh)):
            unknown = sorted(set(names) - set(EMBEDDINGS))
            if unknown:
                raise InputError(f'{option} may hold {EMBEDDINGS}, but got {unknown}')
        family, parts = self.family, self.family.embedding(self.vit)
        if 'num_registers' in vit:
            parts = add_registers(parts, vit['num_registers'])
        self.embedding = StreamEmbedding(parts, num_streams=len(self.modalities), per_modality=per_modality)
        self.image_size = family.image_size(self.vit)
        # the embedding holds copies: the originals would be trainable tensors that no gradient reaches
        family.strip(self.vit)
        self.token_dims = family.width(self.vit)
        self.embed_dims = proj_dims or self.token_dims
        self.num_prefix, self.num_read = self.embedding.num_prefix, family.num_read(self.vit)
        self.reads_prefix_only = pooling == 'cls'
        self.projection = nn.Linear(self.token_dims, proj_dims, bias=False) if proj_dims else None
        self.adapt(lora, frozen)
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
        return self.family.blocks(self.vit, self.embedding)

    @property
    def num_blocks(self) -> int:
        """Number of encoder layers."""
        return len(self.family.layers(self.vit))

    def grid(self, image_size: Sequence[int]) -> tuple[int, int]:
        """Return rows and columns of the patch grid for images of `image_size` (H, W) pixels.

        Raises:
            ValueError: If the transformer has relative positions, and so takes images of one size only.
        """
        if tuple(image_size) != self.image_size and self.family.fixes_size(self.vit):
            raise InputError(
                f'{type(self.vit).__name__} has relative positions for images of {self.image_size} pixels, but '
                f'got {tuple(image_size)}; set `vit.img_size`'
            )
        return self.embedding.grid(image_size)

    def embed(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Turn images (M, B, 3, H, W) into streams (M, B, L, C); `present` is not needed."""
        dropout, norm = self.family.before(self.vit)
        return norm(dropout(self.embedding(images)))

    def readout(self, streams: Tensor) -> Tensor:
        """Read streams (N, B, L, C) out as features (N, B, embed_dims)."""
        final, pooled = self.family.norms(self.vit)
        # a norm acts on each token alone, so those that are not read need none
        if self.pooling == 'cls' and self.num_read == 1:
            features = pooled(final(streams[..., 0, :]))
        else:
            read = slice(self.num_read) if self.pooling == 'cls' else slice(self.num_prefix, None)
            features = pooled(final(streams[..., read, :]).mean(dim=-2))
        return features if self.projection is None else self.projection(features)

    def parts(self) -> dict[str, list[nn.Module | nn.Parameter]]:
        """Name the parts that can be frozen."""
        embedding = self.embedding
        dropout, norm = self.family.before(self.vit)
        named: dict[str, list[Any]] = {
            'patch': [embedding.patch_weight, embedding.patch_bias],
            'cls': [*embedding.prefix_tokens],
            'pos': [embedding.pos_embed, dropout, *self.family.positions(self.vit)],
            'pre_norm': [norm],
            **{f'blocks:{i}': [layer] for i, layer in enumerate(self.family.layers(self.vit))},
            'norm': [*self.family.norms(self.vit)],
            'projection': [self.projection],
        }
        return {name: [item for item in items if item is not None] for name, items in named.items()}

    def modality_parameters(self) -> dict[str, list[OwnedParameter]]:
        """Return the slices of the embeddings that each modality has of its own."""
        return owned_slices(self.modalities, *self.embedding.owned())

    def init_weights(self) -> None:
        """Initialise all parts, then read the `pretrained` file if there is one."""
        positions = self.embedding.pos_embed
        if positions is not None and not (self.is_init or getattr(self.vit, 'is_init', False)):
            # one draw for all modalities, as copies of a pretrained table would be, if that table is wanted
            drawn = positions.data[: None if 'pos' in self.fresh else 1].clone()
            positions.data.copy_(trunc_normal_(drawn, std=0.02).expand_as(positions))
        super().init_weights()
        if self.pretrained is not None:
            parts = [item for name in self.fresh for item in self.parts()[name]]
            kept = [(p, p.detach().clone()) for p in parts if isinstance(p, nn.Parameter)]
            self.load_pretrained(read_pretrained(self.pretrained))
            for parameter, start in kept:
                parameter.data.copy_(start)

    def load_pretrained(self, state_dict: Mapping[str, Tensor]) -> None:
        """Fill the trunk from weights in mmpretrain's names (of timm: in timm's), or from an mmfas model.

        A shared embedding is copied to every modality that has its own; positions are interpolated to the grid.

        Args:
            state_dict: Names -> tensors; prefixes `backbone.` and `trunk.` are understood.

        Raises:
            ValueError: If tensors are missing, left over or of another shape; all are listed.
        """
        options: dict[str, Any] = dict(family=self.family, owner=type(self).__name__)
        self.load_state_dict(fit_vit_weights(state_dict, self.state_dict(), self.embedding, **options))


def _build_vit(vit: Mapping[str, Any], pooling: str) -> tuple[Any, ViTFamily]:
    """Build a transformer without its own freezing and pooling; also return how it is taken apart."""
    if pooling not in POOLINGS:
        raise InputError(f'pooling must be one of {tuple(POOLINGS)}, but got {pooling!r}')
    governed = {'out_type': 'pooling', 'frozen_stages': 'frozen', 'out_indices': None, 'init_cfg': 'pretrained'}
    for name in governed.keys() & vit.keys():
        hint = f'use `{governed[name]}` of the trunk' if governed[name] else 'the trunk yields every block'
        raise InputError(f'`vit.{name}` is not used here: {hint}')
    _check_arch(vit.get('arch'))
    cfg = {'type': 'mmpretrain.VisionTransformer', **vit}
    registers = cfg.pop('num_registers', None)
    try:
        family = family_of_type(resolve(MODELS, cfg['type']))
    except KeyError as error:
        raise InputError(f'`vit` cannot be built: {error.args[0]}; {REMEDY}') from error
    if family.pooling_argument is not None:
        cfg[family.pooling_argument] = POOLINGS[pooling]
    model = build_network(cfg, 'vit', remedy=f'; {REMEDY}')
    problem = next(family.problems(model, pooling), None)
    if problem is not None:
        raise InputError(f'{cfg["type"]} {problem}')
    if registers is not None and not family.takes_registers:
        raise InputError(f'{cfg["type"]} takes no `vit.num_registers`; of timm, take a model that has them')
    return model, family


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
