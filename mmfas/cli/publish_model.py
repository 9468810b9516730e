"""Strip a checkpoint to its weights and name it by its hash."""

from __future__ import annotations

import argparse
import sys

from mmfas.cli.errors import reports_user_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument('checkpoint', help='checkpoint of a training run')
    parser.add_argument('out', help='file to write; its name gets the first 8 digits of its SHA-256')
    parser.add_argument(
        '--weights',
        choices=('ema', 'raw'),
        default='ema',
        help='of a run with EMAHook: the averaged weights (default) or those that were trained',
    )


@reports_user_errors()
def main(argv: list[str] | None = None) -> int:
    """Publish; returns 0, or 1 if the file cannot be used."""
    parser = argparse.ArgumentParser(prog='mmfas publish_model', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)

    from mmfas.apis.publish import publish
    from mmfas.utils.checkpoint import sha256_of

    path = publish(args.checkpoint, args.out, weights=args.weights)
    print(f'{path}\nsha256 {sha256_of(path)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
