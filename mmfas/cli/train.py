"""Train a model from a config."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mmfas.cli.command import command
from mmfas.cli.errors import report_error, report_problems
from mmfas.cli.numbers import seed, whole
from mmfas.cli.options import ConfigOptions
from mmfas.config.reading import merge_options, read_config

if TYPE_CHECKING:
    from mmengine.config import Config

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder of logs and checkpoints (default: work_dirs/<config name>)')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue from a checkpoint; without a path, from the latest in the work dir',
    )
    parser.add_argument(
        '--amp', action='store_true', help='train in mixed precision (a GPU, or a CPU with bfloat16 instructions)'
    )
    parser.add_argument('--no-validate', action='store_true', help='do not validate while training')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate by the batch size')
    parser.add_argument(
        '--split-batch',
        action='store_true',
        help='deal the batch of the config out to the processes (default: a whole one for each)',
    )
    parser.add_argument(
        '--steps', type=whole(), metavar='N', help='stop after N steps, wherever that is: does it run at all?'
    )
    parser.add_argument('--no-pin-memory', action='store_true', help='do not pin memory in any loader')
    parser.add_argument(
        '--no-persistent-workers', action='store_true', help='start the workers of the loaders anew each epoch'
    )
    parser.add_argument('--seed', type=seed, help='seed of the run (default: the one of the config)')
    parser.add_argument('--deterministic', action='store_true', help='use deterministic GPU kernels only')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        help='override config values, such as optim_wrapper.optimizer.lr=1e-4 "a.b=[1,2]"; applied last',
    )
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='how processes are started')
    # torch.distributed.launch passes this; torchrun sets the variable.
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


def merge_arguments(args: argparse.Namespace) -> Config:
    """Read the config and apply the options, `--cfg-options` after those that set values.

    Args:
        args: Parsed options.

    Returns:
        The config.

    Raises:
        ValueError: If an option does not fit the config.
        FileNotFoundError: If the checkpoint does not exist.
    """
    from mmfas.apis.training import resume_from, skip_validation, split_batch, switch_off, use_amp, use_scaled_lr
    from mmfas.utils.distributed import num_launched

    cfg = read_config(args.config)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(args.config).stem))
    if args.amp:
        use_amp(cfg)
    if args.auto_scale_lr:
        use_scaled_lr(cfg)
    randomness = {'seed': None, **(cfg.get('randomness') or {})}
    if args.seed is not None:
        randomness['seed'] = args.seed
    if args.deterministic:
        randomness['deterministic'] = True
    cfg.randomness = randomness
    merge_options(cfg, args.cfg_options)
    if args.split_batch:
        split_batch(cfg, num_launched(args.launcher))
    if args.no_validate:  # after the options, which may name parts of the validation
        skip_validation(cfg)
    for option, is_off in (('pin_memory', args.no_pin_memory), ('persistent_workers', args.no_persistent_workers)):
        if is_off:
            switch_off(cfg, option)
    if args.resume is not None:
        resume_from(cfg, args.resume)
    return cfg


@command(on_stop='--resume continues after the last saved epoch')
def main(args: argparse.Namespace) -> int:
    """Train; returns 0, 1 if the run failed for a reason the message names, 2 if the config is wrong."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))

    from mmfas.apis.training import train
    from mmfas.config.check import check_config, config_notes
    from mmfas.utils.distributed import finish_distributed

    try:
        cfg = merge_arguments(args)
    except (ValueError, FileNotFoundError) as error:
        return report_error(error, 2)
    problems = check_config(cfg)
    if problems:
        return report_problems(args.config, problems)
    for note in config_notes(cfg):
        print(f'note: {note}', file=sys.stderr)
    train(cfg, steps=args.steps)
    finish_distributed()
    return 0
