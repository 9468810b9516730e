"""Where a model looks: Grad-CAM and attention rollout, for each picture of a sample.

Legend: M modalities, B batch, L tokens, p prefix tokens, P = h*w positions, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from mmfas.apis.scoring import load_model, load_samples, prepare_scoring
from mmfas.models import MultiModalFAS
from mmfas.models.backbones.vit_block import ViTBlock
from mmfas.models.fas import Watch
from mmfas.models.heads import liveness
from mmfas.models.specs import Block
from mmfas.structures import LIVE, SPOOF
from mmfas.utils.errors import InputError

__all__ = ['METHODS', 'TARGETS', 'SaliencyMaps', 'class_activation', 'rollout', 'saliency_maps', 'saliency_of']

METHODS = ('grad-cam', 'rollout')
TARGETS = ('decision', 'live', 'spoof')


@dataclass(frozen=True)
class SaliencyMaps:
    """What there is to see of one sample.

    Args:
        sample_id: Name of the sample.
        label: 1 live, 0 spoof; -1 if it is not known.
        score: Liveness that the model gives it, in [0, 1].
        modalities: Names of the pictures, M of them.
        present: Which of them the sample has (M,), bool.
        pictures: Images (M, H, W, 3), uint8.
        maps: Saliency at every position (M, h, w), 0 or more; absent pictures have 0. All have one scale.
        target: `'live'` or `'spoof'`: what Grad-CAM explains; `''` for rollout, which knows no class.
        block: Block at whose entrance Grad-CAM looks; the number of blocks means after the last. None for rollout.
        num_blocks: Number of blocks of the trunk.
        is_comparable: Whether one modality can have more than another: not in a rollout of separate sequences, of
            which each hands out all of its attention.
    """

    sample_id: str
    label: int
    score: float
    modalities: tuple[str, ...]
    present: np.ndarray
    pictures: np.ndarray
    maps: np.ndarray
    target: str = ''
    block: int | None = None
    num_blocks: int = 0
    is_comparable: bool = True

    @property
    def place(self) -> str:
        """Where Grad-CAM looks, in words; `''` for rollout."""
        if self.block is None:
            return ''
        return 'after the last block' if self.block == self.num_blocks else f'before block {self.block}'


def class_activation(activation: Tensor, gradient: Tensor) -> Tensor:
    """Weigh channels by their mean gradient, add them up and keep what is positive (Grad-CAM, arXiv 1610.02391).

    Args:
        activation: Activations (..., P, C).
        gradient: Gradient of what is explained with respect to them (..., P, C).

    Returns:
        Saliency (..., P), 0 or more.
    """
    return (gradient.mean(-2, keepdim=True) * activation).sum(-1).clamp(min=0)


def rollout(attentions: Sequence[Tensor]) -> Tensor:
    """Follow attention through all blocks (attention rollout, arXiv 2005.00928).

    Args:
        attentions: Mean attention over the heads of every block (..., L, L), the first block first, at least one.

    Returns:
        What each token after the last block takes from each token before the first one (..., L, L); a row adds
        up to 1. Half of every block is its residual connection.
    """
    identity = torch.eye(attentions[0].shape[-1], dtype=attentions[0].dtype, device=attentions[0].device)
    flow = identity
    for attention in attentions:
        flow = (attention + identity) / 2 @ flow
    return flow


class _StreamWatch(Watch):
    """Keeps the streams at the entrance of one block, cut off from what made them."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.streams: Tensor | None = None

    def enter(self, index: int, block: Block, streams: Tensor) -> tuple[Block, Tensor]:
        """Keep the streams of the block that is watched."""
        return block, self._keep(streams) if index == self.block else streams

    def leave(self, streams: Tensor) -> Tensor:
        """Keep the streams after the last block if no block is watched."""
        return self._keep(streams) if self.streams is None else streams

    def _keep(self, streams: Tensor) -> Tensor:
        # cut off, so that parts that are not trained give a gradient too, and no more is computed than is needed
        self.streams = streams.detach().requires_grad_()
        return self.streams


