"""The text tower of CLIP over a fixed list of prompts.

Legend: K prompts, C width of the anchors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmfas.utils.errors import InputError, MissingPackageError
from mmfas.utils.state_dicts import compare_state_dicts

#: OpenAI's CLIP ViT-B/16 in the names of open_clip.
CLIP_ARCH = 'ViT-B-16-quickgelu'
#: What OpenAI's files hold beside the weights of the towers; those of the image tower begin with `visual.`.
_NO_TEXT_WEIGHTS = ('logit_scale', 'input_resolution', 'context_length', 'vocab_size')
#: What may differ between the text towers of CLIP.
_SIZES = ('context_length', 'vocab_size', 'width', 'heads', 'layers')


class TextTower(nn.Module):
    """Encode prompts as CLIP does: the feature at the end of the text, projected, not normalised.

    The tower is open_clip's, with random weights; nothing is downloaded.

    Args:
        prompts: Texts, K of them.
        arch: Name of a model of open_clip; OpenAI's weights want a `quickgelu` one. Or `embed_dim` (the width C)
            and any of `context_length`, `width`, `heads`, `layers` for a custom tower.

    Raises:
        ModuleNotFoundError: If open_clip is not installed.
        ValueError: If open_clip has no such model, or its tower is not of CLIP's kind.
    """

    tokens: Tensor

    def __init__(self, prompts: Sequence[str], *, arch: str | Mapping[str, Any] = CLIP_ARCH) -> None:
        super().__init__()
        open_clip = _open_clip()
        self.arch = arch if isinstance(arch, str) else 'the tower of the config'
        options = _options(arch, open_clip)
        self.dims = int(options['output_dim'])
        self.encoder = open_clip.transformer.TextTransformer(**options)
        tokenizer = open_clip.SimpleTokenizer(context_length=options['context_length'])
        self.register_buffer('tokens', tokenizer(list(prompts)), persistent=False)

    def forward(self) -> Tensor:
        """Encode the prompts (K, C)."""
        return self.encoder(self.tokens)

    def load_clip(self, weights: Mapping[str, Tensor]) -> None:
        """Read the text tower of a CLIP.

        Args:
            weights: State dict of a whole CLIP in the names of OpenAI.

        Raises:
            ValueError: If the weights are not those of this tower.
        """
        given = {
            name: value.float()
            for name, value in weights.items()
            if not name.startswith('visual.') and name not in _NO_TEXT_WEIGHTS
        }
        misfit = compare_state_dicts(given, self.encoder.state_dict())
        if misfit:
            raise InputError(
                f'the weights are not those of the text tower of {self.arch}: {misfit}; take the state dict of '
                'the whole CLIP in the names of OpenAI, or another arch'
            )
        self.encoder.load_state_dict(given)


def _open_clip() -> Any:
    """Import open_clip, which is optional."""
    try:
        import open_clip
        import open_clip.transformer
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "encoding prompts needs open_clip, which is missing; install it with `pip install 'mmfas[clip]'`",
            name=error.name,
        ) from error
    return open_clip


def _options(arch: str | Mapping[str, Any], open_clip: Any) -> dict[str, Any]:
    """Return the arguments of open_clip's `TextTransformer`."""
    config = open_clip.get_model_config(arch) if isinstance(arch, str) else _own_config(arch)
    if config is None:
        raise InputError(f'open_clip has no model {arch!r}; `open_clip.list_models()` names those it has')
    text = dict(config['text_cfg'])
    own = {
        name: text.pop(name)
        for name in ('context_length', 'vocab_size', 'width', 'heads', 'layers')
        if name in text
    }
    if text:
        raise InputError(
            f'the text tower of {arch!r} is not of the kind of CLIP (it has {sorted(text)}); take one such as '
            f'{CLIP_ARCH!r}'
        )
    layer = open_clip.transformer.QuickGELU if config.get('quick_gelu') else nn.GELU
    return {'context_length': 77, **own, 'output_dim': config['embed_dim'], 'act_layer': layer}


def _own_config(arch: Mapping[str, Any]) -> dict[str, Any]:
    """Write the options of a custom tower as open_clip's config."""
    if 'embed_dim' not in arch:
        raise InputError(f'a text tower of your own needs embed_dim, but got {sorted(arch)}')
    sizes = {name: value for name, value in arch.items() if name != 'embed_dim'}
    return dict(embed_dim=arch['embed_dim'], text_cfg=sizes, quick_gelu=True)
