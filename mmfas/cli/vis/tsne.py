"""Draw the features of a model in a plane, by t-SNE or PCA: joint and per modality, by domain and instrument."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmfas.cli.command import command
from mmfas.cli.configs import read_checked_config
from mmfas.cli.numbers import number, seed, whole
from mmfas.cli.options import add_config_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file (default: the initial weights)')
    parser.add_argument('--method', choices=('tsne', 'pca'), default='tsne', help='how (default: tsne)')
    parser.add_argument(
        '--splits',
        nargs='+',
        choices=('train', 'val', 'test'),
        default=['val', 'test'],
        help='splits whose samples are drawn (default: val test, the source domains and the target)',
    )
    parser.add_argument('--max-samples', type=whole(), default=1000, help='samples of each split (default: 1000)')
    parser.add_argument(
        '--perplexity', type=number(above=0), default=30.0, help='neighbours that t-SNE keeps (default: 30)'
    )
    parser.add_argument('--seed', type=seed, default=0, help='seed of t-SNE (default: 0)')
    parser.add_argument('--out-dir', default='features', help='folder to write to (default: features)')
    add_config_options(parser)


@command()
def main(args: argparse.Namespace) -> int:
    """Draw; returns 0, 1 if it could not be done, 2 for a wrong config."""
    from mmfas.analysis.feature_space import collect_features, project, write_points
    from mmfas.visualization.feature_plots import draw_features
    from mmfas.visualization.style import save_figure

    cfg = read_checked_config(args.config, args.cfg_options)
    table = collect_features(cfg, args.checkpoint, splits=args.splits, max_samples=args.max_samples)
    points = {
        name: project(values, method=args.method, perplexity=args.perplexity, seed=args.seed)
        for name, values in table.features.items()
    }
    kinds = {'domain': table.domain, 'PAI': table.pai}
    groups = {
        kind: {name: known[rows].tolist() for name, rows in table.rows.items()} for kind, known in kinds.items()
    }
    title = {'tsne': 't-SNE', 'pca': 'PCA'}[args.method]
    counts = ', '.join(f'{int((table.split == split).sum())} of {split}' for split in dict.fromkeys(args.splits))
    figure = draw_features(points, groups, title=f'Features, {title}: {counts}', axis=title)
    folder = Path(args.out_dir)
    write_points(folder / f'{args.method}.csv', table, points)
    print(f'{save_figure(figure, folder / f"{args.method}.png")}: {counts}; {", ".join(points)}')
    print(folder / f'{args.method}.csv')
    return 0
