"""Draw samples as they leave the pipeline, as contact sheets."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmfas.cli.command import command
from mmfas.cli.numbers import seed, whole
from mmfas.cli.options import add_config_options
from mmfas.config.reading import read_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', help='config file')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train')
    parser.add_argument('--out-dir', default='browse', help='folder of the PNG files (default: browse)')
    parser.add_argument('--num', type=whole(), default=16, help='samples, evenly over the split (default: 16)')
    parser.add_argument('--rows', type=whole(), default=8, help='samples per picture (default: 8)')
    parser.add_argument('--tile', type=whole(), default=160, help='edge of one image in pixels (default: 160)')
    parser.add_argument(
        '--epoch', type=whole(0), default=0, help='epoch that random transforms draw for (default: 0)'
    )
    parser.add_argument('--seed', type=seed, default=0, help='seed of random transforms (default: 0)')
    add_config_options(parser)


@command()
def main(args: argparse.Namespace) -> int:
    """Draw; returns 0, or 2 if the config has no such split."""
    import cv2
    import numpy as np

    from mmfas.datasets.building import build_split
    from mmfas.datasets.contact_sheet import draw_contact_sheet
    from mmfas.datasets.randomness import set_dataset_epoch
    from mmfas.utils.files import write_atomically

    config = read_config(args.config, args.cfg_options)
    datasets = build_split(config, args.split)
    if not datasets:
        print(f'{args.config}: there is no {args.split}_dataloader', file=sys.stderr)
        return 2
    for number, dataset in enumerate(datasets):
        set_dataset_epoch(dataset, args.epoch, args.seed)
        indices = np.unique(np.linspace(0, len(dataset) - 1, args.num).astype(int)).tolist()
        for page, start in enumerate(range(0, len(indices), args.rows)):
            sheet = draw_contact_sheet([dataset[i] for i in indices[start : start + args.rows]], args.tile)
            path = Path(args.out_dir) / f'{args.split}{number}_{page:02d}.png'
            write_atomically(path, cv2.imencode('.png', cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
            print(path)
    return 0
