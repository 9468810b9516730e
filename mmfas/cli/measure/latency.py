"""Time how long a verdict of a bundle takes: preprocessing apart, in torch and ONNX, by batch size and threads."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict

from mmfas.cli.command import command
from mmfas.cli.numbers import whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('bundle', help='bundle, or hf://ORG/NAME')
    parser.add_argument(
        '--runtimes',
        nargs='+',
        default=['torch', 'onnx'],
        help='torch, compiled, onnx, int8; the first is the reference',
    )
    parser.add_argument(
        '--batch-sizes', type=whole(), nargs='+', default=[1, 8], help='samples at once (default: 1 8)'
    )
    parser.add_argument(
        '--threads', type=whole(), nargs='+', help='threads of an operator (default: one, and one for each core)'
    )
    parser.add_argument('--rounds', type=whole(), default=200, help='timed rounds (default: 200)')
    parser.add_argument(
        '--clock',
        choices=('wall', 'cpu'),
        default='wall',
        help='what is timed: wall time (default), or on a busy machine the CPU time of one thread',
    )
    parser.add_argument('--out', metavar='FILE.json', help='write the numbers as JSON')


@command()
def main(args: argparse.Namespace) -> int:
    """Print the table of times; returns 0, or 1 if the bundle cannot be used."""
    from mmfas.deploy.hub import open_bundle
    from mmfas.deploy.latency import instruction_sets, latency_table, measure_latency
    from mmfas.utils.files import write_atomically

    bundle = open_bundle(args.bundle)
    found = measure_latency(
        bundle,
        runtimes=args.runtimes,
        batch_sizes=args.batch_sizes,
        threads=args.threads or ([1] if args.clock == 'cpu' else sorted({1, os.cpu_count() or 1})),
        num_rounds=args.rounds,
        clock=args.clock,
        report=lambda line: print(line, file=sys.stderr, flush=True),
    )
    machine = instruction_sets()
    kind = 'CPU time' if args.clock == 'cpu' else 'wall time'
    print(f'{bundle.name}, {kind} per sample, {args.rounds} rounds side by side\n{machine}')
    print(latency_table(found))
    if args.out:
        report = dict(
            bundle=bundle.name,
            sha256=bundle.sha256,
            machine=machine,
            clock=args.clock,
            times=[asdict(one) for one in found],
        )
        write_atomically(args.out, json.dumps(report, indent=2) + '\n')
    return 0
