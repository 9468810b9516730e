"""Cut the faces out of your own footage: one box for all modalities, found on one of them; can be resumed."""

from __future__ import annotations

import argparse
import os
import sys
import time

from mmfas.cli.command import command
from mmfas.cli.numbers import number, whole
from mmfas.cli.options import ConfigOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    # Choices and defaults are those of `CropSpec`, as a test holds: importing it would cost `--help` seconds.
    parser.add_argument(
        'source', metavar='IN', help='annotation file (.csv, .json), or folder with rgb/ depth/ ir/'
    )
    parser.add_argument('out', metavar='OUT', help='folder for crops, new annotation file and report')
    parser.add_argument('--data-root', help='folder that paths in IN are relative to (default: the folder of IN)')
    parser.add_argument('--label', type=int, choices=(0, 1), help='label of all samples, if IN is a folder')
    parser.add_argument(
        '--detect-on', choices=('rgb', 'depth', 'ir'), default='rgb', help='what is searched (default: rgb)'
    )
    parser.add_argument('--size', type=whole(), default=224, help='side of a crop (default: 224)')
    parser.add_argument(
        '--margin',
        type=number(above=-0.5, most=5),
        default=0.15,
        help='added on each side, as a fraction of the longer side of the box (default: 0.15)',
    )
    parser.add_argument(
        '--align', choices=('eyes', 'none'), default='eyes', help='level the eyes or not (default: eyes)'
    )
    parser.add_argument(
        '--no-face',
        choices=('error', 'skip', 'keep'),
        default='error',
        help='refuse the sample and write no annotation file, leave it out, or keep the middle (default: error)',
    )
    parser.add_argument(
        '--several-faces',
        choices=('largest', 'centre', 'error', 'skip'),
        default='error',
        help='take the largest or the most central, refuse, or leave out (default: error)',
    )
    parser.add_argument(
        '--detector', default='CenterFaceDetector', help='registered name or dotted path (default: %(default)s)'
    )
    parser.add_argument('--detector-options', nargs='+', action=ConfigOptions, help='its arguments, key=value')
    parser.add_argument(
        '--num-processes', type=whole(), default=os.cpu_count() or 1, help='workers (default: all cores)'
    )
    parser.add_argument('--show', type=whole(0), default=20, help='samples per kind; 0 for all (default: 20)')


@command(2, on_stop='the same command continues')
def main(args: argparse.Namespace) -> int:
    """Crop the faces; returns 0 if all is well, 1 if samples were refused or broken, 2 for wrong arguments."""
    from mmfas.cli.progress import Progress
    from mmfas.datasets.face_crop import CropSpec, crop_dataset
    from mmfas.registry import load_plugins

    load_plugins()
    start = time.monotonic()
    report = crop_dataset(
        args.source,
        args.out,
        detector={'type': args.detector, **(args.detector_options or {})},
        spec=CropSpec(
            size=args.size,
            margin=args.margin,
            align=args.align,
            no_face=args.no_face,
            several_faces=args.several_faces,
        ),
        detect_on=args.detect_on,
        data_root=args.data_root,
        label=args.label,
        num_processes=args.num_processes,
        progress=Progress('samples'),
    )
    print(report.text(max(args.show, 0)))
    print(f'{report.table} has a row per sample; {time.monotonic() - start:.1f} s, {report.num_kept} done before')
    if report.annotations is None:
        reason = (
            f'{report.num_failed} samples were refused or are broken' if report.num_failed else 'nothing is left'
        )
        print(
            f'no annotation file is written: {reason}; fix them or choose --no-face, --several-faces',
            file=sys.stderr,
        )
        return 1
    print(f'{report.annotations} (data_root: {args.out})')
    return 0
