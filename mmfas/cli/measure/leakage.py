"""Measure what a method gains from the other samples of its batch, over several batch sizes and orders."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mmfas.cli.command import command
from mmfas.cli.configs import read_checked_config
from mmfas.cli.numbers import seed, whole
from mmfas.cli.options import add_config_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', help='config file with a dev and a test set')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file (default: the initial weights)')
    parser.add_argument(
        '--beside', nargs=2, action='append', default=[], metavar=('CONFIG', 'CHECKPOINT'), help='another model'
    )
    parser.add_argument('--batch-sizes', type=whole(), nargs='+', default=[1, 3, 16], help='default: 1 3 16')
    parser.add_argument('--repeats', type=whole(), default=5, help='shuffles of each size (default: 5)')
    parser.add_argument('--max-samples', type=whole(), help='samples of either set (default: all)')
    parser.add_argument('--seed', type=seed, default=0, help='seed of initial weights, shuffles and draws')
    parser.add_argument('--out', metavar='FILE.json', help='write the numbers as JSON')
    add_config_options(parser, 'override values of every config')


@command()
def main(args: argparse.Namespace) -> int:
    """Measure; returns 0, 1 if it could not be done, 2 for a wrong config."""
    from mmfas.analysis.batch_leakage import leakage_rows, measure_batch_leakage
    from mmfas.evaluation.tables import markdown_table
    from mmfas.utils.files import write_atomically

    report = {}
    for config, checkpoint in [(args.config, args.checkpoint), *args.beside]:
        cfg = read_checked_config(config, args.cfg_options)
        results = measure_batch_leakage(
            cfg,
            checkpoint,
            batch_sizes=args.batch_sizes,
            num_repeats=args.repeats,
            max_samples=args.max_samples,
            seed=args.seed,
        )
        report[Path(config).stem] = [result.to_dict() for result in results]
        print(f'{Path(config).stem}, {args.repeats} repetitions\n\n{markdown_table(*leakage_rows(results))}\n')
    if args.out:
        write_atomically(args.out, json.dumps(report, indent=2) + '\n')
    return 0
