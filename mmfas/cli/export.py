"""Write a bundle as an ONNX file or a program of torch.export, for other runtimes."""

from __future__ import annotations

import argparse

from mmfas.cli.command import command
from mmfas.cli.errors import UsageError


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
    parser.add_argument('--opset', type=int, help="version of ONNX's operators (default: 20)")


@command()
def main(args: argparse.Namespace) -> int:
    """Export; returns 0, or 1 if it could not be done."""
    if args.opset is not None and args.format != 'onnx':
        raise UsageError('--opset is for --format onnx')

    if args.fp16 and args.int8:
        raise UsageError('--fp16 and --int8 are two precisions: choose one')

    from mmfas.deploy.export import OPSET
    from mmfas.deploy.exporting import export_bundle
    from mmfas.deploy.hub import open_bundle

    bundle = open_bundle(args.bundle)
    parity = export_bundle(
        bundle,
        args.out,
        args.format,
        opset=args.opset or OPSET,
        precision='fp16' if args.fp16 else 'int8' if args.int8 else 'fp32',
        calibration=args.int8,
    )
    print('Largest difference from the bundle, by what is there and batch size:')
    print(parity.to_text())
    print(f'{args.format}: {args.out}')
    return 0
