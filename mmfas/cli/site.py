"""Options of the criterion `site`: which scores set the threshold, of how many live videos, at which BPCER."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mmfas.cli.errors import UsageError
from mmfas.cli.numbers import number, whole

if TYPE_CHECKING:
    from mmfas.evaluation import ScoreTable


def add_site_arguments(parser: argparse.ArgumentParser, option: str = '--site') -> None:
    """Declare the options; `set_site_criterion` and `read_site` read them.

    Args:
        parser: Parser to extend.
        option: Name of the option for the score file.
    """
    parser.add_argument(
        option,
        dest='site',
        metavar='SITE.csv',
        help='score file of live videos of the target, not of the test, for --criterion site',
    )
    parser.add_argument(
        '--k', type=whole(), metavar='K', help='live videos of the site that set the threshold (default: 5)'
    )
    parser.add_argument(
        '--bpcer',
        type=number(least=0, below=1),
        metavar='RATE',
        help='largest BPCER on these videos, in [0, 1) (default: 0.1)',
    )


def set_site_criterion(args: argparse.Namespace, *, option: str = '--site', needs_file: bool = True) -> None:
    """Write `--k` and `--bpcer` into `--criterion site`, so that one text says it all.

    Args:
        args: Parsed options; `criterion` is changed.
        option: The option for the score file.
        needs_file: Whether `--criterion site` is refused without a score file.

    Raises:
        UsageError: If an option would have no effect, or the score file is missing.
    """
    criterion = args.criterion or ''
    is_site = criterion == 'site' or criterion.startswith(('site-', 'site@'))
    given = {'--k': args.k, '--bpcer': args.bpcer}
    idle = [name for name, value in given.items() if value is not None]
    if idle and criterion != 'site':
        again = f'; {criterion} has its own numbers' if is_site else ''
        raise UsageError(f'{" and ".join(idle)}: belong to --criterion site{again}')
    if args.site is not None and not is_site:
        raise UsageError('the scores of a site are read by --criterion site; give it, or leave the file out')
    if is_site and needs_file and args.site is None:
        raise UsageError(f'--criterion {criterion} needs {option} SITE.csv: scores of live videos of the target')
    if idle:
        number = '' if args.k is None else f'-{args.k}'
        args.criterion = f'site{number}' + ('' if args.bpcer is None else f'@bpcer={args.bpcer!r}')


def read_site(args: argparse.Namespace) -> ScoreTable | None:
    """Read the scores of the site.

    Args:
        args: Parsed options, with `allow_duplicates`.

    Returns:
        The scores; None if no file is given.

    Raises:
        ValueError: If the file is not a score file.
        FileNotFoundError: If it is missing.
    """
    from mmfas.evaluation import ScoreTable

    return None if args.site is None else ScoreTable.from_csv(args.site, allow_duplicates=args.allow_duplicates)
