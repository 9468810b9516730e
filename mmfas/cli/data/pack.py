"""Pack the pictures of lists into one file, with an index: one large file instead of many small ones."""

from __future__ import annotations

import argparse
import os

from mmfas.cli.command import command
from mmfas.cli.errors import refuse_repeats


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('lists', nargs='+', metavar='LIST', help='annotation files (.txt, .csv, .json)')
    parser.add_argument('--data-root', default='', help='folder of the data and of the lists')
    parser.add_argument('--out', required=True, metavar='FILE.tar', help='file to write')


@command(2)
def main(args: argparse.Namespace) -> int:
    """Pack; returns 0, or 2 for wrong input."""
    refuse_repeats(args.lists, 'lists', args.data_root)

    from mmfas.datasets.face_dataset import MultiModalFaceDataset
    from mmfas.datasets.packed_files import index_path, pack_files

    dataset = MultiModalFaceDataset(args.lists, args.data_root)
    root = args.data_root or '.'
    names = (os.path.relpath(path, root) for info in dataset for path in info['img_paths'].values())
    number, size = pack_files(names, root, args.out)
    print(f'{args.out}: {number:,} files, {size / 1e6:,.1f} MB; index: {index_path(args.out)}')
    print(
        "Read them by dict(type='LoadMultiModalImages', "
        f'backend_args=dict(backend={"packed"!r}, file={args.out!r}, root={args.data_root!r}))'
    )
    return 0
