"""Draw ROC, DET, score histogram and errors per attack instrument from score files."""

from __future__ import annotations

import argparse

from mmfas.cli.command import command
from mmfas.cli.errors import report_error
from mmfas.cli.scores.eval import add_score_arguments, read_tables
from mmfas.cli.site import read_site, set_site_criterion


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_score_arguments(parser)
    parser.add_argument('--out', metavar='DIR', required=True, help='folder for the PNG files')


@command(2)
def main(args: argparse.Namespace) -> int:
    """Write the figures and print their paths; returns 0, or 2 for wrong input."""
    set_site_criterion(args)
    from mmfas.evaluation import ScoreRules
    from mmfas.visualization import save_score_plots

    try:
        tables, dev = read_tables(args)
        paths = save_score_plots(
            tables,
            args.out,
            dev=dev,
            site=read_site(args),
            rules=ScoreRules(criterion=args.criterion, level=args.level, frame_reduction=args.how),
        )
    except (FileNotFoundError, ValueError) as error:
        return report_error(error, 2)
    for path in paths.values():
        print(path)
    for name, table in tables.items():
        if not (table.num_live and table.num_spoof):
            absent = 'live' if not table.num_live else 'attack'
            print(f'{name}: no {absent} samples, so no ROC and DET curve')
    return 0
