"""Convert weights of the released MMDA code to mmfas, or back: the adaptor, or a checkpoint of its trainer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from mmfas.cli.errors import reports_user_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument(
        'file',
        help='as saved by torch.save: a checkpoint of the trainer (model.*, adapter.*), or the state dict of the '
        'adaptor (everything after CLIP)',
    )
    parser.add_argument('out', help='file to write')
    parser.add_argument('--reverse', action='store_true', help='from mmfas to the names of the release')
    parser.add_argument(
        '--with-clip',
        action='store_true',
        help='with --reverse: a checkpoint of the trainer, not the adaptor alone',
    )
    parser.add_argument(
        '--anchors',
        help='file of `mmfas encode_prompts` whose anchors go along; not needed for a checkpoint of the trainer, '
        'whose text tower encodes them',
    )


@reports_user_errors()
def main(argv: list[str] | None = None) -> int:
    """Convert; returns 0, or 1 if the file cannot be used."""
    parser = argparse.ArgumentParser(prog='mmfas released_mmda_to_mmfas', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    if args.reverse and args.anchors:
        parser.error('--anchors has no place in the release; leave it out with --reverse')
    if args.with_clip and not args.reverse:
        parser.error('--with-clip says what --reverse writes; what a file holds is seen from its names')

    import torch

    from mmfas.models.weights.mmda import mmfas_to_released_mmda, released_mmda_to_mmfas
    from mmfas.utils.checkpoint import load_checkpoint, load_weights, sha256_of
    from mmfas.utils.files import atomic_file

    weights = load_weights(args.file)
    if args.reverse:
        converted = mmfas_to_released_mmda(weights, with_clip=args.with_clip)
    else:
        anchors = load_checkpoint(args.anchors)['embeddings'] if args.anchors else None
        converted = released_mmda_to_mmfas(weights, anchors=anchors)
        print(_summary(weights, converted))
    with atomic_file(args.out) as stream:
        torch.save(converted if args.reverse else {'state_dict': converted}, stream)
    print(f'{args.out}: {len(converted)} tensors, {sum(v.numel() for v in converted.values()):,} numbers')
    print(f'sha256 {sha256_of(args.out)}')
    return 0


def _summary(given: Mapping[str, Any], converted: Mapping[str, Any]) -> str:
    """Say which factor and anchors a converted file has, and what a config must say to take them."""
    is_whole = any(name.startswith('adapter.') for name in given)
    has_scale = is_whole or 'logit_scale' in given
    origin = (
        'as trained' if has_scale else 'where CLIP starts: the file has no logit_scale, a whole checkpoint has'
    )
    lines = [f'factor of the cosines: {float(converted["head.log_scale"].exp()):.2f}, {origin}']
    anchors = converted.get('head.anchors.embeddings')
    if anchors is None:
        lines.append('anchors: none, a model keeps those it has')
    elif is_whole and len(anchors) == 47:
        lines.append('anchors: 24 spoof, 23 live; load with model.head.anchors.num_anchors="(24,23)"')
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
