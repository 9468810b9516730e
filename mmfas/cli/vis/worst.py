"""Draw the worst accepted attacks and rejected live faces of score files, with all their pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfas.cli.command import command
from mmfas.cli.errors import UsageError
from mmfas.cli.numbers import whole
from mmfas.cli.options import add_config_options
from mmfas.config.reading import read_config

if TYPE_CHECKING:
    from mmfas.datasets.face_dataset import MultiModalFaceDataset
    from mmfas.evaluation.worst_samples import Mistake


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('scores', nargs='+', metavar='TEST.csv', help='score files, taken together')
    parser.add_argument('--dev', metavar='DEV.csv', help='score file that fixes the threshold')
    parser.add_argument(
        '--criterion', default='eer', help='how dev scores fix it (default: eer); fixed=0.5 needs no dev scores'
    )
    parser.add_argument('--config', help='config whose data sets were scored, for the pictures')
    parser.add_argument('--lists', nargs='+', metavar='FILE', help='annotation files instead')
    parser.add_argument('--data-root', default='', help='folder of the data and of --lists')
    parser.add_argument('--num', type=whole(), default=8, help='samples of either kind (default: 8)')
    parser.add_argument('--out', default='worst.png', help='PNG file to write (default: worst.png)')
    parser.add_argument('--allow-duplicates', action='store_true', help='accept repeated sample ids')
    add_config_options(parser)


@command()
def main(args: argparse.Namespace) -> int:
    """Draw; returns 0, 1 if it could not be done, 2 for wrong arguments."""
    if bool(args.config) == bool(args.lists):
        raise UsageError('give either --config or --lists: where the pictures of the scores are')

    from mmfas.evaluation import ScoreRules, ScoreTable
    from mmfas.evaluation.evaluate import resolve_threshold
    from mmfas.evaluation.worst_samples import worst_samples
    from mmfas.structures import MODALITIES
    from mmfas.utils.errors import InputError
    from mmfas.visualization.mistake_plots import draw_mistakes
    from mmfas.visualization.style import save_figure

    options = dict(allow_duplicates=args.allow_duplicates)
    table = ScoreTable.concat(ScoreTable.from_csv(path, **options) for path in args.scores)
    dev = ScoreTable.from_csv(args.dev, **options) if args.dev else None
    threshold, _ = resolve_threshold(table, dev=dev, rules=ScoreRules(args.criterion))
    if threshold is None:
        raise InputError('nothing fixes the threshold: give --dev DEV.csv, or --criterion fixed=0.5')
    worst = worst_samples(table, threshold, num=args.num)
    datasets = _datasets(args)
    accepted, rejected = (_rows(part, datasets) for part in (worst.accepted, worst.rejected))
    titles = (
        f'{worst.num_accepted} of {worst.num_attacks} attacks accepted',
        f'{worst.num_rejected} of {worst.num_live} live faces rejected',
    )
    path = save_figure(draw_mistakes(accepted, rejected, MODALITIES, titles=titles), Path(args.out))
    print(f'{path}: {titles[0]}, {titles[1]} at {threshold}')
    for mistake in (*worst.accepted, *worst.rejected):
        print(f'  {mistake.score:.4f}  {mistake.pai}  {mistake.sample_id}')
    return 0


def _rows(mistakes: Sequence[Mistake], datasets: Sequence[MultiModalFaceDataset]) -> list[tuple[str, list[Any]]]:
    """Return caption and pictures of mistakes."""
    from mmfas.analysis.mistakes import find_samples, load_pictures

    found = find_samples(mistakes, datasets)
    return [
        (f'{m.score:.4f}  {m.pai}  {m.domain} {m.sample_id}', list(load_pictures(info).values()))
        for m, info in found.items()
    ]


def _datasets(args: argparse.Namespace) -> list[MultiModalFaceDataset]:
    """Build the data sets in which the pictures are looked for, those of the test first."""
    from mmfas.datasets.building import build_split
    from mmfas.datasets.face_dataset import MultiModalFaceDataset
    from mmfas.datasets.verification import face_datasets_in
    from mmfas.registry import DATASETS, SCOPE

    if args.lists:
        return [MultiModalFaceDataset(args.lists, args.data_root)]
    config = read_config(args.config, args.cfg_options)
    built = build_split(config, 'test')
    more = (config.get('extra_test_dataloaders') or {}).values()
    built += [DATASETS.build({'_scope_': SCOPE, **loader['dataset']}) for loader in more]
    return [found for dataset in built for found in face_datasets_in(dataset)]
