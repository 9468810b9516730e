"""Measure how hard SynthFAS is (hardness), what its perturbations do (perturbations), and shortcuts (probe).

Finished runs of the first two are kept as records.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmfas.cli.errors import reports_user_errors
from mmfas.cli.numbers import seed, whole
from mmfas.utils.errors import MissingFileError

BASELINE = 'configs/baselines/concat_mini-vit_1xb32-12e_synthfas-cps2w.py'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        'study',
        choices=('hardness', 'perturbations', 'probe', 'table', 'pack'),
        help='what to run, print the tables of the records, or move records into one file',
    )
    parser.add_argument('--data-root', default='data/synthfas_small', help='rendered benchmark')
    parser.add_argument('--config', default=BASELINE, help='config of the baseline')
    parser.add_argument('--work-dir', default='work_dirs/synthfas_study', help='checkpoints and logs of the runs')
    parser.add_argument('--records', default='projects/synthfas_study/records', help='folder of the records')
    parser.add_argument('--seeds', type=seed, nargs='+', default=[0, 1, 2], help='seeds (default: 0 1 2)')
    parser.add_argument('--only', nargs='+', metavar='PART', help='run only what has one of these in its name')
    parser.add_argument('--jobs', type=whole(), default=2, help='processes, one thread each (default: 2)')


@reports_user_errors(on_stop='finished runs are kept as records')
def main(argv: list[str] | None = None) -> int:
    """Run what has no record yet, then print the tables.

    Args:
        argv: Arguments; those of the process if None.

    Returns:
        Exit status: 0, or 1 if a file is missing or a run failed; the message names it.
    """
    parser = argparse.ArgumentParser(prog='python -m projects.synthfas_study', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    from mmfas.synthfas.files.manifest import render_command
    from mmfas.utils.runs import PACK, pack_study
    from projects.synthfas_study import hardness, perturbations, tables

    if args.study == 'pack':
        print(f'{pack_study(args.records)} records in {Path(args.records, PACK)}')
        return 0
    if args.study != 'table' and not Path(args.data_root, 'manifest.json').is_file():
        raise MissingFileError(
            f"'{args.data_root}' holds no SynthFAS; render it: {render_command(args.data_root)}"
        )
    if args.study == 'hardness':
        runs = [r for r in hardness.hardness_runs(args.seeds) if _wanted(r.name, args.only)]
        places = (args.config, args.data_root, args.work_dir, args.records)
        hardness.run_all(runs, *places, jobs=args.jobs, report=print)
    elif args.study == 'perturbations':
        sweeps = [s for s in perturbations.sweep_steps(args.seeds) if _wanted(s.file_name, args.only)]
        places = (args.config, args.data_root, args.work_dir, args.records)
        perturbations.run_sweeps(sweeps, *places, jobs=args.jobs, report=print)
    elif args.study == 'probe':
        print(tables.probe_table(args.data_root))
        return 0
    print(tables.hardness_table(args.records))
    print(tables.perturbation_table(args.records))
    return 0


def _wanted(name: str, parts: list[str] | None) -> bool:
    """Tell whether a run was requested."""
    return parts is None or any(part in name for part in parts)


if __name__ == '__main__':
    sys.exit(main())
