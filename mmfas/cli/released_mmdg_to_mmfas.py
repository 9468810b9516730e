"""Convert weights of the released MMDG code to mmfas, or back."""

from __future__ import annotations

import argparse
import sys

from mmfas.cli.errors import reports_user_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument('file', help='state dict of the whole model, as saved by torch.save')
    parser.add_argument('out', help='file to write')
    parser.add_argument('--reverse', action='store_true', help='from mmfas to the names of the release')
    parser.add_argument(
        '--num-domains', type=int, default=4, help='domains of our PrototypeHead, whose prototypes are empty (4)'
    )


@reports_user_errors()
def main(argv: list[str] | None = None) -> int:
    """Convert; returns 0, or 1 if the file cannot be used."""
    parser = argparse.ArgumentParser(prog='mmfas released_mmdg_to_mmfas', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)

    from mmfas.models.weights.mmdg import mmfas_to_released_mmdg, released_mmdg_to_mmfas
    from mmfas.utils.checkpoint import load_weights, write_checkpoint

    weights = load_weights(args.file)
    if args.reverse:
        converted = mmfas_to_released_mmdg(weights)
    else:
        converted = released_mmdg_to_mmfas(weights, num_domains=args.num_domains)
    sha256 = write_checkpoint(converted if args.reverse else {'state_dict': converted}, args.out)
    print(f'{args.out}: {len(converted)} tensors, {sum(v.numel() for v in converted.values()):,} numbers')
    print(f'sha256 {sha256}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
