"""Find every mistake in a config before anything runs."""

from __future__ import annotations

import argparse

from mmfas.cli.command import command
from mmfas.cli.errors import report_error
from mmfas.cli.options import add_config_options
from mmfas.config.reading import ConfigError, read_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', nargs='+', help='config files')
    parser.add_argument('--data', action='store_true', help='also look at data folders and lists')
    add_config_options(parser)


@command()
def main(args: argparse.Namespace) -> int:
    """Print every problem of the given configs.

    Returns 0 if all is well, 1 if there are problems, 2 if a config cannot be read.
    """
    from mmfas.config.check import check_config, config_notes
    from mmfas.datasets.building import sampling_problems
    from mmfas.datasets.overlaps import overlaps_of

    status = 0
    for path in args.config:
        try:
            cfg = read_config(path, args.cfg_options)
        except ConfigError as error:
            status = report_error(error, 2)
            continue
        notes: list[str] = []
        problems = check_config(cfg, check_data=args.data, notes=notes)
        if args.data and not problems:  # only a config without other problems can be built
            overlaps, notes_of_data = overlaps_of(cfg)
            problems += dict.fromkeys((*sampling_problems(cfg), *overlaps))
            notes += notes_of_data
        print(f'{path}: {len(problems)} problem(s)' if problems else f'{path}: ok')
        for problem in problems:
            print(f'  {problem}')
        for note in (*config_notes(cfg), *notes):
            print(f'  note: {note}')
        status = max(status, 1 if problems else 0)
    return status
