"""Render SynthFAS, the embedded synthetic benchmark, into a folder."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mmfas.cli.command import command
from mmfas.cli.errors import UsageError
from mmfas.cli.numbers import seed, whole
from mmfas.cli.progress import Progress

if TYPE_CHECKING:
    from mmfas.synthfas import Setting


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from mmfas.synthfas import DOMAINS, PERTURBATIONS, RENDERER_VERSION, RENDERER_VERSIONS, SIZES, SPLITS

    parser.add_argument('out', type=Path, nargs='?', help='folder of the data, e.g. data/synthfas_small')
    parser.add_argument('--size', default='small', choices=tuple(SIZES), help='how many and how large pictures')
    parser.add_argument('--seed', type=seed, default=0, help='another seed makes other people (default: 0)')
    parser.add_argument('--domains', nargs='+', default=list(DOMAINS), help='some of C P S W (default: all)')
    parser.add_argument(
        '--splits',
        nargs='+',
        default=list(SPLITS),
        help='some of train val test (default: these three) and site, live videos alone of other people',
    )
    parser.add_argument(
        '--stress',
        nargs='+',
        default=[],
        metavar='NAME=VALUE',
        help=f'perturbations in 0..1: {", ".join(PERTURBATIONS)}',
    )
    parser.add_argument(
        '--renderer',
        default=RENDERER_VERSION,
        choices=RENDERER_VERSIONS,
        help=f'version of the renderer (default: {RENDERER_VERSION}); earlier ones repeat what was measured then',
    )
    parser.add_argument(
        '--num-processes', type=whole(), default=os.cpu_count() or 1, help='workers (default: all cores)'
    )
    parser.add_argument(
        '--verify', action='store_true', help='compare checksums of pictures that are already there'
    )
    parser.add_argument('--contact-sheet', type=Path, metavar='PNG', help='draw live and every attack; no folder')
    parser.add_argument('--statistics', type=Path, metavar='PNG', help='plot statistics of the rendered folder')


def _setting(args: argparse.Namespace) -> Setting:
    """Return the spec of the data that the arguments describe."""
    from mmfas.synthfas import Setting, parse_stress

    return Setting(args.size, args.seed, parse_stress(args.stress), args.renderer)


def _draw(args: argparse.Namespace) -> None:
    """Draw the requested figures."""
    from mmfas.synthfas.files.contact_sheet import write_contact_sheet
    from mmfas.synthfas.files.statistics import plot_statistics

    if args.contact_sheet is not None:
        write_contact_sheet(args.contact_sheet, _setting(args), domains=tuple(args.domains))
        print(f'contact sheet: {args.contact_sheet}')
    if args.statistics is not None:
        plot_statistics(args.statistics, args.out)
        print(f'statistics: {args.statistics}')


def _name_other_renderer(args: argparse.Namespace) -> None:
    """Say how to continue a folder that another known version of the renderer made."""
    from mmfas.synthfas import RENDERER_VERSIONS

    try:
        made_with = json.loads((args.out / 'manifest.json').read_text())['renderer_version']
    except (OSError, ValueError, KeyError, TypeError):
        return
    if made_with != args.renderer and made_with in RENDERER_VERSIONS:
        print(f'mmfas data render: --renderer {made_with} continues it.', file=sys.stderr)


@command(2, on_stop='the same command continues')
def main(args: argparse.Namespace) -> int:
    """Render the requested lists; a second run renders only what is missing.

    Returns 0 if all is rendered, 2 if the arguments or the folder do not fit.
    """
    if args.out is None and args.contact_sheet is None:
        raise UsageError('give the folder to render into, or --contact-sheet PNG')
    if args.contact_sheet is not None and (args.out is not None or args.statistics is not None):
        raise UsageError('--contact-sheet draws and renders no folder; leave the folder and --statistics away')
    from mmfas.synthfas import render_dataset

    try:
        if args.out is not None:
            start = time.monotonic()
            report = render_dataset(
                args.out,
                _setting(args),
                domains=tuple(args.domains),
                splits=tuple(args.splits),
                num_processes=args.num_processes,
                verify=args.verify,
                progress=Progress('frames'),
            )
            print(
                f'{args.out}: {report.num_frames} frames ({report.num_rendered} chunks rendered, '
                f'{report.num_kept} found complete) in {time.monotonic() - start:.1f} s'
            )
        _draw(args)
    except ValueError as error:
        print(f'mmfas data render: {error}', file=sys.stderr)
        _name_other_renderer(args)
        return 2
    return 0
