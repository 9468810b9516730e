"""Strip a checkpoint to its weights and name it by its hash."""

from __future__ import annotations

import argparse

from mmfas.cli.command import command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('checkpoint', help='checkpoint of a training run')
    parser.add_argument('out', help='file to write; its name gets the first 8 digits of its SHA-256')
    parser.add_argument(
        '--weights',
        choices=('ema', 'raw'),
        default='ema',
        help='of a run with EMAHook: the averaged weights (default) or those that were trained',
    )


@command()
def main(args: argparse.Namespace) -> int:
    """Publish; returns 0, or 1 if the file cannot be used."""
    from mmfas.apis.publish import publish
    from mmfas.utils.checkpoint import sha256_of

    path = publish(args.checkpoint, args.out, weights=args.weights)
    print(f'{path}\nsha256 {sha256_of(path)}')
    return 0
