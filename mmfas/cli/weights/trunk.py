"""Take the trunk out of a checkpoint: a safetensors file for `pretrained`, its sha256 and a model card."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmfas.cli.command import command
from mmfas.utils.errors import MissingFileError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('checkpoint', help='checkpoint of a training or pretraining run')
    parser.add_argument('out', help='file to write, NAME.safetensors; NAME.json and NAME.md are written beside it')
    parser.add_argument(
        '--precision',
        choices=('float16', 'float32'),
        default='float16',
        help='how numbers are stored (default: float16)',
    )
    parser.add_argument('--licence', default='Apache-2.0', help='licence of the weights (default: Apache-2.0)')
    parser.add_argument('--note', type=Path, metavar='FILE', help='text for the card: data, intended use, limits')


@command()
def main(args: argparse.Namespace) -> int:
    """Export; returns 0, or 1 if the file cannot be used."""
    from mmfas.apis.trunk_export import export_trunk

    if args.note is not None and not args.note.is_file():
        raise MissingFileError(f"--note: '{args.note}' does not exist or is not a file")
    note = '' if args.note is None else args.note.read_text(encoding='utf-8')
    record = export_trunk(args.checkpoint, args.out, precision=args.precision, licence=args.licence, note=note)
    print(f'{args.out}: {record["numbers"]:,} numbers as {record["precision"]}, {record["licence"]}')
    print(f'sha256 {record["sha256"]}')
    return 0
