"""Draw MMDA: both attention maps and lambda over checkpoints, and the cosine of one face to every anchor."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmfas.cli.command import command
from mmfas.cli.configs import read_checked_config
from mmfas.cli.numbers import whole
from mmfas.cli.options import add_config_options
from mmfas.utils.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', help='config file of a model with MD2ANeck and TextAlignHead')
    parser.add_argument(
        'checkpoints', nargs='*', help='checkpoint files in the order of training (default: the initial weights)'
    )
    parser.add_argument('--out-dir', default='anchors', help='folder to write to (default: anchors)')
    parser.add_argument('--max-samples', type=whole(), default=64, help='samples of the test set (default: 64)')
    parser.add_argument('--face', type=whole(0), default=0, help='which of them meets the anchors (default: 0)')
    parser.add_argument('--prompts', help='YAML file with the texts of the anchors (default: they are numbered)')
    add_config_options(parser)


@command()
def main(args: argparse.Namespace) -> int:
    """Draw; returns 0, 1 if it could not be done, 2 for a wrong config."""
    import numpy as np

    from mmfas.analysis.anchor_view import view_anchors
    from mmfas.visualization.anchor_plots import draw_anchor_cosines, draw_attention, plot_noise_weight
    from mmfas.visualization.style import save_figure

    cfg = read_checked_config(args.config, args.cfg_options)
    names = [Path(file).stem for file in args.checkpoints] or ['initial weights']
    options = dict(max_samples=args.max_samples, face=args.face)
    views = [view_anchors(cfg, file, **options) for file in (args.checkpoints or [None])]
    last, weights = views[-1], [view.noise_weight for view in views]
    labels = anchor_labels(args.prompts, last.num_anchors)
    attention = np.stack([view.attention.numpy() for view in views])
    cosines = last.cosines.numpy()
    figures = {
        'attention': draw_attention(names, last.modalities, attention, weights),
        'lambda': plot_noise_weight(names, weights),
        'cosines': draw_anchor_cosines(
            last.pictures, last.modalities, cosines, labels, last.num_anchors[0], are_random=last.are_random
        ),
    }
    for name, figure in figures.items():
        print(save_figure(figure, Path(args.out_dir) / f'{name}.png'))
    print(f'lambda {weights[-1]:.3f}; {last.sample_id} has the score {last.score:.4f}')
    for name, part in (('spoof', slice(0, last.num_anchors[0])), ('live', slice(last.num_anchors[0], None))):
        own = cosines[-1, part]
        print(f'closest {name} anchor: {labels[part][own.argmax()]} ({own.max():.3f})')
    if last.are_random:
        print('the anchors of this config are random directions: what they are called says nothing')
    return 0


def anchor_labels(prompts: str | None, num_anchors: tuple[int, int]) -> list[str]:
    """Name the anchors.

    Args:
        prompts: YAML file with their texts, or None to number them.
        num_anchors: Number of spoof and of live anchors.

    Returns:
        One name per anchor, spoof first.

    Raises:
        ValueError: If the file has other numbers of texts.
    """
    if prompts is None:
        return [f'{name} {i}' for name, num in zip(('spoof', 'live'), num_anchors) for i in range(num)]
    from mmfas.models.heads import read_prompts

    texts = list(read_prompts(prompts).values())
    if tuple(map(len, texts)) != num_anchors:
        raise InputError(
            f"'{prompts}' has {tuple(map(len, texts))} texts (spoof, live), but the model {num_anchors} anchors"
        )
    return [text for own in texts for text in own]
