"""Measure how far a linear classifier gets on the frozen features of a trunk: random start against weights."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfas.cli.command import command
from mmfas.cli.numbers import seed
from mmfas.cli.options import add_config_options
from mmfas.utils.errors import InputError

if TYPE_CHECKING:
    from mmengine.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', help='config file with model.trunk')
    parser.add_argument(
        '--weights',
        nargs='*',
        default=[],
        metavar='FILE',
        help='mmfas://NAME, a file that `pretrained` could name, or a checkpoint with a trunk',
    )
    parser.add_argument(
        '--random-seeds', nargs='*', type=seed, default=[0, 1, 2], help='random starts to compare with (0 1 2)'
    )
    parser.add_argument('--data-root', default='data/synthfas_sites', help='folder of the data')
    parser.add_argument(
        '--fit', nargs='+', default=['protocols/heldout-fit.csv'], metavar='LIST', help='lists to fit on'
    )
    parser.add_argument(
        '--test', nargs='+', default=['protocols/heldout-test.csv'], metavar='LIST', help='lists to judge by'
    )
    parser.add_argument('--meta-file', help='side-car file of published lists, such as protocols/records.csv')
    parser.add_argument('--out', type=Path, metavar='JSON', help='file for the numbers')
    add_config_options(parser)


@command()
def main(args: argparse.Namespace) -> int:
    """Measure; returns 0, 1 if it could not be done, 2 for a wrong config."""
    if not args.weights and not args.random_seeds:
        raise InputError('there is nothing to probe: give --weights or --random-seeds')

    from mmengine.logging import MMLogger

    from mmfas.config.reading import read_config
    from mmfas.utils.files import write_atomically

    MMLogger.get_current_instance().setLevel('WARNING')  # or every parameter is listed between the rows
    # Not checked as a whole: a config of a model alone, as below configs/_base_/models, will do.
    cfg = read_config(args.config, args.cfg_options)
    print('| trunk | AUC | 95 % interval | C |\n| --- | --- | --- | --- |')
    rows = [_probe(cfg, args, None, start) for start in args.random_seeds]
    rows += [_probe(cfg, args, weights, 0) for weights in args.weights]
    if args.out is not None:
        record = {'data_root': args.data_root, 'fit': args.fit, 'test': args.test, 'rows': rows}
        write_atomically(args.out, json.dumps(record, indent=1) + '\n')
    return 0


def _probe(cfg: Config, args: argparse.Namespace, weights: str | None, start: int) -> dict[str, Any]:
    """Probe one trunk and print its row."""
    from mmfas.analysis.linear_probe import fit_probe, probe_samples, probe_trunk

    trunk = probe_trunk(cfg, weights, seed=start)
    fit, test = (
        probe_samples(trunk, cfg, lists, data_root=args.data_root, meta_file=args.meta_file)
        for lists in (args.fit, args.test)
    )
    result = fit_probe(fit, test)
    name = f'random, seed {start}' if weights is None else weights
    low, high = result.interval.low, result.interval.high
    print(f'| {name} | {result.auc:.3f} | [{low:.3f}, {high:.3f}] | {result.strength:g} |', flush=True)
    return {'trunk': name, 'auc': result.auc, 'low': low, 'high': high, 'C': result.strength}
