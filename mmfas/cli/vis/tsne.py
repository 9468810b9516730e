"""Draw the features of a model in a plane, by t-SNE or PCA: joint and per modality, by domain and instrument."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmfas.cli.command import command
from mmfas.cli.configs import read_checked_config
from mmfas.cli.errors import UsageError
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
    parser.add_argument('--perplexity', type=number(above=0), help='neighbours that t-SNE keeps (default: 30)')
    parser.add_argument('--seed', type=seed, help='start t-SNE at random with this seed (default: from PCA)')
    parser.add_argument('--out-dir', default='features', help='folder to write to (default: features)')
    add_config_options(parser)


@command()
def main(args: argparse.Namespace) -> int:
    """Draw; returns 0, 1 if it could not be done, 2 for a wrong config."""
    if args.method == 'pca' and (args.perplexity, args.seed) != (None, None):
        raise UsageError('--perplexity and --seed are of t-SNE: leave them out, PCA draws nothing at random')

    from mmfas.analysis.feature_space import (
        LEAST_SAMPLES,
        collect_features,
        neighbours_kept,
        project,
        write_points,
    )
    from mmfas.visualization.feature_plots import draw_features
    from mmfas.visualization.style import save_figure

    cfg = read_checked_config(args.config, args.cfg_options)
    table = collect_features(cfg, args.checkpoint, splits=args.splits, max_samples=args.max_samples)
    perplexity = 30.0 if args.perplexity is None else args.perplexity
    points = {
        name: project(values, method=args.method, perplexity=perplexity, seed=args.seed)
        for name, values in table.features.items()
        if len(values) >= LEAST_SAMPLES or name == 'fused'
    }
    kinds = {'domain': table.domain, 'PAI': table.pai}
    groups = {kind: {name: known[table.rows[name]].tolist() for name in points} for kind, known in kinds.items()}
    title = {'tsne': 't-SNE', 'pca': 'PCA'}[args.method]
    counts = ', '.join(f'{int((table.split == split).sum())} of {split}' for split in dict.fromkeys(args.splits))
    figure = draw_features(points, groups, title=f'Features, {title}: {counts}', axis=title)
    folder = Path(args.out_dir)
    write_points(folder / f'{args.method}.csv', table, points)
    print(f'{save_figure(figure, folder / f"{args.method}.png")}: {counts}; {", ".join(points)}')
    print(folder / f'{args.method}.csv')
    for name in table.features.keys() - points.keys():
        print(f'* {name}: {len(table.features[name])} samples have it, at least {LEAST_SAMPLES} make a picture.')
    kept = {name: neighbours_kept(len(places), perplexity) for name, places in points.items()}
    if args.method == 'tsne' and min(kept.values()) < perplexity:
        lowered = ', '.join(f'{name} {value:.3g}' for name, value in kept.items() if value < perplexity)
        print(f'* Perplexity {perplexity:g} is more than a third of the samples, so it was lowered: {lowered}.')
    return 0
