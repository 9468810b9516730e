"""What the commands share that convert a data set to the layout of the published lists."""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING

from mmfas.cli.progress import Progress

if TYPE_CHECKING:
    from mmfas.datasets.conversion import Converter


def add_conversion_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that all data sets have.

    Args:
        parser: Parser to extend.
    """
    parser.add_argument('source', metavar='SRC', help='folder of the unpacked originals')
    parser.add_argument('out', metavar='OUT', help='data_root of the configs; other data sets may lie there too')
    parser.add_argument('--lists', metavar='FOLDER', help='folder of the published lists (default: OUT)')
    parser.add_argument(
        '--num-processes', type=int, default=os.cpu_count() or 1, help='workers (default: all cores)'
    )
    parser.add_argument('--verify', action='store_true', help='compare checksums of what is already there')
    parser.add_argument('--show', type=int, default=10, help='oddities printed per kind (default: 10)')


def run_conversion(converter: Converter, args: argparse.Namespace) -> int:
    """Convert a data set and print the report.

    Args:
        converter: The data set and its options.
        args: Options of `add_conversion_arguments`.

    Returns:
        Exit status: 0 if all that the lists need is there, 1 if something is missing.
    """
    from mmfas.datasets.conversion import convert_dataset
    from mmfas.datasets.conversion.convert import report_path

    if args.num_processes < 1:
        raise ValueError(f'--num-processes must be 1 or more, got {args.num_processes}')
    start = time.monotonic()
    report = convert_dataset(
        converter,
        args.source,
        args.out,
        lists=args.lists,
        num_processes=args.num_processes,
        verify=args.verify,
        progress=Progress('recordings'),
    )
    print(report.text(max(args.show, 0)))
    print(f'{report_path(args.out, converter)} lists all of it; {time.monotonic() - start:.1f} s')
    return 1 if report.missing else 0
