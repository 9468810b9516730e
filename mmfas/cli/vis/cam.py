"""Draw where a model looks: Grad-CAM or attention rollout over rgb, depth and ir of each sample."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfas.cli.command import command
from mmfas.cli.configs import read_checked_config
from mmfas.cli.numbers import whole
from mmfas.cli.options import add_config_options

if TYPE_CHECKING:
    from mmfas.analysis.saliency import SaliencyMaps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file (default: the initial weights)')
    parser.add_argument(
        '--method', choices=('grad-cam', 'rollout'), default='grad-cam', help='rollout needs a transformer'
    )
    parser.add_argument(
        '--target',
        choices=('decision', 'live', 'spoof'),
        default='decision',
        help='what Grad-CAM explains (default: decision, live where the score is 0.5 or more)',
    )
    parser.add_argument(
        '--block',
        type=whole(0),
        help='block at whose entrance Grad-CAM looks, from 0; the number of blocks means after the last '
        '(default: the last that the score depends on)',
    )
    parser.add_argument('--out-dir', default='cam', help='folder to write to (default: cam)')
    parser.add_argument('--max-samples', type=whole(), default=4, help='samples of the test set (default: 4)')
    add_config_options(parser)


@command()
def main(args: argparse.Namespace) -> int:
    """Draw; returns 0, 1 if it could not be done, 2 for a wrong config."""
    from mmfas.analysis.saliency import saliency_maps
    from mmfas.visualization.saliency_plots import draw_saliency
    from mmfas.visualization.style import save_figure

    cfg = read_checked_config(args.config, args.cfg_options)
    options: dict[str, Any] = dict(method=args.method, target=args.target, block=args.block)
    for number, found in enumerate(saliency_maps(cfg, args.checkpoint, max_samples=args.max_samples, **options)):
        label = {1: 'live', 0: 'spoof'}.get(found.label, 'label unknown')
        what = f'Grad-CAM for {found.target}, {found.place}' if found.target else 'attention rollout'
        figure = draw_saliency(
            found.pictures,
            found.modalities,
            found.maps,
            present=found.present.tolist(),
            is_comparable=found.is_comparable,
            title=f'{found.sample_id}\n{label}, score {found.score:.4f}; {what}',
        )
        # names of samples hold slashes
        path = Path(args.out_dir) / f'{number:03d}_{re.sub(r"[^A-Za-z0-9.-]+", "-", found.sample_id)}.png'
        print(f'{save_figure(figure, path)}: score {found.score:.4f}, {what}, {_in_words(found)}')
    return 0


def _in_words(found: SaliencyMaps) -> str:
    """Say how much of the saliency each modality has, where that can be said."""
    total = float(found.maps.sum())
    if not total:
        return f'no position speaks for {found.target}'
    parts = []
    for name, values, is_there in zip(found.modalities, found.maps, found.present, strict=True):
        amount = f'{name} {values.sum() / total:.0%}' if found.is_comparable else name
        parts.append(amount if is_there else f'{name} absent')
    return ', '.join(parts)
