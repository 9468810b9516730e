"""Find the samples that two lists have in common: the same files, byte copies, and pictures that look the same."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from pathlib import Path

from mmfas.cli.command import command
from mmfas.cli.numbers import whole
from mmfas.utils.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('first', metavar='A', help='annotation file (.txt, .csv, .json)')
    parser.add_argument('second', metavar='B', help='another one')
    parser.add_argument('--data-root', default='', help='folder of the data and of both lists')
    parser.add_argument('--data-root-b', help='folder of the data and list of B, where it is another one')
    parser.add_argument('--modality', choices=('rgb', 'depth', 'ir'), default='rgb', help='picture to compare')
    parser.add_argument(
        '--max-distance',
        type=whole(0, 256),
        default=24,
        help='bits, of 256, in which the hashes of pictures that look the same may differ (default: 24)',
    )
    parser.add_argument('--exact-only', action='store_true', help='only files and byte copies; decodes nothing')
    parser.add_argument('--threads', type=whole(), default=4, help='threads that decode (default: 4)')
    parser.add_argument(
        '--show', type=whole(0), default=20, help='pairs printed per kind; 0 for all (default: 20)'
    )
    parser.add_argument('--out', metavar='FILE.csv', help='write all pairs')


@command(2)
def main(args: argparse.Namespace) -> int:
    """Compare; returns 0 if there is nothing in common, 1 if there is, 2 for wrong input."""
    from mmengine.utils import ProgressBar

    from mmfas.datasets.face_dataset import MultiModalFaceDataset
    from mmfas.datasets.near_copies import near_copies
    from mmfas.datasets.verification import shared_files
    from mmfas.utils.files import write_atomically

    root_b = args.data_root if args.data_root_b is None else args.data_root_b
    sets = [MultiModalFaceDataset(args.first, args.data_root), MultiModalFaceDataset(args.second, root_b)]
    exact = shared_files({'A': sets[0], 'B': sets[1]}, by_content=True).get(('A', 'B'), [])
    rows = [('exact', text, '0') for text in exact]
    _print('the same file, or a byte copy', exact, args.show)
    if not args.exact_only:
        bar = ProgressBar(sum(map(len, sets)), file=sys.stderr)
        found = near_copies(
            *sets,
            modality=args.modality,
            max_distance=args.max_distance,
            num_threads=args.threads,
            advance=lambda count: bar.update(num_tasks=count),
        )
        print(file=sys.stderr)
        rows += [('looks the same', f'{one} in A, {other} in B', str(bits)) for one, other, bits in found.pairs]
        texts = [f'{one} in A, {other} in B: {bits} of 256 bits differ' for one, other, bits in found.pairs]
        _print(f'pictures ({args.modality}) that look the same, byte copies too', texts, args.show)
        _refuse_nothing(found.num_compared, args.modality)
        print(f'{found.num_compared[0]} x {found.num_compared[1]} pictures compared, {found.num_flat} too flat')
    if args.out:
        text = io.StringIO(newline='')
        csv.writer(text, lineterminator='\n').writerows([('kind', 'samples', 'bits'), *rows])
        write_atomically(Path(args.out), text.getvalue())
        print(f'{args.out}: {len(rows)} pairs')
    return 1 if rows else 0


def _refuse_nothing(num_compared: tuple[int, int], modality: str) -> None:
    """Refuse lists without a picture to compare: that none looks the same would be no news."""
    for name, num in zip('AB', num_compared):
        if not num:
            raise InputError(
                f'{name} has no {modality} picture that shows enough to be compared; give another --modality, or '
                '--exact-only'
            )


def _print(title: str, lines: list[str], show: int) -> None:
    """Print the first lines of a kind."""
    print(f'{title}: {len(lines)}')
    for line in lines[:show] if show else lines:
        print(f'  {line}')
    if show and len(lines) > show:
        print(f'  ... and {len(lines) - show} more (--show 0 prints all)')
