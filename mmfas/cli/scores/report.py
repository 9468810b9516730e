"""Write one HTML page of any score files: tables, curves, groups, worst samples; it needs no network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmfas.cli.command import command
from mmfas.cli.errors import UsageError
from mmfas.cli.numbers import whole
from mmfas.cli.score_inputs import add_rule_arguments, add_score_arguments, read_scores

if TYPE_CHECKING:
    from mmfas.evaluation import ScoreRules


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_score_arguments(parser)
    parser.add_argument('--out', metavar='PAGE.html', required=True, help='page to write; print it to get a PDF')
    parser.add_argument('--title', default='Score report', help='first line of the page')
    parser.add_argument(
        '--pictures', nargs='+', metavar='LIST', help='lists that were scored: the worst samples get pictures'
    )
    parser.add_argument('--data-root', default='', metavar='DIR', help='folder of these lists and of the pictures')
    parser.add_argument('--worst', type=whole(0), default=8, metavar='N', help='worst samples of each kind')
    add_rule_arguments(parser)


@command(2)
def main(args: argparse.Namespace) -> int:
    """Write the page; returns 0, or 2 for wrong input."""
    if Path(args.out).suffix not in ('.html', '.htm'):
        raise UsageError(f"--out: the page is HTML, so give a name that ends in .html, got '{args.out}'")
    if args.data_root and not args.pictures:
        raise UsageError('--data-root says where the pictures of the lists are; give --pictures LIST, too')
    inputs = read_scores(args)

    from mmfas.utils.files import write_atomically
    from mmfas.visualization.score_page import ScorePage, score_page

    pictures = None
    if args.pictures:
        from mmfas.visualization.picture_source import PictureSource

        pictures = PictureSource(args.pictures, args.data_root)
    page = ScorePage(
        tables=inputs.tables,
        devs=inputs.devs,
        site=inputs.site,
        reports=inputs.reports(),
        rules=inputs.rules,
        comparisons=list(inputs.comparisons(args.permutation)),
        are_systems=inputs.are_systems,
        facts=_facts(args, inputs.rules),
        notes=inputs.notes,
        title=args.title,
        pictures=pictures,
        num_worst=args.worst,
    )
    write_atomically(args.out, score_page(page))
    print(args.out)
    return 0


def _facts(args: argparse.Namespace, rules: ScoreRules) -> list[str]:
    """Say where the numbers come from."""
    from mmfas.cli.score_inputs import paths_of
    from mmfas.utils.checkpoint import sha256_of
    from mmfas.version import __version__

    files = [f'`{path}`, SHA-256 {sha256_of(path)[:16]}' for path in paths_of(args)]
    level = rules.level if rules.level == 'frame' else f'{rules.level}, {rules.frame_reduction} of frames'
    return [
        f'Criterion of the threshold: {rules.criterion}; level: {level}; {rules.num_bootstrap} bootstrap '
        f'replicates, seed {rules.seed}; mmfas {__version__}.',
        'Terms of ISO/IEC 30107-3: APCER per PAI species (max: of the worst one), BPCER, APNRR, BPNRR. HTER, '
        'ACER, AUC and EER are not of the standard.',
        *files,
    ]
