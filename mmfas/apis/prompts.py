"""Encode prompts with the text tower of CLIP, once: no training and no test runs it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

#: Values that OpenAI's files hold beside the weights.
_NO_WEIGHTS = ('input_resolution', 'context_length', 'vocab_size')


def encode_prompts(
    weights: Mapping[str, Tensor], prompts: Mapping[int, Sequence[str]], *, arch: str = 'ViT-B-16-quickgelu'
) -> dict[str, Any]:
    """Encode prompts as anchors of `TextAlignHead`.

    Args:
        weights: State dict of a whole CLIP in the names of OpenAI.
        prompts: Label -> its texts, see `mmfas.models.heads.read_prompts`.
        arch: Name of the model in open_clip; OpenAI's weights want a `quickgelu` one.

    Returns:
        `embeddings` (K, C), float32, spoof first, of any length; `num_anchors`, spoof and live; `prompts`.

    Raises:
        ModuleNotFoundError: If open_clip is not installed.
        ValueError: If the weights are not those of such a model.
    """
    try:
        import open_clip
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "encoding prompts needs open_clip, which is missing; install it with `pip install 'mmfas[clip]'`",
            name=error.name,
        ) from error
    model = open_clip.create_model(arch, pretrained=None)
    state = {name: value for name, value in weights.items() if name not in _NO_WEIGHTS}
    report = model.load_state_dict({name: value.float() for name, value in state.items()}, strict=False)
    missing = [name for name in report.missing_keys if not re.fullmatch(r'.*attn_mask', name)]
    if missing or report.unexpected_keys:
        raise ValueError(
            f'the weights are not those of {arch}: {len(missing)} names are missing, such as {missing[:3]}, '
            f'{len(report.unexpected_keys)} are left over, such as {report.unexpected_keys[:3]}; take the state '
            'dict of the whole CLIP in the names of OpenAI, or another --arch'
        )
    texts = [text for label in sorted(prompts) for text in prompts[label]]
    with torch.no_grad():
        embeddings = model.eval().encode_text(open_clip.get_tokenizer(arch)(texts))
    return dict(
        embeddings=embeddings.float(),
        num_anchors=[len(prompts[label]) for label in sorted(prompts)],
        prompts=texts,
    )
