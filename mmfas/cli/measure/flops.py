"""Count parameters and floating point operations of a model."""

from __future__ import annotations

import argparse
import json

from mmfas.cli.command import command
from mmfas.cli.configs import read_checked_config
from mmfas.cli.numbers import whole
from mmfas.cli.options import add_config_options
from mmfas.utils.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', help='config file')
    parser.add_argument('--size', type=whole(), nargs='+', metavar='PIXELS', help='rows and columns')
    parser.add_argument('--json', action='store_true', help='print JSON')
    add_config_options(parser)


def image_size(size: list[int] | None) -> tuple[int, int] | None:
    """Turn one or two numbers into rows and columns.

    Raises:
        ValueError: If there are more.
    """
    if size and len(size) > 2:
        raise InputError(f'--size takes one or two numbers of pixels, got {" ".join(map(str, size))}')
    return (size[0], size[-1]) if size else None


@command()
def main(args: argparse.Namespace) -> int:
    """Print the counts; returns 0, or 2 if the config is wrong."""
    from mmfas.analysis.complexity import measure_complexity
    from mmfas.apis.building import build_model

    cfg = read_checked_config(args.config, args.cfg_options)
    result = measure_complexity(build_model(cfg), image_size=image_size(args.size))
    if args.json:
        print(json.dumps(result.to_dict(), indent=2))
        return 0
    rows, columns = result.image_size
    print(f'images           {rows} x {columns} pixels, one sample with all modalities')
    print(f'operations       {result.flops / 1e9:.3f} GFLOPs (a multiply-add is two)')
    print(f'parameters       {result.total / 1e6:.3f} M, of them {result.trainable / 1e6:.3f} M trainable')
    for name, (trainable, total) in result.parts.items():
        print(f'  {name:<14} {total / 1e6:.3f} M, of them {trainable / 1e6:.3f} M trainable')
    return 0
