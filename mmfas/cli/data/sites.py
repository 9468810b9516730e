"""Render random sites into a folder: most without labels, to pretrain on; some held out, with labels."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from mmfas.cli.command import command
from mmfas.cli.numbers import seed, whole
from mmfas.cli.progress import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from mmfas.synthfas import SIZES

    parser.add_argument('out', type=Path, help='folder of the data, e.g. data/synthfas_sites')
    parser.add_argument('--sites', type=whole(), default=300, help='sites to pretrain on (default: 300)')
    parser.add_argument(
        '--heldout', type=whole(2), default=40, help='sites with labels, not pretrained on (default: 40)'
    )
    parser.add_argument('--frames', type=whole(), default=60, help='frames of a site (default: 60)')
    parser.add_argument('--size', default='small', choices=tuple(SIZES), help='how large pictures are')
    parser.add_argument(
        '--seed', type=seed, default=0, help='another seed makes other sites and people (default: 0)'
    )
    parser.add_argument(
        '--num-processes', type=whole(), default=os.cpu_count() or 1, help='workers (default: all cores)'
    )
    parser.add_argument(
        '--verify', action='store_true', help='compare checksums of pictures that are already there'
    )


@command(2, on_stop='the same command continues')
def main(args: argparse.Namespace) -> int:
    """Render; a second run renders only what is missing.

    Returns 0 if all is rendered, 2 if the arguments or the folder do not fit.
    """
    from mmfas.synthfas import Setting, Sites, render_sites

    start = time.monotonic()
    try:
        sites = Sites(Setting(args.size, args.seed), args.sites, args.heldout, args.frames)
        report = render_sites(
            args.out,
            sites,
            num_processes=args.num_processes,
            verify=args.verify,
            progress=Progress('frames'),
        )
    except ValueError as error:
        print(f'mmfas data sites: {error}', file=sys.stderr)
        return 2
    print(
        f'{args.out}: {report.num_frames} frames of {args.sites} + {args.heldout} sites ({report.num_rendered} '
        f'rendered, {report.num_kept} found complete) in {time.monotonic() - start:.1f} s'
    )
    return 0
