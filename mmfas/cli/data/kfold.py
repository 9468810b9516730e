"""Divide a data set into folds by subject, and write the lists of each fold."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmfas.cli.command import command
from mmfas.cli.errors import refuse_repeats
from mmfas.cli.numbers import seed, whole

if TYPE_CHECKING:
    from mmfas.datasets.kfold import Fold


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('lists', nargs='+', metavar='LIST', help='annotation files (.txt, .csv, .json)')
    parser.add_argument('--data-root', default='', help='folder of the data and of the lists')
    parser.add_argument('--meta-file', help='side-car CSV file with subjects, relative to --data-root')
    parser.add_argument('--live-label', type=int, choices=(0, 1), default=1, help='what means live (default: 1)')
    parser.add_argument('--folds', type=whole(3), default=5, help='number of folds, at least 3 (default: 5)')
    parser.add_argument('--seed', type=seed, default=0, help='another seed deals subjects out anew (default: 0)')
    parser.add_argument('--out', default='folds', help='folder of the lists (default: folds)')


@command(2)
def main(args: argparse.Namespace) -> int:
    """Divide; returns 0, or 2 for wrong input."""
    refuse_repeats(args.lists, 'lists', args.data_root)

    from mmfas.datasets.face_dataset import MultiModalFaceDataset
    from mmfas.datasets.kfold import make_folds, write_folds

    dataset = MultiModalFaceDataset(
        args.lists, args.data_root, meta_file=args.meta_file, live_label=args.live_label
    )
    folds = make_folds(dataset, num_folds=args.folds, seed=args.seed)
    write_folds(folds, args.out, prefixes=dataset.data_prefix)
    print(_table(folds))
    print(_commands(Path(args.out).resolve(), args.data_root or '.', len(folds)))
    return 0


def _table(folds: Sequence[Fold]) -> str:
    """Return what every fold tests."""
    from mmfas.evaluation.tables import text_table

    kinds = sorted({info['pai'] for fold in folds for info in fold.test} - {'live'})
    rows = []
    for number, fold in enumerate(folds):
        counts = Counter(info['pai'] for info in fold.test)
        persons = len({(info['domain'], info['subject']) for info in fold.test})
        sizes = (len(fold.train), len(fold.val), len(fold.test))
        rows.append((str(number), *map(str, (*sizes, persons, *(counts[kind] for kind in ['live', *kinds])))))
    return text_table(('fold', 'train', 'val', 'test', 'subjects of test', 'live', *kinds), rows)


def _commands(out: Path, data_root: str, num: int) -> str:
    """Return the commands of a shell that train and test every fold, and join their scores."""
    sets = ' '.join(
        f'{split}_dataloader.dataset.{key}={value}'
        for split in ('train', 'val', 'test')
        for key, value in (
            # braces: `$K_train` would be another variable
            ('ann_file', f'{out}/fold${{K}}_{split}.csv'),
            ('meta_file', 'None'),
            ('data_root', data_root),
        )
    )
    return '\n'.join(
        (
            'Train and test every fold, then join the scores:',
            f'for K in {" ".join(map(str, range(num)))}; do',
            f'  SETS="{sets}"',
            '  mmfas train CONFIG --work-dir work_dirs/fold$K --cfg-options $SETS',
            '  mmfas test CONFIG work_dirs/fold$K/CHECKPOINT --work-dir work_dirs/fold$K --cfg-options $SETS',
            'done',
            'mmfas scores pool work_dirs/fold*/test --out pooled.csv',
        )
    )
