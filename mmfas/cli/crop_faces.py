"""Cut the faces out of own footage: one box for all modalities, found on one; a second run finishes the first."""

from __future__ import annotations

import argparse
import os
import sys
import time

from mmfas.cli.errors import reports_user_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command.

    Args:
        parser: Parser to extend.
    """
    from mmfas.cli.options import ConfigOptions
    from mmfas.datasets.face_crop import ALIGNMENTS, NO_FACE, SEVERAL_FACES, CropSpec
    from mmfas.structures import MODALITIES

    spec = CropSpec()
    parser.add_argument(
        'source', metavar='IN', help='annotation file (.csv, .json), or folder with rgb/ depth/ ir/'
    )
    parser.add_argument('out', metavar='OUT', help='folder for crops, new annotation file and report')
    parser.add_argument('--data-root', help='folder that paths in IN are relative to (default: the folder of IN)')
    parser.add_argument('--label', type=int, choices=(0, 1), help='label of all samples, if IN is a folder')
    parser.add_argument('--detect-on', choices=MODALITIES, default='rgb', help='what is searched (default: rgb)')
    parser.add_argument('--size', type=int, default=spec.size, help=f'side of a crop (default: {spec.size})')
    parser.add_argument(
        '--margin',
        type=float,
        default=spec.margin,
        help=f'added on each side, as a share of the longer side of the box (default: {spec.margin})',
    )
    parser.add_argument(
        '--align', choices=ALIGNMENTS, default=spec.align, help=f'level the eyes or not (default: {spec.align})'
    )
    parser.add_argument(
        '--no-face',
        choices=NO_FACE,
        default=spec.no_face,
        help='refuse the sample and write no annotation file, leave it out, or keep the middle (default: error)',
    )
    parser.add_argument(
        '--several-faces',
        choices=SEVERAL_FACES,
        default=spec.several_faces,
        help='take the largest or the most central, refuse, or leave out (default: error)',
    )
    parser.add_argument(
        '--detector', default='CenterFaceDetector', help='registered name or dotted path (default: %(default)s)'
    )
    parser.add_argument('--detector-options', nargs='+', action=ConfigOptions, help='its arguments, key=value')
    parser.add_argument(
        '--num-processes', type=int, default=os.cpu_count() or 1, help='workers (default: all cores)'
    )
    parser.add_argument('--show', type=int, default=20, help='samples printed per kind; 0 for all (default: 20)')


@reports_user_errors(2, on_interrupt='interrupted; the same command continues')
def main(argv: list[str] | None = None) -> int:
    """Crop the faces.

    Args:
        argv: Arguments; those of the process if None.

    Returns:
        Exit status: 0 if all is well, 1 if samples were refused or broken, 2 for wrong arguments.
    """
    parser = argparse.ArgumentParser(prog='mmfas crop_faces', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    from mmfas.cli.progress import Progress
    from mmfas.datasets.face_crop import CropSpec, crop_dataset
    from mmfas.registry import load_plugins

    if args.num_processes < 1:
        raise ValueError(f'--num-processes must be 1 or more, got {args.num_processes}')
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
        told = (
            f'{report.num_failed} samples were refused or are broken' if report.num_failed else 'nothing is left'
        )
        print(
            f'no annotation file is written: {told}; mend them or choose --no-face, --several-faces',
            file=sys.stderr,
        )
        return 1
    print(f'{report.annotations} (data_root: {args.out})')
    return 0


if __name__ == '__main__':
    sys.exit(main())
