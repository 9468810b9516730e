"""Time a model beside its plain trunk, or two models beside each other."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from mmfas.cli.command import command
from mmfas.cli.configs import read_checked_config
from mmfas.cli.numbers import device, number, whole
from mmfas.cli.options import add_config_options
from mmfas.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmfas.analysis.speed import Timing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', nargs='+', help='one config, or several to compare; the first is the reference')
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--train', action='store_true', help='time a step of training instead of scoring')
    what.add_argument(
        '--gradients',
        action='store_true',
        help='time the modulated gradients of a step beside a plain trunk with as many backward passes',
    )
    parser.add_argument(
        '--joint',
        action='store_true',
        help='run the plain trunk on one sequence of all modalities, as BIG-MoE does, instead of one each',
    )
    parser.add_argument('--batch-size', type=whole(), default=8, help='samples in a batch (default: 8)')
    parser.add_argument('--size', type=whole(), nargs='+', metavar='PIXELS', help='rows and columns')
    parser.add_argument('--rounds', type=whole(), default=30, help='timed rounds (default: 30)')
    parser.add_argument('--warm-up', type=whole(0), default=5, help='rounds before the clock starts (default: 5)')
    parser.add_argument(
        '--clock',
        choices=('wall', 'cpu'),
        default='wall',
        help='wall time, or CPU time of this process, for one thread on a busy machine (default: wall)',
    )
    parser.add_argument('--threads', type=whole(), help='CPU threads (default: those of torch)')
    parser.add_argument('--device', type=device, default='cpu', help='device (default: cpu)')
    parser.add_argument(
        '--bound',
        type=number(above=0),
        metavar='RATIO',
        help='say whether all keep to this multiple of the first time; no verdict where the 95 %% interval has it '
        'inside, or with fewer than 5 rounds',
    )
    parser.add_argument('--out', metavar='FILE.json', help='write the numbers as JSON')
    add_config_options(parser)


@command()
def main(args: argparse.Namespace) -> int:
    """Print the table of times; returns 0, or 2 if a config is wrong."""
    import torch

    from mmfas.analysis.gradient_speed import gradient_candidates, peak_bytes
    from mmfas.analysis.speed import speed_candidates, time_side_by_side
    from mmfas.apis.building import build_model
    from mmfas.cli.measure.flops import image_size
    from mmfas.utils.files import write_atomically

    if args.gradients and args.joint:
        raise InputError('--joint is of scoring and training steps; leave it out with --gradients')
    if args.device.startswith('cuda') and not torch.cuda.is_available():
        raise InputError(f'--device {args.device} needs a GPU, and there is none; leave it out to time the CPU')
    if args.threads:
        torch.set_num_threads(args.threads)
    candidates: dict[str, Callable[[], object]] = {}
    for path in args.config:
        cfg = read_checked_config(path, args.cfg_options)
        options = dict(batch_size=args.batch_size, image_size=image_size(args.size))
        model, name = build_model(cfg).to(args.device), Path(path).stem
        if args.gradients:
            candidates |= gradient_candidates(name, model, cfg, **options)
        else:
            candidates |= speed_candidates(name, model, is_training=args.train, is_joint=args.joint, **options)
    timings = time_side_by_side(candidates, num_rounds=args.rounds, num_warm_up=args.warm_up, clock=args.clock)
    peaks = {}
    if args.gradients:
        peaks = {name: peak_bytes(run, torch.device(args.device)) / 2**20 for name, run in candidates.items()}
    what = 'gradients of a step' if args.gradients else 'training step' if args.train else 'scoring'
    machine = f'{args.device}, {torch.get_num_threads()} threads'
    print(f'{what}, batch {args.batch_size}, {machine}, {args.rounds} rounds, {args.clock} time')
    verdicts = {} if args.bound is None else {timing.name: timing.judge(args.bound) for timing in timings[1:]}
    _print_times(timings, peaks)
    for name, verdict in verdicts.items():
        print(f'  {name}, at most {args.bound:g} x: {verdict}')
    if args.out:
        report = {'what': what, 'batch_size': args.batch_size, 'clock': args.clock}
        report |= {'timings': [t.to_dict() for t in timings]} | ({'peak_mib': peaks} if peaks else {})
        report |= {'bound': args.bound, 'verdicts': verdicts} if verdicts else {}
        write_atomically(args.out, json.dumps(report, indent=2) + '\n')
    return 0


def _print_times(timings: list[Timing], peaks: dict[str, float]) -> None:
    """Print one line each: median, ratio with its interval, peak of memory if measured."""
    width = max(len(timing.name) for timing in timings)
    for timing in timings:
        interval = f'({timing.ratio_low:.3f} to {timing.ratio_high:.3f})'
        times = f'{timing.median_ms:9.2f} ms   {timing.ratio:6.3f} x {interval}'
        print(f'  {timing.name:<{width}}  {times}{_peak(peaks, timing.name)}')


def _peak(peaks: dict[str, float], name: str) -> str:
    """Show a peak of memory and its ratio to the first one; nothing where none was measured."""
    return f'   {peaks[name]:9.1f} MiB  {peaks[name] / next(iter(peaks.values())):6.3f} x' if peaks else ''
