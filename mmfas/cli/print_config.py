"""Print a config with everything it inherits."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmfas.cli.errors import reports_user_errors
from mmfas.config.reading import read_config

#: Endings of the formats that a config can be written in.
SUFFIXES = ('.py', '.json', '.yml', '.yaml')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command.

    Args:
        parser: Parser to extend.
    """
    from mmfas.cli.options import ConfigOptions

    parser.add_argument('config', help='config file')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='override config values: key=value')
    parser.add_argument(
        '--out', metavar='FILE', help='write it there (.py, .json, .yml or .yaml) instead of printing'
    )


@reports_user_errors()
def main(argv: list[str] | None = None) -> int:
    """Print or write the merged config.

    Args:
        argv: Arguments; those of the process if None.

    Returns:
        Exit status 0.
    """
    parser = argparse.ArgumentParser(prog='mmfas print_config', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    if args.out and Path(args.out).suffix not in SUFFIXES:
        parser.error(f"--out: the name must end in {', '.join(SUFFIXES)}, got '{args.out}'")
    cfg = read_config(args.config, args.cfg_options)
    if args.out:
        from mmengine.fileio import dump

        from mmfas.utils.files import write_atomically

        kind = Path(args.out).suffix.removeprefix('.')
        write_atomically(args.out, cfg.pretty_text if kind == 'py' else dump(cfg.to_dict(), file_format=kind))
    else:
        print(cfg.pretty_text, end='')
    return 0


if __name__ == '__main__':
    sys.exit(main())
