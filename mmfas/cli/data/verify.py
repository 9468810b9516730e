"""Report every missing, broken or empty image of a data set, and samples that are in two splits."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from mmfas.cli.command import command
from mmfas.cli.errors import UsageError, refuse_repeats
from mmfas.cli.numbers import whole
from mmfas.cli.options import add_config_options
from mmfas.config.reading import read_config

if TYPE_CHECKING:
    from mmfas.datasets.verification import Problem

Splits = dict[str, list[Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('config', nargs='?', help='config whose data sets are checked')
    parser.add_argument('--lists', nargs='+', metavar='FILE', help='annotation files instead; one split each')
    parser.add_argument('--data-root', default='', help='folder of the data and of --lists')
    parser.add_argument('--splits', nargs='+', choices=('train', 'val', 'test'), default=['train', 'val', 'test'])
    parser.add_argument(
        '--by-content', action='store_true', help='find byte copies in two splits too (reads every file once more)'
    )
    parser.add_argument('--threads', type=whole(), default=4, help='threads that decode (default: 4)')
    add_config_options(parser)
    parser.add_argument(
        '--show', type=whole(0), default=20, help='problems printed per kind; 0 for all (default: 20)'
    )


def _build(args: argparse.Namespace) -> tuple[Splits, list[Problem]]:
    """Build the data sets of every split; what cannot be built is a problem too."""
    from mmfas.datasets.building import build_split
    from mmfas.datasets.face_dataset import MultiModalFaceDataset
    from mmfas.datasets.verification import Problem, face_datasets_in

    splits: Splits = {}
    problems = []
    config = read_config(args.config, args.cfg_options) if args.config else None
    for name in args.lists or args.splits:
        try:
            if config is None:
                built: list[Any] = [MultiModalFaceDataset(name, args.data_root)]
            else:
                built = build_split(config, name)
        except (ValueError, FileNotFoundError) as error:
            problems.append(Problem('annotation', name, str(error)))
            continue
        if built:
            splits[name] = [found for dataset in built for found in face_datasets_in(dataset)]
    return splits, problems


def _report(problems: list[Problem], num_samples: int, show: int) -> str:
    """Return the text that is printed at the end."""
    lines = []
    problems = sorted(problems, key=lambda problem: problem.is_warning)
    for (kind, is_warning), count in Counter((p.kind, p.is_warning) for p in problems).items():
        lines.append(f'{"warning, " if is_warning else ""}{kind}: {count}')
        of_kind = [p for p in problems if (p.kind, p.is_warning) == (kind, is_warning)]
        lines += [f'  {p.place}: {p.message}' for p in (of_kind[:show] if show else of_kind)]
        if show and count > show:
            lines.append(f'  ... and {count - show} more (--show 0 prints all)')
    num_warnings = sum(problem.is_warning for problem in problems)
    wrong = len(problems) - num_warnings
    verdict = f'{wrong} problem(s)' if wrong else 'no problems'
    if num_warnings:
        verdict += f', {num_warnings} warning(s)'
    return '\n'.join([*lines, f'{num_samples} samples checked: {verdict}'])


@command(2)
def main(args: argparse.Namespace) -> int:
    """Verify; returns 0 (warnings allowed), 1 if there are problems, 2 if nothing could be checked."""
    if bool(args.config) == bool(args.lists):
        raise UsageError('give either a config or --lists')
    if args.lists and args.cfg_options:
        raise UsageError('--cfg-options goes with a config')
    refuse_repeats(args.lists or (), '--lists', args.data_root)
    from mmengine.utils import ProgressBar

    from mmfas.datasets.verification import verify_datasets

    splits, problems = _build(args)
    num_samples = sum(len(dataset) for datasets in splits.values() for dataset in datasets)
    if not num_samples and not problems:
        print(f'{args.config}: there is no face data set under {", ".join(args.splits)}', file=sys.stderr)
        return 2
    if num_samples:
        bar = ProgressBar(num_samples, file=sys.stderr)
        problems += verify_datasets(
            splits,
            num_threads=args.threads,
            by_content=args.by_content,
            advance=lambda count: bar.update(num_tasks=count),
        )
        print(file=sys.stderr)
    print(_report(problems, num_samples, args.show))
    return 1 if any(not problem.is_warning for problem in problems) else 0
