"""Plot the curves of training logs and print how long an epoch took."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from mmfas.cli.command import command
from mmfas.cli.errors import refuse_repeats, report_error

if TYPE_CHECKING:
    from mmfas.analysis.training_logs import TrainingLog


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('logs', nargs='+', help='work dirs or scalars.json files')
    parser.add_argument('--keys', nargs='+', default=['loss'], help='scalars to plot (default: loss)')
    parser.add_argument('--list', action='store_true', help='list what was logged and stop')
    parser.add_argument('--out', metavar='FILE.png', help='where to write the figure; without it, none is drawn')


@command(2)
def main(args: argparse.Namespace) -> int:
    """Print the table and write the figure; returns 0, or 2 for wrong input."""
    from mmfas.analysis.training_logs import TrainingLog

    try:
        refuse_repeats(args.logs, 'logs')
        logs = [TrainingLog.read(path) for path in args.logs]
        if len({log.name for log in logs}) < len(logs):
            logs = [replace(log, name=path) for log, path in zip(logs, args.logs)]
        if args.list:
            print('\n'.join(f'{log.name}: {", ".join(log.keys())}' for log in logs))
            return 0
        curves = {
            key if len(logs) == 1 else f'{log.name}: {key}': log.curve(key) for log in logs for key in args.keys
        }
    except (FileNotFoundError, KeyError, ValueError) as error:
        return report_error(error, 2)
    for log in logs:
        print(f'{log.name}\n{_time_table(log)}')
    for name, (epochs, values) in curves.items():
        print(
            f'{name}: first {values[0]:.4g}, last {values[-1]:.4g} (epoch {epochs[-1]:g}), least {min(values):.4g}'
        )
    if args.out:
        from mmfas.visualization.style import save_figure
        from mmfas.visualization.training_curves import plot_curves

        print(save_figure(plot_curves(curves), args.out))
    return 0


def _time_table(log: TrainingLog) -> str:
    """Return the time per epoch as a table."""
    from prettytable import PrettyTable

    table = PrettyTable(['epoch', 'iterations', 's / iteration', 'of it data', 's / epoch'])
    table.align = 'r'
    for row in log.epoch_times():
        fraction = row.data_s / row.iter_s if row.iter_s else 0.0
        seconds = row.num_iters * row.iter_s
        table.add_row([row.epoch, row.num_iters, f'{row.iter_s:.4f}', f'{100 * fraction:.0f} %', f'{seconds:.1f}'])
    return str(table)
