"""Draw ROC, DET, score histogram and errors per attack instrument from score files."""

from __future__ import annotations

import argparse

from mmfas.cli.command import command
from mmfas.cli.score_inputs import add_score_arguments, read_scores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_score_arguments(parser)
    parser.add_argument('--out', metavar='DIR', required=True, help='folder for the PNG files')


@command(2)
def main(args: argparse.Namespace) -> int:
    """Write the figures and print their paths; returns 0, or 2 for wrong input."""
    from mmfas.visualization import save_score_plots

    inputs = read_scores(args)
    paths = save_score_plots(
        inputs.tables, args.out, dev=inputs.devs or None, site=inputs.site, rules=inputs.rules
    )
    for path in paths.values():
        print(path)
    for name, table in inputs.tables.items():
        if not (table.num_live and table.num_spoof):
            absent = 'live' if not table.num_live else 'attack'
            print(f'{name}: no {absent} samples, so no ROC and DET curve')
    return 0
