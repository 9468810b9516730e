"""Test the claims of the papers: train and score both arms of every experiment, and judge the differences."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmfas.cli.errors import reports_user_errors
from mmfas.cli.numbers import seed, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    only = parser.add_mutually_exclusive_group()
    only.add_argument('--plan', action='store_true', help='only print what is to be run and how long it takes')
    only.add_argument('--table', action='store_true', help='only write the tables of the pages from the records')
    only.add_argument('--pack', action='store_true', help='only move the records into one file')
    parser.add_argument('--only', nargs='+', metavar='CLAIM', help='ids of claims.yml (default: all)')
    parser.add_argument('--seeds', type=seed, nargs='+', help='seeds, for all claims alike (default: as planned)')
    parser.add_argument('--regime', help='regime of the trainings (default: REGIME in projects/claims/plan.py)')
    parser.add_argument('--jobs', type=whole(), default=2, help='processes, one thread each (default: 2)')
    parser.add_argument('--data-root', default='data/synthfas_small', help='folder of clean SynthFAS')
    parser.add_argument('--perturbed', default='data/claims', help='folder of perturbed lists')
    parser.add_argument('--work-dir', default='work_dirs/claims', help='folder of the trainings')
    parser.add_argument('--records', default='projects/claims/records', help='folder of the records')
    parser.add_argument('--root', default='.', help='root of the checkout whose pages are written (default: here)')


@reports_user_errors(on_stop='finished cells are kept; the same command continues')
def main(argv: list[str] | None = None) -> int:
    """Run, plan or judge; returns 0, 1 if something could not be done, 2 for a wrong config."""
    parser = argparse.ArgumentParser(prog='python -m projects.claims', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)

    from mmfas.utils.errors import InputError
    from mmfas.utils.runs import PACK, load_records, pack_study
    from projects.claims.page import plan_table, read_values, refresh_pages
    from projects.claims.plan import REGIME, REGIMES, cells_of, read_claims
    from projects.claims.runs import RunSettings, run_cells, unfinished

    regime = args.regime or REGIME
    if regime not in REGIMES:
        raise InputError(f"--regime: there is no regime '{regime}'; choose from {', '.join(REGIMES)}")
    records = Path(args.records, regime)
    claims = read_claims()
    if args.pack:
        print(f'{pack_study(records)} records in {records / PACK}')
        return 0
    if args.table:
        for page in refresh_pages(claims, read_values(records), args.root):
            print(f'wrote {page}')
        return 0
    settings = RunSettings(args.records, args.work_dir, args.data_root, args.perturbed, regime)
    cells = cells_of(claims.select(args.only), args.seeds or claims.seeds)
    if args.plan:
        print(plan_table(cells, unfinished(cells, settings), load_records(records)))
        return 0
    run_cells(cells, settings, num_jobs=args.jobs, report=lambda line: print(line, flush=True))
    return 0


if __name__ == '__main__':
    sys.exit(main())
