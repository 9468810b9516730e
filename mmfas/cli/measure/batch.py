"""Show that a score does not depend on the other samples of its batch."""

from __future__ import annotations

import argparse

from mmfas.cli.command import command
from mmfas.cli.configs import read_checked_config
from mmfas.cli.numbers import number, seed, whole
from mmfas.cli.options import add_config_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file (default: the initial weights)')
    parser.add_argument('--batch-sizes', type=whole(), nargs='+', default=[1, 7, 16], help='default: 1 7 16')
    parser.add_argument('--max-samples', type=whole(), default=64, help='samples of the test set (default: 64)')
    parser.add_argument('--double', action='store_true', help='compute in float64')
    parser.add_argument(
        '--tolerance',
        type=number(least=0),
        help='largest difference allowed (default: 1e-5; 1e-9 in float64)',
    )
    parser.add_argument('--seed', type=seed, default=0, help='seed of initial weights and shuffling')
    add_config_options(parser)


@command()
def main(args: argparse.Namespace) -> int:
    """Check; returns 0 if scores are independent, 1 if not or if it could not be tried, 2 for a wrong config."""
    from mmfas.analysis.batch_independence import check_batch_independence

    cfg = read_checked_config(args.config, args.cfg_options)
    result = check_batch_independence(
        cfg,
        args.checkpoint,
        batch_sizes=args.batch_sizes,
        max_samples=args.max_samples,
        double=args.double,
        seed=args.seed,
    )
    tolerance = result.tolerance if args.tolerance is None else args.tolerance
    print(f'{result.num_samples} samples; largest difference to the score of a sample alone:')
    for what, difference in result.differences.items():
        print(f'  {what:<20} {difference:.2e}')
    holds = max(result.differences.values()) <= tolerance
    verdict = 'independent' if holds else f'DEPENDENT, most in sample {result.worst_sample}'
    print(f'scores are {verdict} (tolerance {tolerance:g})')
    return 0 if holds else 1
