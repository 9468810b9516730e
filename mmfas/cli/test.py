"""Score a checkpoint on the test sets of a config, with the threshold from its dev split."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmfas.cli.command import command
from mmfas.cli.errors import UsageError, report_problems
from mmfas.cli.numbers import whole
from mmfas.cli.options import add_config_options, add_rule_options, rules_of
from mmfas.cli.score_inputs import add_calibration_argument, add_group_arguments, pai_groups_of, system_of
from mmfas.cli.site import add_site_arguments, set_site_criterion
from mmfas.cli.train import LAUNCHERS
from mmfas.config.reading import merge_options, read_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', help='config file; it alone says which samples are dev and test')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='folder of the run (default: work_dirs/<config name>)')
    parser.add_argument('--out', help='folder for score files, report and figures (default: <work dir>/test)')
    parser.add_argument(
        '--dev-scores', metavar='DEV.csv', help='score file of the dev split, not scored again then'
    )
    add_rule_options(parser)
    add_group_arguments(parser)
    add_calibration_argument(parser)
    parser.add_argument(
        '--failures', metavar='FILE.csv', help='presentations of the test set without a score, with their reason'
    )
    parser.add_argument(
        '--against',
        metavar='TEST.csv[:DEV.csv]',
        help='score files of another system for the same test samples: print paired differences to it',
    )
    add_site_arguments(parser, '--site-scores')
    parser.add_argument(
        '--site-list',
        nargs='+',
        metavar='LIST',
        help='lists of live videos of the target, read like the test set and scored into site.csv, also with '
        'another criterion',
    )
    parser.add_argument(
        '--bootstrap',
        type=whole(0),
        help='replicates of the intervals, 0 for none (default: 1000)',
    )
    parser.add_argument('--no-plots', action='store_true', help='write no figures')
    parser.add_argument(
        '--tta',
        action='store_true',
        help='mean score of several views of every sample, dev too: as it is and mirrored, or tta_pipeline and '
        'tta_model of the config',
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision (half on an accelerator, bfloat16 on a CPU)'
    )
    add_config_options(parser)
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='how processes are started')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


@command()
def main(args: argparse.Namespace) -> int:
    """Test; returns 0, 1 if it failed for a reason the message names, 2 if the config is wrong."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    set_site_criterion(args, option='--site-scores', needs_file=False)

    from mmfas.apis.testing import site_loader, test
    from mmfas.config.check import check_config
    from mmfas.evaluation.comparison import System, compare_systems
    from mmfas.utils.distributed import finish_distributed

    cfg = read_config(args.config)
    cfg.launcher = args.launcher
    merge_options(cfg, args.cfg_options)
    if args.site_list is not None:
        if args.site is not None:
            raise UsageError('--site-list is scored, --site-scores are scores already; give one of them')
        cfg.site_dataloader = site_loader(cfg, args.site_list)
    problems = check_config(cfg)
    if problems:
        return report_problems(args.config, problems)
    work_dir = args.work_dir or cfg.get('work_dir') or Path('work_dirs', Path(args.config).stem)
    groups = {'by': tuple(args.by) or None, 'pai_groups': pai_groups_of(args.group_pai) or None}
    rules = rules_of(cfg, args, num_bootstrap=args.bootstrap, calibration=args.calibration, **groups)
    other = system_of(args.against, allow_duplicates=rules.allow_duplicates) if args.against else None
    result = test(
        cfg,
        args.checkpoint,
        args.out or Path(work_dir, 'test'),
        dev_scores=args.dev_scores,
        site_scores=args.site,
        rules=rules,
        attributes=args.attributes,
        failures=args.failures,
        plots=not args.no_plots,
        tta=args.tta,
        amp=args.amp,
    )
    finish_distributed()
    if result is not None:
        for report in result.reports:
            print(report.table())
        print(result.summary())
        if other is not None:
            table = next(iter(result.tables.values()))
            print(compare_systems(other, System('this run', table, result.dev), rules).table())
        for what, path in result.files.items():
            print(f'{what}: {path}')
    return 0
