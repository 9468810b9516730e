"""Train methods unless they are trained, and measure what they gain from their batch: a study of batch leakage."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmfas.benchmark.plan import SPLITS
from mmfas.cli.errors import reports_user_errors
from mmfas.cli.numbers import seed, whole
from mmfas.utils.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        'methods',
        nargs='*',
        metavar='METHOD',
        help='config files or names of models (default: MMDA on SynthFAS, default and released)',
    )
    parser.add_argument('--splits', nargs='+', choices=SPLITS[1], default=['cps2w'], help='default: cps2w')
    parser.add_argument('--seeds', type=seed, nargs='+', default=[0, 1, 2], help='seeds (default: 0 1 2)')
    parser.add_argument('--batch-sizes', type=whole(), nargs='+', default=[1, 3, 16], help='default: 1 3 16')
    parser.add_argument('--repeats', type=whole(), default=2, help='shuffles of each size (default: 2)')
    parser.add_argument('--jobs', type=whole(), default=2, help='processes (default: 2)')
    parser.add_argument('--data-root', help="folder of the data (default: the config's)")
    parser.add_argument(
        '--work-dir',
        default='work_dirs/benchmark',
        help='trainings, laid out as by `mmfas benchmark run`: those that are there are not repeated',
    )
    parser.add_argument('--records', default='projects/batch_leakage_study/records', help='folder of the records')
    parser.add_argument('--table', action='store_true', help='only print the table of the records')
    parser.add_argument('--pack', action='store_true', help='only move the records into one file')


@reports_user_errors(on_stop='the same command continues where it stopped')
def main(argv: list[str] | None = None) -> int:
    """Train, measure and print; returns 0, 1 if something could not be done, 2 for a wrong config."""
    parser = argparse.ArgumentParser(prog='python -m projects.batch_leakage_study', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    if 1 not in args.batch_sizes:
        raise InputError('--batch-sizes must have 1: it is what the others are compared with')

    from mmfas.benchmark.methods import find_method
    from mmfas.evaluation.tables import markdown_table
    from mmfas.utils.runs import PACK, pack_study
    from projects.batch_leakage_study.study import (
        LeakageSettings,
        default_methods,
        leakage_table,
        read_leakage_records,
        study_batch_leakage,
    )

    if args.pack:
        print(f'{pack_study(args.records)} records in {Path(args.records, PACK)}')
        return 0
    if args.table:
        records = read_leakage_records(args.records)
    else:
        settings = LeakageSettings(
            args.work_dir,
            args.records,
            data_root=args.data_root,
            batch_sizes=tuple(args.batch_sizes),
            num_repeats=args.repeats,
            num_jobs=args.jobs,
        )
        methods = [find_method(text) for text in args.methods] or default_methods()
        records = study_batch_leakage(
            methods, args.splits, args.seeds, settings=settings, report=lambda line: print(line, flush=True)
        )
    print(markdown_table(*leakage_table(records)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
