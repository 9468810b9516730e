"""What every trunk can do: embed the images, yield its blocks one by one, read the streams out.

Legend: M modalities (canonical order), B batch, C width of the readout, feat any shape of one stream.
"""

from __future__ import annotations

import difflib
import re
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmfas.models.layers.lora import LoRAOptions, add_lora
from mmfas.models.specs import Block, OwnedParameter, StreamSpec
from mmfas.registry import MODELS
from mmfas.structures import MODALITIES, check_modalities
from mmfas.utils.errors import InputError, MissingPackageError

#: What networks of other toolkits raise where they are given what they do not take.
BUILD_ERRORS = (
    AssertionError, AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError,
    ZeroDivisionError,
)  # fmt: skip


def build_network(cfg: Mapping[str, Any], option: str, *, remedy: str = '') -> Any:
    """Build a network of another toolkit.

    Args:
        cfg: Its config.
        option: Name of the argument that holds it, for messages.
        remedy: What to do instead, for messages.

    Raises:
        ValueError: If the network refuses what its config says, in the words that it has for it.
        ModuleNotFoundError: If it needs timm, and timm is not installed.
    """
    try:
        return MODELS.build(dict(cfg))
    except ImportError as error:
        if 'requires timm' not in str(error):
            raise
        raise MissingPackageError(f"`{option}` needs timm: pip install 'mmfas[timm]'") from error
    except (*BUILD_ERRORS, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith('Unknown model'):  # how timm knows none
            raise
        reason = f'{type(error).__name__}: {error}'.removeprefix('AssertionError: ')
        if 'out_type' in reason:  # an argument of ours that every vision transformer of mmpretrain takes
            reason = f'{cfg["type"]} is not a vision transformer that takes `out_type`'
        raise InputError(f'`{option}` cannot be built: {reason}{remedy}') from error


class BaseTrunk(BaseModule):
    """A network shared by all modalities that hands control to the neck between its blocks.

    Subclasses set `embed_dims`, `token_dims`, `num_prefix` and `image_size`, and call `freeze` last.

    Args:
        modalities: Modalities of the streams; the model gives its own.
        init_cfg: Initialisation, as in mmengine.
    """

    #: Arguments the model gives, so that configs need not.
    injected = ('modalities',)
    #: Networks of other toolkits that it takes, for `mmfas list`; empty for one that brings its own.
    networks: tuple[str, ...] = ()
    #: Whether its streams are token sequences, which some necks need; None where only the built trunk knows.
    gives_tokens: bool | None = None
    #: Width C of the readout.
    embed_dims: int
    #: Width of a token; None if the streams are feature maps.
    token_dims: int | None = None
    #: Tokens before the patch tokens.
    num_prefix: int = 0
    #: How many of them `readout` takes the mean of, if it looks at no others.
    num_read: int = 1
    #: Whether `readout` looks at no other tokens than those, and takes streams that have no others.
    reads_prefix_only: bool = False
    #: Whether `embed` and `bind` read values of `present`; the mask they get then is in the host's memory, if it
    #: can be, so that they need not wait for a device.
    reads_presence: bool = False
    #: Rows and columns of the images it was made for, in pixels; None if any size will do.
    image_size: tuple[int, int] | None = None

    def __init__(self, *, modalities: Sequence[str] = MODALITIES, init_cfg: Any = None) -> None:
        super().__init__(init_cfg)
        self.modalities = check_modalities(modalities)
        self._frozen: tuple[str, ...] = ()
        self._is_adapted = False

    @classmethod
    @abstractmethod
    def example_cfg(cls) -> dict[str, Any]:
        """Return a config of a tiny trunk of this class, for tests and demonstrations."""

    @abstractmethod
    def embed(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Turn images into streams.

        Args:
            images: Normalised images (M, B, 3, H, W).
            present: Boolean mask (B, M); None if all are present.

        Returns:
            Streams (M, B, *feat).
        """

    @property
    @abstractmethod
    def blocks(self) -> Sequence[Block]:
        """Light views of the blocks; each maps streams (M, B, *feat) to streams."""

    @abstractmethod
    def readout(self, streams: Tensor) -> Tensor:
        """Read the streams out, after the last block.

        Args:
            streams: Streams (N, B, *feat); N is M, or what a neck made of it.

        Returns:
            Features (N, B, C).
        """

    @abstractmethod
    def parts(self) -> dict[str, list[nn.Module | nn.Parameter]]:
        """Name the parts that can be frozen; blocks are `'blocks:0'`, `'blocks:1'`, ..."""

    def bind(self, present: Tensor) -> Sequence[Block]:
        """Return the blocks for one batch.

        Args:
            present: Boolean mask (B, M); a trunk whose statistics run over the batch leaves absent rows out.

        Returns:
            One view per block.
        """
        return self.blocks

    def grid(self, image_size: Sequence[int]) -> tuple[int, int] | None:
        """Return rows and columns of the patch grid for images of this size, or None without tokens."""
        return None

    def modality_parameters(self) -> dict[str, list[OwnedParameter]]:
        """Say which parameters, or slices of stacked ones, belong to which modality."""
        return {}

    @property
    def has_tokens(self) -> bool:
        """Whether the streams are token sequences (M, B, L, token_dims)."""
        return self.token_dims is not None

    @property
    def num_blocks(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def spec(self) -> StreamSpec:
        """What a neck must know of this trunk."""
        return StreamSpec(
            modalities=self.modalities,
            embed_dims=self.embed_dims,
            token_dims=self.token_dims,
            num_blocks=self.num_blocks,
            num_prefix=self.num_prefix,
            reads_prefix_only=self.reads_prefix_only,
            grid=None if self.image_size is None else self.grid(self.image_size),
            image_size=self.image_size,
            trunk=type(self).__name__,
        )

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return the depth of a parameter and the number of depths, for rates that fall from layer to layer.

        What comes before the blocks has depth 0, block i has i + 1; what comes after them is last, as is every
        parameter that is not of the trunk. mmpretrain's `LearningRateDecayOptimWrapperConstructor` asks for it.

        Args:
            param_name: Name of the parameter.
            prefix: What the names of the trunk's parameters begin with.
        """
        last = self.num_blocks + 1
        if not param_name.startswith(prefix):
            return last, last + 1
        parameter, depth = self.get_parameter(param_name.removeprefix(prefix)), 0
        for part, items in self.parts().items():
            depth = int(part.partition(':')[2]) + 1 if part.startswith('blocks:') else depth and last
            within = (p for item in items for p in (item.parameters() if isinstance(item, nn.Module) else [item]))
            if any(p is parameter for p in within):
                return depth, last + 1
        return last, last + 1

    def adapt(self, lora: Mapping[str, Any] | None, frozen: Sequence[str] = ()) -> None:
        """Train low-rank updates of linear layers and nothing else; see `mmfas.models.layers.LoRAOptions`.

        Args:
            lora: Options, or None for nothing.
            frozen: Parts that are frozen by the config.

        Raises:
            ValueError: If an option is wrong, a target names no linear layer, or parts are frozen, too.
        """
        if lora is None:
            return
        if frozen:
            raise InputError(f'lora trains nothing else of the trunk, so leave out frozen={tuple(frozen)}')
        add_lora(self, LoRAOptions.of(lora))
        self._is_adapted = True

    def freeze(self, frozen: Sequence[str]) -> None:
        """Stop training some parts for good: no gradient, and evaluation mode even after `.train()`.

        Args:
            frozen: Names of `parts()`; `'blocks'` means all blocks, `'blocks:0-10'` a range with both ends,
                `'all'` everything.

        Raises:
            ValueError: If a part does not exist.
        """
        parts = self.parts()
        self._frozen = tuple(dict.fromkeys(name for entry in frozen for name in expand_part(entry, parts)))
        for name in self._frozen:
            for item in parts[name]:
                item.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> BaseTrunk:
        """Set training mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        parts = self.parts() if self._frozen else {}
        for name in self._frozen:
            for item in parts[name]:
                if isinstance(item, nn.Module):
                    item.eval()
        for module in self.modules() if self._is_adapted else ():
            if isinstance(module, _BatchNorm):  # its statistics are weights that would change
                module.eval()
        return self


def expand_part(entry: str, parts: Collection[str], *, option: str = 'frozen') -> list[str]:
    """Resolve one entry of `frozen`, or of another option, to names of parts.

    >>> expand_part('blocks:0-1', ['patch', 'blocks:0', 'blocks:1', 'blocks:2'])
    ['blocks:0', 'blocks:1']
    """
    ranged = re.fullmatch(r'blocks:(\d+)-(\d+)', entry)
    if ranged:
        wanted = [f'blocks:{i}' for i in range(int(ranged[1]), int(ranged[2]) + 1)]
    elif entry in ('all', 'blocks'):
        wanted = [name for name in parts if entry == 'all' or name.startswith('blocks:')]
    else:
        wanted = [entry]
    unknown = [name for name in wanted if name not in parts]
    if unknown or not wanted:
        near = difflib.get_close_matches(entry, list(parts), n=1)
        hint = f'; did you mean {near[0]!r}?' if near else ''
        what = 'cannot freeze' if option == 'frozen' else f'{option} cannot hold'
        raise InputError(f'{what} {entry!r}: the trunk has the parts {list(parts)}, ranges and "all"{hint}')
    return wanted
