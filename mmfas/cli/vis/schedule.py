"""Draw the learning rate of every iteration of a config, before it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmfas.cli.command import command
from mmfas.cli.configs import read_checked_config
from mmfas.cli.numbers import whole
from mmfas.cli.options import add_config_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--iters-per-epoch',
        type=whole(),
        help='iterations of an epoch (default: batches of the data)',
    )
    parser.add_argument('--out', default='schedule.png', help='PNG file to write (default: schedule.png)')
    add_config_options(parser)


@command()
def main(args: argparse.Namespace) -> int:
    """Draw; returns 0, 1 if it could not be done, 2 for a wrong config."""
    from mmfas.analysis.schedule import schedule_of
    from mmfas.visualization.style import save_figure
    from mmfas.visualization.training_curves import plot_schedule

    schedule = schedule_of(
        read_checked_config(args.config, args.cfg_options), iters_per_epoch=args.iters_per_epoch
    )
    unit = 'iteration' if schedule.epoch_length is None else 'epoch'
    figure = plot_schedule(schedule.time, schedule.rate, momentum=schedule.momentum, unit=unit)
    path = save_figure(figure, Path(args.out))
    highest = int(schedule.rate.argmax())
    length = '' if schedule.epoch_length is None else f', {schedule.epoch_length} in an epoch'
    print(
        f'{path}: {len(schedule)} iterations{length}; rate {schedule.rate[0]:.3g} at first, '
        f'{schedule.rate[highest]:.3g} at most ({unit} {schedule.time[highest]:g}), '
        f'{schedule.rate[-1]:.3g} at last'
    )
    for note in schedule.notes:
        print(note)
    return 0
