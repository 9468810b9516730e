"""Find every mistake in a config without building anything."""

from __future__ import annotations

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command.

    Args:
        parser: Parser to extend.
    """
    from mmengine.config import DictAction

    parser.add_argument('config', nargs='+', help='config files')
    parser.add_argument('--data', action='store_true', help='also report data folders that are missing or empty')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override config values: key=value')


def main(argv: list[str] | None = None) -> int:
    """Print every problem of the given configs.

    Args:
        argv: Arguments; those of the process if None.

    Returns:
        Exit status: 0 if all is well, 1 if there are problems, 2 if a config cannot be read.
    """
    parser = argparse.ArgumentParser(prog='mmfas check', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    from mmengine.config import Config

    from mmfas.apis.check import check_config

    status = 0
    for path in args.config:
        try:
            cfg = Config.fromfile(path)
        except Exception as error:  # a config is a program: it can fail in any way
            print(f'{path}: cannot be read: {type(error).__name__}: {error}', file=sys.stderr)
            status = 2
            continue
        cfg.merge_from_dict(args.cfg_options or {})
        problems = check_config(cfg, check_data=args.data)
        print(f'{path}: {len(problems)} problem(s)' if problems else f'{path}: ok')
        for problem in problems:
            print(f'  {problem}')
        status = max(status, 1 if problems else 0)
    return status


if __name__ == '__main__':
    sys.exit(main())
