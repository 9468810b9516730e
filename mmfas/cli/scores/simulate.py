"""Make dev and test scores whose true error rates are known, to try the other commands with."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from mmfas.cli.command import command
from mmfas.cli.numbers import number, seed, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('out', metavar='FOLDER', help='folder that dev.csv and test.csv are written to')
    parser.add_argument(
        '--eer', type=number(above=0, most=0.5), default=0.05, help='true equal error rate (default: 0.05)'
    )
    parser.add_argument(
        '--shift', type=number(), default=0.0, help='deviations that test scores are moved by (default: 0)'
    )
    parser.add_argument('--live', type=whole(), default=300, help='live videos in each file (default: 300)')
    parser.add_argument('--attacks', type=whole(), default=300, help='videos of each instrument (default: 300)')
    parser.add_argument(
        '--pai', nargs='+', default=['print', 'replay'], help='attack instruments (default: these two)'
    )
    parser.add_argument('--frames', type=whole(), default=1, help='frames of each video (default: 1)')
    parser.add_argument('--seed', type=seed, default=0, help='seed of the draws (default: 0)')


@command(2)
def main(args: argparse.Namespace) -> int:
    """Make them; returns 0, or 2 for wrong input."""
    from mmfas.evaluation.simulated_scores import Simulation, simulate_scores

    dev = Simulation(args.eer, args.live, args.attacks, tuple(args.pai), frames=args.frames, prefix='dev_')
    for place, (name, what) in enumerate((('dev', dev), ('test', replace(dev, shift=args.shift, prefix='test_')))):
        path = Path(args.out, f'{name}.csv')
        table = simulate_scores(what, 2 * args.seed + place)
        table.to_csv(path)
        apcer, bpcer = what.true_rates
        rates = f'true rates at the threshold 0.5: APCER {100 * apcer:.2f} %, BPCER {100 * bpcer:.2f} %'
        print(f'{path}: {len(table)} samples; {rates}')
    return 0
