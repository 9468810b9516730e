"""Convert the adaptor of the released MMDA code to mmfas, or back."""

from __future__ import annotations

import argparse
import sys

from mmfas.cli.errors import reports_user_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument('file', help='state dict of the adaptor (everything after CLIP), as saved by torch.save')
    parser.add_argument('out', help='file to write')
    parser.add_argument('--reverse', action='store_true', help='from mmfas to the names of the release')
    parser.add_argument('--anchors', help='file of `mmfas encode_prompts` whose anchors go along')


@reports_user_errors()
def main(argv: list[str] | None = None) -> int:
    """Convert; returns 0, or 1 if the file cannot be used."""
    parser = argparse.ArgumentParser(prog='mmfas released_mmda_to_mmfas', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    if args.reverse and args.anchors:
        parser.error('--anchors has no place in the release; leave it out with --reverse')

    from mmfas.models.weights.mmda import mmfas_to_released_mmda, released_mmda_to_mmfas
    from mmfas.utils.checkpoint import load_checkpoint, load_weights, write_checkpoint

    weights = load_weights(args.file)
    if args.reverse:
        converted = mmfas_to_released_mmda(weights)
    else:
        anchors = load_checkpoint(args.anchors)['embeddings'] if args.anchors else None
        converted = released_mmda_to_mmfas(weights, anchors=anchors)
    sha256 = write_checkpoint(converted if args.reverse else {'state_dict': converted}, args.out)
    print(f'{args.out}: {len(converted)} tensors, {sum(v.numel() for v in converted.values()):,} numbers')
    print(f'sha256 {sha256}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
