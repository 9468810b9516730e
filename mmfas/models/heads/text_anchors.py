"""Embedded prompts: the points in feature space that texts on live and spoofed faces stand for.

Legend: K anchors, C width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from mmengine.model import BaseModule
from torch import Tensor

from mmfas.models.heads.text_tower import TextTower
from mmfas.structures import LIVE, SPOOF
from mmfas.utils.errors import InputError

#: The 24 + 24 prompts of MMDA (arXiv 2505.09484): 18 of its own and 6 of FLIP (arXiv 2309.16649) per class.
MMDA_PROMPTS = Path(__file__).with_name('mmda_prompts.yml')
#: Name -> prompts that come with mmfas: those of MMDA, and the 6 + 6 of FLIP.
PROMPT_SETS = {'mmda': MMDA_PROMPTS, 'flip': Path(__file__).with_name('flip_prompts.yml')}


class TextAnchors(BaseModule):
    """Anchors of both classes (K, C), the spoof anchors first.

    They are encoded once and for all: `embeddings` is a buffer and travels with the checkpoint; there is no text
    tower. With `train_text` there is one, which encodes the prompts whenever the anchors are needed: in every step
    of training, never for a score.

    Args:
        dims: Width C.
        num_anchors: Number of spoof and of live anchors.
        file: File of `mmfas weights prompts`, read by `init_weights`. None for directions drawn at random, which
            have no meaning: a placeholder where there is no text tower of that width.
        seed: Seed of the random directions.
        train_text: Train the text tower of CLIP with the rest, as the released code does.
        text_tower: With `train_text`: `pretrained`, a file with a whole CLIP in the names of OpenAI, read by
            `init_weights` (random weights without); `prompts` as `read_prompts` takes them (`'mmda'` without);
            `arch`, see `TextTower`.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If a class has no anchor, options do not fit each other, or the tower has another width.
        ModuleNotFoundError: With `train_text`, if open_clip is not installed.
    """

    embeddings: Tensor | None

    def __init__(
        self,
        dims: int,
        *,
        num_anchors: Sequence[int] = (24, 24),
        file: str | None = None,
        seed: int = 0,
        train_text: bool = False,
        text_tower: Mapping[str, Any] | None = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(num_anchors) != 2 or min(num_anchors) < 1:
            raise InputError(f'num_anchors must be two numbers from 1 on, spoof and live, but got {num_anchors}')
        if train_text and file is not None or text_tower is not None and not train_text:
            raise InputError(
                'with train_text=True the text tower makes the anchors (text_tower), without it they come from a '
                f'file (file), but got train_text={train_text}, file={file!r} and text_tower={text_tower}'
            )
        self.dims, self.file = dims, file
        self.num_anchors = (int(num_anchors[0]), int(num_anchors[1]))
        tower = {'pretrained': None, 'prompts': None, **(text_tower or {})}
        self.pretrained = tower.pop('pretrained')
        self.tower = _build_tower(self.num_anchors, dims, **tower) if train_text else None
        generator = torch.Generator().manual_seed(seed)
        drawn = None if train_text else torch.randn(sum(num_anchors), dims, generator=generator, device='cpu')
        self.register_buffer('embeddings', drawn)

    def forward(self) -> Tensor:
        """Return the anchors (K, C); only with `train_text` is anything computed."""
        if self.tower is not None:
            return self.tower()
        assert self.embeddings is not None  # there is one or the other
        return self.embeddings

    def init_weights(self) -> None:
        """Read the file of anchors or the weights of the text tower, if there is one.

        Raises:
            ValueError: If the file does not hold anchors, or their number or width is another; the message names
                both.
        """
        super().init_weights()
        from mmfas.utils.checkpoint import check_finite, check_weights, load_checkpoint, load_weights

        if self.tower is not None and self.pretrained is not None:
            self.tower.load_clip(load_weights(self.pretrained))
        if self.embeddings is None or self.file is None:
            return

        given = load_checkpoint(self.file)
        if not {'embeddings', 'num_anchors'} <= set(given):
            raise InputError(
                f"'{self.file}' holds {sorted(given)[:5]}, but anchors are `embeddings` and `num_anchors`; "
                'make the file with `mmfas weights prompts`'
            )
        anchors = {'embeddings': given['embeddings']}
        check_weights(anchors, self.file)
        check_finite(anchors, self.file, 'make it again with `mmfas weights prompts`')
        found = (given['embeddings'].shape[1], tuple(given['num_anchors']))
        wanted = (self.embeddings.shape[1], self.num_anchors)
        if found != wanted:
            raise InputError(
                f"'{self.file}' has {found[1]} anchors (spoof, live) of width {found[0]}, but the config says "
                f'{wanted[1]} of width {wanted[0]}; set num_anchors and dims of the anchors'
            )
        self.embeddings.copy_(given['embeddings'])


def _build_tower(
    num_anchors: tuple[int, int], dims: int, *, prompts: str | Mapping[str, Any] | None, **options: Any
) -> TextTower:
    """Build the text tower over the prompts of both classes."""
    texts = list(read_prompts(prompts or MMDA_PROMPTS).values())
    tower = TextTower([text for own in texts for text in own], **options)
    found = (tower.dims, tuple(map(len, texts)))
    if found != (dims, num_anchors):
        raise InputError(
            f'the text tower makes {found[1]} anchors (spoof, live) of width {found[0]}, but the config says '
            f'{num_anchors} of width {dims}; set num_anchors and dims of the anchors'
        )
    return tower


def read_prompts(file: str | Path | Mapping[str, Any] = MMDA_PROMPTS) -> dict[int, list[str]]:
    """Read a file of prompts.

    Args:
        file: YAML file with two lists of texts, `spoof` and `live`; or a name in `PROMPT_SETS` (a file of that
            name is `./flip`); or what such a file holds.

    Returns:
        Label -> its prompts, spoof first.

    Raises:
        ValueError: If a list is missing or empty, something else is there, or a text is repeated.

    >>> {label: len(texts) for label, texts in read_prompts().items()}
    {0: 24, 1: 24}
    >>> {label: len(texts) for label, texts in read_prompts('flip').items()}
    {0: 6, 1: 6}
    """
    if isinstance(file, Mapping):
        content, file = file, 'prompts'
    else:
        file = PROMPT_SETS.get(str(file), file)
        content = yaml.safe_load(Path(file).read_text(encoding='utf-8'))
    is_table = isinstance(content, Mapping) and set(content) == {'spoof', 'live'}
    lists = [content[name] for name in ('spoof', 'live')] if is_table else []
    if not lists or not all(isinstance(texts, list) and texts for texts in lists):
        raise InputError(f"'{file}' must hold two lists of texts, `spoof` and `live`, and nothing else")
    texts = [text for given in lists for text in given]
    if not all(isinstance(text, str) for text in texts) or len(set(texts)) < len(texts):
        raise InputError(f"'{file}' must hold texts, each once")
    return dict(zip((SPOOF, LIVE), lists, strict=True))
