"""Join the test scores of folds into one score file, each fold at the threshold of its own dev scores."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmfas.cli.command import command
from mmfas.cli.errors import refuse_repeats

if TYPE_CHECKING:
    from mmfas.evaluation.pooling import PooledFolds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        'folds', nargs='+', metavar='FOLDER', help='folder of each fold with dev.csv and test.csv of `mmfas test`'
    )
    parser.add_argument('--out', required=True, metavar='OUT.csv', help='score file to write')
    parser.add_argument(
        '--criterion', default='eer', help='how dev scores fix the threshold of a fold (default: eer)'
    )
    parser.add_argument('--level', default='frame', choices=('frame', 'video', 'subject'), help='what is judged')
    parser.add_argument(
        '--how', default='mean', choices=('mean', 'median', 'max'), help='how frames become one score'
    )
    parser.add_argument('--allow-duplicates', action='store_true', help='accept repeated sample ids')


@command(2)
def main(args: argparse.Namespace) -> int:
    """Join; returns 0, or 2 for wrong input."""
    refuse_repeats(args.folds, 'folds')

    from mmfas.evaluation import ScoreRules, ScoreTable
    from mmfas.evaluation.pooling import pool_folds

    def read(folder: str, name: str) -> ScoreTable:
        return ScoreTable.from_csv(Path(folder, f'{name}.csv'), allow_duplicates=args.allow_duplicates)

    rules = ScoreRules(args.criterion, level=args.level, frame_reduction=args.how)
    pooled = pool_folds({folder: (read(folder, 'dev'), read(folder, 'test')) for folder in args.folds}, rules)
    pooled.table.to_csv(args.out)
    print(_text(pooled))
    for line in _columns(pooled, args.level):
        print(line)
    print(f'{args.out}: {len(pooled.table)} scores, the threshold of every fold moved to 0.5; judge them with')
    print(f'mmfas scores eval {args.out} --criterion fixed=0.5')
    return 0


def _columns(pooled: PooledFolds, level: str) -> Iterator[str]:
    """Yield what a reader must know of the further columns."""
    from mmfas.evaluation.score_table import MIXED

    mixed = [name for name, column in pooled.table.extra.items() if (column == MIXED).any()]
    if mixed:
        yield f'{", ".join(mixed)}: {MIXED} where the frames of one {level} differ, so --by refuses it'
    for name in pooled.table.extra:
        lacking = [fold for fold, table in pooled.folds.items() if name not in table.extra]
        if lacking:
            yield f'{name}: empty for {", ".join(lacking)}, whose files have no such column'


def _text(pooled: PooledFolds) -> str:
    """Return a table with a row for each fold and one for all."""
    from mmfas.evaluation.functional import Threshold, bpcer, far
    from mmfas.evaluation.pooling import POOLED_THRESHOLD
    from mmfas.evaluation.tables import text_table

    rows = [(name, table, pooled.thresholds[name]) for name, table in pooled.folds.items()]
    rows.append(('all', pooled.table, Threshold(POOLED_THRESHOLD, 'fixed')))
    shown = []
    for name, table, threshold in rows:
        rejected = bpcer(table.score, table.is_live, threshold=threshold) if table.num_live else None
        accepted = far(table.score, table.is_live, threshold=threshold) if table.num_spoof else None
        both = None if rejected is None or accepted is None else (rejected.value + accepted.value) / 2
        counts = ('-' if rate is None else f'{100 * rate.value:.2f} ({rate})' for rate in (rejected, accepted))
        hter = '-' if both is None else f'{100 * both:.2f}'
        shown.append((name, f'{threshold.value:.4f}', *counts, hter))
    return text_table(('fold', 'threshold', 'BPCER %', 'APCER pooled %', 'HTER %'), shown)
