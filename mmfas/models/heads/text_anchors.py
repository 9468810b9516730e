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

from mmfas.structures import LIVE, SPOOF

#: The 24 + 24 prompts of MMDA (arXiv 2505.09484): 18 of its own and 6 of FLIP (arXiv 2309.16649) per class.
MMDA_PROMPTS = Path(__file__).with_name('mmda_prompts.yml')


class TextAnchors(BaseModule):
    """Anchors of both classes, encoded once and for all.

    `embeddings` (K, C) holds the spoof anchors first. It is a buffer and travels with the checkpoint.

    Args:
        dims: Width C.
        num_anchors: Number of spoof and of live anchors.
        file: File of `mmfas encode_prompts`, read by `init_weights`. None for directions drawn at random, which
            mean nothing: a stand-in where there is no text tower of that width.
        seed: Of the random directions.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: If a class has no anchor.
    """

    embeddings: Tensor

    def __init__(
        self,
        dims: int,
        *,
        num_anchors: Sequence[int] = (24, 24),
        file: str | None = None,
        seed: int = 0,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(num_anchors) != 2 or min(num_anchors) < 1:
            raise ValueError(f'num_anchors must be two numbers from 1 on, spoof and live, but got {num_anchors}')
        self.file = file
        self.num_anchors = (int(num_anchors[0]), int(num_anchors[1]))
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer('embeddings', torch.randn(sum(num_anchors), dims, generator=generator))

    def init_weights(self) -> None:
        """Read the file of anchors, if there is one.

        Raises:
            ValueError: If it is none, or holds other numbers of anchors or another width; the message names both.
        """
        super().init_weights()
        if self.file is None:
            return
        from mmfas.utils.checkpoint import load_checkpoint

        given = load_checkpoint(self.file)
        if not {'embeddings', 'num_anchors'} <= set(given):
            raise ValueError(
                f"'{self.file}' holds {sorted(given)[:5]}, but anchors are `embeddings` and `num_anchors`; "
                'make the file with `mmfas encode_prompts`'
            )
        found = (given['embeddings'].shape[1], tuple(given['num_anchors']))
        wanted = (self.embeddings.shape[1], self.num_anchors)
        if found != wanted:
            raise ValueError(
                f"'{self.file}' has {found[1]} anchors (spoof, live) of width {found[0]}, but the config says "
                f'{wanted[1]} of width {wanted[0]}; set num_anchors and dims of the anchors'
            )
        self.embeddings.copy_(given['embeddings'])


def read_prompts(file: str | Path = MMDA_PROMPTS) -> dict[int, list[str]]:
    """Read a file of prompts.

    Args:
        file: YAML file with two lists of texts, `spoof` and `live`.

    Returns:
        Label -> its prompts, spoof first.

    Raises:
        ValueError: If a list is missing or empty, something else is there, or a text is repeated.

    >>> {label: len(texts) for label, texts in read_prompts().items()}
    {0: 24, 1: 24}
    """
    content = yaml.safe_load(Path(file).read_text(encoding='utf-8'))
    is_table = isinstance(content, Mapping) and set(content) == {'spoof', 'live'}
    lists = [content[name] for name in ('spoof', 'live')] if is_table else []
    if not lists or not all(isinstance(texts, list) and texts for texts in lists):
        raise ValueError(f"'{file}' must hold two lists of texts, `spoof` and `live`, and nothing else")
    texts = [text for given in lists for text in given]
    if not all(isinstance(text, str) for text in texts) or len(set(texts)) < len(texts):
        raise ValueError(f"'{file}' must hold texts, each once")
    return dict(zip((SPOOF, LIVE), lists, strict=True))