class _RecordedBlock(ViTBlock):
    """A block that keeps the weights of its attention."""

    def __init__(self, block: ViTBlock, kept: list[Tensor]) -> None:
        super().__init__(block.layer)
        self.block = block
        self.kept = kept

    @property
    def norm1(self) -> nn.Module:
        """Norm before the attention."""
        return self.block.norm1

    @property
    def norm2(self) -> nn.Module:
        """Norm before the MLP."""
        return self.block.norm2

    def attn(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Attend as always."""
        self.kept.append(self.block.attention_weights(x, key_mask).mean(-3))
        return self.block.attn(x, key_mask)

    def mlp(self, x: Tensor) -> Tensor:
        """Run the MLP as always."""
        return self.block.mlp(x)


class _AttentionWatch(Watch):
    """Keeps the attention (M, B, L, L) of every block, mean over heads."""

    def __init__(self, trunk: str) -> None:
        self.trunk = trunk
        self.kept: list[list[Tensor]] = []

    def enter(self, index: int, block: Block, streams: Tensor) -> tuple[Block, Tensor]:
        """Put a recorder in the place of the block."""
        if not isinstance(block, ViTBlock):
            raise InputError(
                f'attention rollout needs blocks that attend, but those of {self.trunk} do not; take grad-cam'
            )
        self.kept.append([])
        return _RecordedBlock(block, self.kept[-1]), streams

    def once(self) -> list[Tensor]:
        """Return one attention per block."""
        odd = [
            f'block {index} attends {len(kept)} times' for index, kept in enumerate(self.kept) if len(kept) != 1
        ]
        if odd:
            raise InputError(f'attention rollout needs one attention in every block, but {odd[0]}; take grad-cam')
        return [kept[0] for kept in self.kept]


def saliency_of(
    model: MultiModalFAS,
    item: Mapping[str, Any],
    *,
    method: str = 'grad-cam',
    target: str = 'decision',
    block: int | None = None,
) -> SaliencyMaps:
    """Run a model on one sample and find where it looks.

    Grad-CAM explains the log-odds of the target, which is all that the score depends on: the logit of the target
    minus that of the other class. It works with every trunk: channels are those of the tokens or of the feature
    map at the entrance of a block. Rollout needs a transformer, and sees nothing of what a neck does between the
    blocks.

    Args:
        model: In evaluation mode.
        item: `inputs` (modality -> uint8 tensor (3, H, W)) and `data_samples`, as the pipeline returns them.
        method: `'grad-cam'` or `'rollout'`.
        target: `'live'`, `'spoof'`, or `'decision'`: live where the score is 0.5 or more.
        block: Block at whose entrance Grad-CAM looks, from 0; the number of blocks means after the last. If None,
            the last one where the readout takes the class token, else after the last.

    Returns:
        The maps.

    Raises:
        ValueError: If a name or number is unknown, the trunk has no attention to roll out, or the score does not
            depend on the streams there.
    """
    num_blocks = model.trunk.num_blocks
    if method not in METHODS or target not in TARGETS:
        raise InputError(f'method is one of {METHODS} and target of {TARGETS}, but got {method!r}, {target!r}')
    if method == 'rollout' and (block is not None or target != 'decision'):
        raise InputError('attention rollout goes through all blocks and knows no class: leave both out')
    if block is not None and not 0 <= block <= num_blocks:
        raise InputError(f'block must lie in 0..{num_blocks} ({num_blocks}: after the last), but got {block}')
    data = model.data_preprocessor(pseudo_collate([item]), False)
    inputs, sample = data['inputs'], item['data_samples']
    grid = model.trunk.grid(inputs[model.modalities[0]].shape[-2:])
    if method == 'rollout':
        score, maps, is_joint = _roll_out(model, inputs, grid)
        explained, block = '', None
    else:
        block = num_blocks - model.trunk.reads_prefix_only if block is None else block
        score, maps, explained = _grad_cam(model, inputs, grid, target=target, block=block)
        is_joint = True
    present = inputs['present'][0]
    return SaliencyMaps(
        sample_id=str(sample.get('sample_id')),
        label=int(sample.get('gt_label', -1)),
        score=score,
        modalities=model.modalities,
        present=present.cpu().numpy(),
        pictures=np.stack([item['inputs'][m].permute(1, 2, 0).numpy() for m in model.modalities]),
        maps=torch.where(present[:, None, None], maps, maps.new_zeros(())).float().cpu().numpy(),
        target=explained,
        block=block,
        num_blocks=num_blocks,
        is_comparable=is_joint,
    )


def saliency_maps(
    cfg: Config, checkpoint: str | None = None, *, max_samples: int = 4, **options: Any
) -> list[SaliencyMaps]:
    """Run a model on test samples, one by one, and find where it looks.

    Args:
        cfg: Config with a `test_dataloader`.
        checkpoint: File with the weights; the initial ones if None.
        max_samples: Samples to look at, spread evenly over the data set, at least 1.
        **options: `method`, `target` and `block` of `saliency_of`.

    Returns:
        The maps of each sample.

    Raises:
        ScoreError: If the config has no test set.
        ValueError: As `saliency_of`.
        FileNotFoundError: If the checkpoint does not exist.
        CheckpointError: If the checkpoint is refused or does not fit.
    """
    prepare_scoring(cfg)
    samples = load_samples(cfg, max_samples=max_samples)
    model = load_model(cfg, checkpoint)
    return [saliency_of(model, item, **options) for item in samples]


def _grad_cam(
    model: MultiModalFAS,
    inputs: Mapping[str, Tensor],
    grid: tuple[int, int] | None,
    *,
    target: str,
    block: int,
) -> tuple[float, Tensor, str]:
    """Return the score, the maps (M, h, w) and the class that they explain."""
    watch = _StreamWatch(block)
    with torch.enable_grad():
        logits = model.head(model.extract_feat(inputs, watch=watch))
    score = float(liveness(logits.detach().double())[0])
    explained = target if target != 'decision' else 'live' if score >= 0.5 else 'spoof'
    of_live = logits[0, LIVE] - logits[0, SPOOF]
    streams = watch.streams
    assert streams is not None  # `leave` keeps them if nothing else did
    gradient = torch.autograd.grad(of_live if explained == 'live' else -of_live, streams, allow_unused=True)[0]
    if gradient is None:
        raise InputError(f'the score does not depend on what enters block {block}; choose an earlier --block')
    activation, size = _by_position(streams.detach(), model, grid)
    slope, _ = _by_position(gradient, model, grid)
    if not slope.any():
        raise InputError(
            f'the score does not depend on any position of what enters block {block}: choose an earlier --block '
            '(after the last one, a readout of the class token looks at no patch), or trained weights'
        )
    return score, class_activation(activation, slope)[:, 0].unflatten(-1, size), explained


@torch.no_grad()
def _roll_out(
    model: MultiModalFAS, inputs: Mapping[str, Tensor], grid: tuple[int, int] | None
) -> tuple[float, Tensor, bool]:
    """Return the score, the maps (M, h, w), and whether all modalities are one sequence."""
    watch = _AttentionWatch(type(model.trunk).__name__)
    logits = model.head(model.extract_feat(inputs, watch=watch))
    flow = rollout(watch.once())  # (M, B, L, L)
    prefix = model.trunk.num_prefix
    read = slice(model.trunk.num_read) if model.trunk.reads_prefix_only else slice(prefix, None)
    taken, size = _by_position(flow[..., read, :].mean(-2)[..., None], model, grid)
    maps = taken[:, 0, :, 0].unflatten(-1, size)
    return float(liveness(logits.double())[0]), maps, len(flow) < len(model.modalities)


def _by_position(
    streams: Tensor, model: MultiModalFAS, grid: tuple[int, int] | None
) -> tuple[Tensor, tuple[int, int]]:
    """Return streams as (M, B, P, C), and rows and columns of the positions."""
    num, prefix = len(model.modalities), model.trunk.num_prefix
    if streams.dim() == 5:
        return streams.flatten(3).transpose(2, 3), (streams.shape[3], streams.shape[4])
    if grid is not None and streams.dim() == 4:
        area = grid[0] * grid[1]
        if streams.shape[0] == num and streams.shape[2] == prefix + area:
            return streams[:, :, prefix:], grid
        if streams.shape[0] == 1 and streams.shape[2] == prefix + num * area:  # one joint sequence
            return streams[0, :, prefix:].unflatten(1, (num, area)).transpose(0, 1), grid
    raise InputError(
        f'streams of shape {tuple(streams.shape)} of {type(model.neck).__name__} cannot be laid over {num} '
        f'pictures of {grid} patches; expected ({num}, B, {prefix} + patches, C), one joint sequence, or maps'
    )
