"""Draw the uncertainty of a model about each patch as heat maps over rgb, depth and ir."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from mmfas.cli.command import command
from mmfas.cli.configs import read_checked_config
from mmfas.cli.numbers import whole
from mmfas.cli.options import add_config_options
from mmfas.utils.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', help='config file of a model with UAdapterNeck')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file (default: the initial weights)')
    parser.add_argument('--out-dir', default='uncertainty', help='folder to write to (default: uncertainty)')
    parser.add_argument('--max-samples', type=whole(), default=4, help='samples of the test set (default: 4)')
    parser.add_argument('--blocks', type=whole(0), nargs='+', help='blocks to draw, from 0 (default: all)')
    add_config_options(parser)


@command()
def main(args: argparse.Namespace) -> int:
    """Draw; returns 0, 1 if it could not be done, 2 for a wrong config."""
    from mmfas.analysis.uncertainty_maps import uncertainty_maps
    from mmfas.visualization.style import save_figure
    from mmfas.visualization.uncertainty_plots import draw_uncertainty

    cfg = read_checked_config(args.config, args.cfg_options)
    for number, maps in enumerate(uncertainty_maps(cfg, args.checkpoint, max_samples=args.max_samples)):
        last = len(maps.patch_confidence) - 1
        blocks = list(range(last + 1)) if args.blocks is None else args.blocks
        if not all(0 <= block <= last for block in blocks):
            raise InputError(f'--blocks must lie in 0..{last}, got {blocks}')
        figure = draw_uncertainty(
            maps.pictures,
            maps.modalities,
            maps.patch_confidence,
            present=maps.present.tolist(),
            blocks=blocks,
            title=f'{maps.sample_id} ({"live" if maps.label else "spoof"}), score {maps.score:.4f}',
        )
        # names of samples hold slashes
        name = f'{number:03d}_{re.sub(r"[^A-Za-z0-9.-]+", "-", maps.sample_id)}.png'
        per_modality = zip(maps.modalities, maps.confidence, maps.present, strict=True)
        confidences = ', '.join(
            f'{m} {value:.3f}' if is_there else f'{m} absent' for m, value, is_there in per_modality
        )
        print(f'{save_figure(figure, Path(args.out_dir) / name)}: score {maps.score:.4f}, U {confidences}')
    return 0
