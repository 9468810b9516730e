"""Convert weights of another code base to mmfas, and those of a released method also back."""

from __future__ import annotations

import argparse
import io
from typing import TYPE_CHECKING

from mmfas.cli.command import command
from mmfas.cli.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

#: Where weights of a trunk come from.
TRUNKS = {
    'torchvision': 'a ViT of torchvision',
    'timm': 'a ViT of timm',
    'openai_clip': 'CLIP in the names of OpenAI',
    'hf_clip': 'CLIP in the names of Hugging Face',
}
#: Released methods.
METHODS = {
    'released_mmdg': 'a whole model of the released MMDG code',
    'released_mmda': 'the adaptor (everything after CLIP) of the released MMDA code',
    'released_big_moe': 'a whole model of the released BIG-MoE code',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options: those of all sources, and those of some."""
    sources = parser.add_subparsers(dest='source', metavar='SOURCE', required=True, title='sources')
    parsers = {}
    for name, text in {**TRUNKS, **METHODS}.items():
        below = parsers[name] = sources.add_parser(name, help=text, description=f'Convert {text}.')
        below.add_argument('file', help='state dict, as saved by torch.save')
        use = 'file to write; give it to `trunk.pretrained` of a config' if name in TRUNKS else 'file to write'
        below.add_argument('out', help=use)
        if name in METHODS:
            below.add_argument('--reverse', action='store_true', help='from mmfas to the names of the release')
    parsers['released_mmdg'].add_argument(
        '--num-domains', type=int, default=4, help='domains of our PrototypeHead, whose prototypes are empty (4)'
    )
    parsers['released_mmda'].add_argument(
        '--anchors', help='file of `mmfas weights prompts` whose anchors go along'
    )


@command()
def main(args: argparse.Namespace) -> int:
    """Convert; returns 0, or 1 if the file cannot be used."""
    if args.source == 'released_mmda' and args.reverse and args.anchors:
        raise UsageError('--anchors has no place in the release; leave it out with --reverse')

    import torch

    from mmfas.utils.checkpoint import load_weights, sha256_of, write_atomically

    weights = load_weights(args.file)
    is_reverse = args.source in METHODS and args.reverse
    converted = _to_release(args.source, weights) if is_reverse else _to_mmfas(args, weights)
    content = io.BytesIO()
    torch.save(converted if is_reverse else {'state_dict': converted}, content)
    write_atomically(content.getvalue(), args.out)
    print(f'{args.out}: {len(converted)} tensors, {sum(v.numel() for v in converted.values()):,} numbers')
    print(f'sha256 {sha256_of(args.out)}')
    return 0


def _to_mmfas(args: argparse.Namespace, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in the names of mmfas."""
    from mmfas.models.weights.big_moe import released_big_moe_to_mmfas
    from mmfas.models.weights.mmda import released_mmda_to_mmfas
    from mmfas.models.weights.mmdg import released_mmdg_to_mmfas
    from mmfas.models.weights.vit import convert_vit
    from mmfas.utils.checkpoint import load_checkpoint

    if args.source == 'released_mmdg':
        return released_mmdg_to_mmfas(weights, num_domains=args.num_domains)
    if args.source == 'released_big_moe':
        return released_big_moe_to_mmfas(weights)
    if args.source == 'released_mmda':
        anchors = load_checkpoint(args.anchors)['embeddings'] if args.anchors else None
        return released_mmda_to_mmfas(weights, anchors=anchors)
    return convert_vit(weights, args.source)


def _to_release(source: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in the names of a release."""
    from mmfas.models.weights.big_moe import mmfas_to_released_big_moe
    from mmfas.models.weights.mmda import mmfas_to_released_mmda
    from mmfas.models.weights.mmdg import mmfas_to_released_mmdg

    back = {
        'released_mmdg': mmfas_to_released_mmdg,
        'released_mmda': mmfas_to_released_mmda,
        'released_big_moe': mmfas_to_released_big_moe,
    }
    return back[source](weights)
