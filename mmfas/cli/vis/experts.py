"""Draw which experts a model selects: use, its evenness over checkpoints, and a map over the images."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmfas.cli.command import command
from mmfas.cli.configs import read_checked_config
from mmfas.cli.numbers import whole
from mmfas.cli.options import add_config_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', help='config file of a model with experts')
    parser.add_argument(
        'checkpoints', nargs='*', help='checkpoint files in the order of training (default: the initial weights)'
    )
    parser.add_argument('--out-dir', default='experts', help='folder to write to (default: experts)')
    parser.add_argument('--max-samples', type=whole(), default=64, help='samples of the test set (default: 64)')
    add_config_options(parser)


@command()
def main(args: argparse.Namespace) -> int:
    """Draw; returns 0, 1 if it could not be done, 2 for a wrong config."""
    import numpy as np

    from mmfas.analysis.expert_usage import measure_expert_usage
    from mmfas.visualization.expert_plots import draw_routing, plot_expert_usage, plot_usage_entropy
    from mmfas.visualization.style import save_figure

    cfg = read_checked_config(args.config, args.cfg_options)
    names = [Path(file).stem for file in args.checkpoints] or ['initial weights']
    usages = [
        measure_expert_usage(cfg, file, max_samples=args.max_samples) for file in (args.checkpoints or [None])
    ]
    last, out = usages[-1], Path(args.out_dir)
    entropy = np.stack([usage.entropy.numpy() for usage in usages])
    figures = {
        'usage': plot_expert_usage(last.counts.numpy()),
        'entropy': plot_usage_entropy(names, entropy),
        'routing': draw_routing(last.pictures, last.modalities, last.routing.numpy()),
    }
    for name, figure in figures.items():
        print(save_figure(figure, out / f'{name}.png'))
    for block, value in enumerate(entropy[-1]):
        used = int((last.counts[block] > 0).sum())
        print(f'block {block}: {used} of {last.counts.shape[1]} experts used, evenness {value:.3f}')
    return 0
