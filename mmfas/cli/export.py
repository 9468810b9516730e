"""Write a bundle as an ONNX file or a program of torch.export, for other runtimes."""

from __future__ import annotations

import argparse

from mmfas.cli.command import command
from mmfas.cli.errors import UsageError
from mmfas.cli.numbers import whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('bundle', help='bundle, or hf://ORG/NAME')
    parser.add_argument(
        '--format', choices=('onnx', 'pt2'), default='onnx', help='onnx (default), or torch.export'
    )
    parser.add_argument('--out', metavar='FILE', required=True, help='file to write: NAME.onnx or NAME.pt2')
    parser.add_argument('--fp16', action='store_true', help='half precision, for accelerators')
    parser.add_argument(
        '--int8', metavar='INPUT', help='8-bit integers, calibrated on a folder or CSV of training data'
    )
    parser.add_argument(
        '--dev',
        metavar='LIST',
        nargs='+',
        help='labelled lists: print what the file costs there',
    )
    parser.add_argument('--data-root', default='', help='folder of the data, which the lists are named from')
    parser.add_argument('--opset', type=whole(), help="version of ONNX's operators (default: 20)")
    parser.add_argument('--no-self-test', action='store_true', help='do not score the golden sample first')


@command()
def main(args: argparse.Namespace) -> int:
    """Export; returns 0, or 1 if it could not be done."""
    if args.opset is not None and args.format != 'onnx':
        raise UsageError('--opset is for --format onnx')

    if args.fp16 and args.int8:
        raise UsageError('--fp16 and --int8 are two precisions: choose one')
    if args.dev and args.format != 'onnx':
        raise UsageError('--dev is for --format onnx')
    if args.data_root and not args.dev:
        raise UsageError('--data-root says where the lists of --dev lie: give --dev as well')

    from mmfas.deploy.bundle_export import export_bundle
    from mmfas.deploy.export import OPSET
    from mmfas.deploy.hub import open_bundle
    from mmfas.deploy.onnx_file import require_export_packages
    from mmfas.deploy.precision_cost import labelled_samples, measure_cost

    if args.format == 'onnx':
        require_export_packages()
    bundle = open_bundle(args.bundle)
    labelled = labelled_samples(bundle, args.dev, args.data_root) if args.dev else None
    parity = export_bundle(
        bundle,
        args.out,
        args.format,
        opset=args.opset or OPSET,
        precision='fp16' if args.fp16 else 'int8' if args.int8 else 'fp32',
        calibration=args.int8,
        self_test=not args.no_self_test,
    )
    print('Largest difference from the bundle, by what is there and batch size:')
    print(parity.to_text())
    if labelled is not None:
        print('On the lists of --dev, rates in %:')
        print(measure_cost(bundle, args.out, labelled).to_text())
    elif args.fp16 or args.int8:
        print('What this costs in AUC and HTER was not measured: --dev LIST, such as the dev lists, does that')
    opset = f' (operators of version {args.opset or OPSET})' if args.format == 'onnx' else ''
    print(f'{args.format}: {args.out}{opset}')
    return 0
