"""Draw ROC, DET, score histogram and errors per attack instrument from score files."""

from __future__ import annotations

import argparse

from mmfas.cli.errors import reports_user_errors
from mmfas.cli.eval_scores import add_score_arguments, read_tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command.

    Args:
        parser: Parser to extend.
    """
    add_score_arguments(parser)
    parser.add_argument('--out', metavar='DIR', required=True, help='folder for the PNG files')


@reports_user_errors(2)
def main(argv: list[str] | None = None) -> int:
    """Write the figures and print their paths.

    Args:
        argv: Arguments; those of the process if None.

    Returns:
        Exit status: 0, or 2 for wrong input.
    """
    parser = argparse.ArgumentParser(prog='mmfas plot_scores', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    from mmfas.evaluation import ScoreRules
    from mmfas.visualization import save_score_plots

    try:
        tables, dev = read_tables(args)
        paths = save_score_plots(
            tables,
            args.out,
            dev=dev,
            rules=ScoreRules(criterion=args.criterion, level=args.level, frame_reduction=args.how),
        )
    except (FileNotFoundError, ValueError) as error:
        from mmfas.cli.errors import report_error

        return report_error(error, 2)
    for path in paths.values():
        print(path)
    for name, table in tables.items():
        if not (table.num_live and table.num_spoof):
            absent = 'live' if not table.num_live else 'attack'
            print(f'{name}: no {absent} samples, so no ROC and DET curve')
    return 0
