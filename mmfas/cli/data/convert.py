"""Convert a data set to the layout of the published lists; a second run finishes only what is missing."""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING

from mmfas.cli.command import command
from mmfas.cli.numbers import whole
from mmfas.cli.progress import Progress

if TYPE_CHECKING:
    from mmfas.datasets.conversion import Converter

_TO = 'to the layout of the published lists; a second run finishes only what is missing.'
DATA_SETS = {'cefa': 'CASIA-CeFA', 'padisi': 'PADISI-USC', 'casia_surf': 'CASIA-SURF', 'wmca': 'WMCA'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options: those of all data sets, and those of some."""
    data_sets = parser.add_subparsers(dest='data_set', metavar='NAME', required=True, title='data sets')
    parsers = {}
    for name, title in DATA_SETS.items():
        parsers[name] = data_sets.add_parser(name, help=title, description=f'Convert {title} {_TO}')
        _add_common(parsers[name])
    parsers['cefa'].add_argument(
        '--remove-borders',
        type=whole(0, 255),
        nargs='?',
        const=10,
        metavar='LEVEL',
        help='cut rows and columns that are black in all three pictures, up to this grey level (10 if not given); '
        'the published code keeps the borders',
    )
    parsers['padisi'].add_argument(
        '--ground-truth',
        metavar='CSV',
        help='padisi_USC_FACE_ground_truth.csv: compare the labels, and write subjects and attacks to P-meta.csv',
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    """Declare the options that all data sets have."""
    parser.add_argument('source', metavar='SRC', help='folder of the unpacked originals')
    parser.add_argument('out', metavar='OUT', help='data_root of the configs; it may hold other data sets too')
    parser.add_argument('--lists', metavar='FOLDER', help='folder of the published lists (default: OUT)')
    parser.add_argument(
        '--num-processes', type=whole(), default=os.cpu_count() or 1, help='workers (default: all cores)'
    )
    parser.add_argument('--verify', action='store_true', help='compare checksums of what is already there')
    parser.add_argument('--show', type=whole(0), default=10, help='oddities printed per kind (default: 10)')


def _converter(args: argparse.Namespace) -> Converter:
    """Return the converter of a data set with its options."""
    from mmfas.datasets.conversion import CasiaSurfConverter, CefaConverter, PadisiConverter, WmcaConverter

    if args.data_set == 'cefa':
        return CefaConverter(args.remove_borders)
    if args.data_set == 'padisi':
        return PadisiConverter(args.ground_truth)
    return CasiaSurfConverter() if args.data_set == 'casia_surf' else WmcaConverter()


@command(2, on_stop='the same command continues')
def main(args: argparse.Namespace) -> int:
    """Convert; returns 0 if all that the lists need is there, 1 if something is missing, 2 for wrong arguments."""
    from mmfas.datasets.conversion import convert_dataset
    from mmfas.datasets.conversion.convert import report_path

    converter = _converter(args)
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
