"""Show where the time of loading goes: decode, resize, photometry, and the rest (budget: 15 % of the three)."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mmfas.cli.command import command
from mmfas.cli.errors import UsageError
from mmfas.cli.numbers import whole
from mmfas.cli.options import add_config_options
from mmfas.config.reading import read_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', nargs='?', help='config; without one, 256 px JPEGs and the published recipe')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train')
    parser.add_argument('--num', type=whole(), default=200, help='samples per round (default: 200)')
    parser.add_argument('--rounds', type=whole(), default=3, help='rounds; each is one line (default: 3)')
    parser.add_argument(
        '--packed', action='store_true', help='compare files with one packed file (`mmfas data pack`) instead'
    )
    parser.add_argument(
        '--clock',
        choices=('wall', 'cpu'),
        help='of --packed: wall time, or CPU time of this process on a busy machine (default: wall)',
    )
    add_config_options(parser)


def _build(args: argparse.Namespace, folder: Path) -> Any:
    """Return the data set to measure, or None if the config has none."""
    if args.config is None:
        from mmfas.analysis.example_data import write_example

        return write_example(folder)
    from mmfas.datasets.building import build_split

    datasets = build_split(read_config(args.config, args.cfg_options), args.split)
    return datasets[0] if datasets else None


def _compare(dataset: Any, indices: list[int], rounds: int, file: Path, clock: str) -> None:
    """Print how long samples take from their files and out of one."""
    from mmfas.analysis.packed_speed import compare_packed

    function = {'wall': time.perf_counter, 'cpu': time.process_time}[clock]
    print(f'{clock} time per sample in us, medians, pictures in the memory of the system')
    print(f'{"files":>12}{"packed":>12}{"packed/files":>14}')
    for _ in range(rounds):
        files, packed = compare_packed(dataset, indices, file, clock=function)
        print(f'{files * 1e6:12.0f}{packed * 1e6:12.0f}{packed / files:14.3f}')


@command()
def main(args: argparse.Namespace) -> int:
    """Measure; returns 0, or 2 if the config has no such split."""
    if args.cfg_options and args.config is None:
        raise UsageError('--cfg-options goes with a config')
    if args.clock and not args.packed:
        raise UsageError('--clock goes with --packed; without it CPU time is measured anyway')
    from mmfas.analysis.loading_times import measure_loading

    with tempfile.TemporaryDirectory() as folder:
        dataset = _build(args, Path(folder))
        if dataset is None:
            print(f'{args.config}: there is no {args.split}_dataloader', file=sys.stderr)
            return 2
        indices = [i % len(dataset) for i in range(args.num)]
        if args.packed:
            _compare(dataset, indices, args.rounds, Path(folder, 'packed.tar'), args.clock or 'wall')
            return 0
        columns = ('decode', 'resize', 'photometric', 'rest')
        print('CPU time per sample in us, medians')
        print(''.join(f'{name:>12}' for name in (*columns, 'rest/three')))
        for _ in range(args.rounds):
            times = measure_loading(dataset, indices)
            cells = ''.join(f'{getattr(times, name) * 1e6:12.0f}' for name in columns)
            print(f'{cells}{times.ratio:12.3f}')
    return 0
