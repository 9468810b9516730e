"""Choose the regime of training on validation sites: train every method in every regime, print the table."""

from __future__ import annotations

import argparse
import sys

from mmfas.benchmark.plan import SPLITS
from mmfas.cli.errors import reports_user_errors
from mmfas.cli.numbers import seed, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('--splits', nargs='+', choices=SPLITS[1], default=list(SPLITS[1]), help='default: all')
    parser.add_argument('--seeds', type=seed, nargs='+', default=[0], help='seeds of the trainings (default: 0)')
    parser.add_argument('--jobs', type=whole(), default=2, help='processes (default: 2)')
    parser.add_argument('--data-root', default='data/synthfas_small', help='folder of SynthFAS')
    parser.add_argument('--sites', default='data/synthfas_sites', help='folder of the random sites')
    parser.add_argument('--work-dir', default='work_dirs/regime_choice', help='folder of the trainings')
    parser.add_argument('--records', default='projects/regime_choice/records', help='folder of the records')
    parser.add_argument('--table', action='store_true', help='only print the table of the records')
    parser.add_argument('--pack', action='store_true', help='only move the records into one file')


@reports_user_errors(on_stop='the same command continues where it stopped')
def main(argv: list[str] | None = None) -> int:
    """Train, judge and print; returns 0, 1 if something could not be done, 2 for a wrong config."""
    parser = argparse.ArgumentParser(prog='python -m projects.regime_choice', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)

    from mmfas.evaluation.tables import markdown_table
    from mmfas.utils.runs import PACK, load_records, pack_study
    from projects.regime_choice.study import StudySettings, choose_regime, regime_table

    if args.pack:
        print(f'{pack_study(args.records)} records in {args.records}/{PACK}')
        return 0
    if args.table:
        records = [*load_records(args.records).values()]
    else:
        records = choose_regime(
            args.splits,
            args.seeds,
            settings=StudySettings(args.records, args.work_dir, args.data_root, args.sites),
            num_jobs=args.jobs,
            report=lambda line: print(line, flush=True),
        )
    header, rows, best = regime_table(records)
    print(markdown_table(header, rows))
    print(f'\nhighest mean over the methods: {best}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
