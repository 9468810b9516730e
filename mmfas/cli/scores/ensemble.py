"""Join the scores that several systems give the same samples into one score file."""

from __future__ import annotations

import argparse

from mmfas.cli.command import command
from mmfas.cli.errors import refuse_repeats
from mmfas.cli.numbers import number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('scores', nargs='+', metavar='SCORES.csv', help='score files of the same samples')
    parser.add_argument('--out', required=True, metavar='OUT.csv', help='score file to write')
    parser.add_argument(
        '--rule',
        choices=('mean', 'log-odds', 'median', 'min', 'max'),
        default='mean',
        help='how scores become one (default: mean)',
    )
    parser.add_argument(
        '--weights', nargs='+', type=number(above=0), help='weights of the files, for mean and log-odds'
    )
    parser.add_argument('--allow-duplicates', action='store_true', help='accept repeated sample ids')


@command(2)
def main(args: argparse.Namespace) -> int:
    """Join; returns 0, or 2 for wrong input."""
    refuse_repeats(args.scores, 'score files')

    from mmfas.evaluation import ScoreTable, auc
    from mmfas.evaluation.ensembles import ensemble, unlike_columns

    tables = [ScoreTable.from_csv(path, allow_duplicates=args.allow_duplicates) for path in args.scores]
    joined = ensemble(tables, rule=args.rule, weights=args.weights, names=args.scores)
    joined.to_csv(args.out)
    for name, table in zip([*args.scores, args.out], [*tables, joined], strict=True):
        area = f'{100 * auc(table.score, table.is_live):.2f} %' if table.num_live and table.num_spoof else 'n/a'
        print(f'{name}: {len(table)} samples, AUC {area}')
    if joined.failures:
        print(f'samples without a score, as not every system has one of them: {len(joined.failures)}')
    unlike = unlike_columns(tables)
    if unlike:
        print(f'left out, as the files say different things in them: {", ".join(unlike)}')
    print('Join the dev scores of the same systems in the same way: their threshold is not that of any of them.')
    return 0
