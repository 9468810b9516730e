"""Count parameters and floating point operations of a model."""

from __future__ import annotations

import argparse
import json
import sys

from mmfas.cli.errors import report_problems, reports_user_errors
from mmfas.config.reading import read_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command.

    Args:
        parser: Parser to extend.
    """
    from mmfas.cli.options import ConfigOptions

    parser.add_argument('config', help='config file')
    parser.add_argument('--size', type=int, nargs='+', metavar='PIXELS', help='rows and columns')
    parser.add_argument('--json', action='store_true', help='print JSON')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='override config values: key=value')


def image_size(size: list[int] | None) -> tuple[int, int] | None:
    """Turn one or two numbers into rows and columns.

    Raises:
        ValueError: If there are more, or one is not positive.
    """
    if size and (len(size) > 2 or min(size) < 1):
        raise ValueError(f'--size takes one or two positive numbers of pixels, got {" ".join(map(str, size))}')
    return (size[0], size[-1]) if size else None


@reports_user_errors()
def main(argv: list[str] | None = None) -> int:
    """Print the counts.

    Args:
        argv: Arguments; those of the process if None.

    Returns:
        Exit status: 0, or 2 if the config is wrong.
    """
    parser = argparse.ArgumentParser(prog='mmfas get_flops', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    from mmfas.analysis.complexity import measure_complexity
    from mmfas.apis.building import build_model
    from mmfas.config.check import check_config

    cfg = read_config(args.config, args.cfg_options)
    problems = check_config(cfg)
    if problems:
        return report_problems(args.config, problems)
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


if __name__ == '__main__':
    sys.exit(main())
