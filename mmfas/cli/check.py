"""Find every mistake in a config before anything runs."""

from __future__ import annotations

import argparse
import sys

from mmfas.cli.errors import ConfigError, read_config, report_error, reports_user_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command.

    Args:
        parser: Parser to extend.
    """
    from mmfas.cli.options import ConfigOptions

    parser.add_argument('config', nargs='+', help='config files')
    parser.add_argument('--data', action='store_true', help='also report data folders that are missing or empty')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='override config values: key=value')


@reports_user_errors()
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
    from mmfas.apis.check import check_config

    status = 0
    for path in args.config:
        try:
            cfg = read_config(path, args.cfg_options)
        except ConfigError as error:
            status = report_error(error, 2)
            continue
        problems = check_config(cfg, check_data=args.data)
        print(f'{path}: {len(problems)} problem(s)' if problems else f'{path}: ok')
        for problem in problems:
            print(f'  {problem}')
        status = max(status, 1 if problems else 0)
    return status


if __name__ == '__main__':
    sys.exit(main())
