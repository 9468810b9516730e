"""Encode prompts with the text tower of CLIP once, so that neither training nor testing has to run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmfas.models.heads import CLIP_ARCH, TextTower


def encode_prompts(
    weights: Mapping[str, Tensor],
    prompts: Mapping[int, Sequence[str]],
    *,
    arch: str | Mapping[str, Any] = CLIP_ARCH,
) -> dict[str, Any]:
    """Encode prompts as anchors of `TextAlignHead`.

    Args:
        weights: State dict of a whole CLIP in the names of OpenAI.
        prompts: Label -> its texts, see `mmfas.models.heads.read_prompts`.
        arch: Name of the model in open_clip, or sizes of a tower; see `TextTower`.

    Returns:
        `embeddings` (K, C), float32, spoof first, of any length; `num_anchors`, spoof and live; `prompts`.

    Raises:
        ModuleNotFoundError: If open_clip is not installed.
        ValueError: If there is no such model, or the weights are not those of its text tower.
    """
    texts = [text for label in sorted(prompts) for text in prompts[label]]
    tower = TextTower(texts, arch=arch)
    tower.load_clip(weights)
    with torch.no_grad():
        embeddings = tower.eval()()
    return dict(
        embeddings=embeddings.float(),
        num_anchors=[len(prompts[label]) for label in sorted(prompts)],
        prompts=texts,
    )
