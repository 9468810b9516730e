"""Print a config with everything it inherits."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmfas.cli.command import command
from mmfas.cli.errors import UsageError
from mmfas.cli.options import add_config_options
from mmfas.config.reading import read_config

#: Endings of the formats that a config can be written in.
SUFFIXES = ('.py', '.json', '.yml', '.yaml')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', help='config file')
    add_config_options(parser)
    parser.add_argument(
        '--out', metavar='FILE', help='write it there (.py, .json, .yml or .yaml) instead of printing'
    )


@command()
def main(args: argparse.Namespace) -> int:
    """Print or write the merged config; returns 0."""
    if args.out and Path(args.out).suffix not in SUFFIXES:
        raise UsageError(f"--out: the name must end in {', '.join(SUFFIXES)}, got '{args.out}'")
    cfg = read_config(args.config, args.cfg_options)
    if args.out:
        from mmengine.fileio import dump

        from mmfas.utils.files import write_atomically

        kind = Path(args.out).suffix.removeprefix('.')
        write_atomically(args.out, cfg.pretty_text if kind == 'py' else dump(cfg.to_dict(), file_format=kind))
    else:
        print(cfg.pretty_text, end='')
    return 0
