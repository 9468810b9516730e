"""Recompute every error rate from score files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from mmfas.cli.command import command
from mmfas.cli.errors import UsageError, refuse_repeats, report_error
from mmfas.cli.site import add_site_arguments, read_site, set_site_criterion

if TYPE_CHECKING:
    from mmfas.evaluation import FASReport, ScoreTable


def add_score_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `mmfas scores eval` and `mmfas scores plot` have in common."""
    parser.add_argument('test', nargs='+', metavar='TEST.csv', help='score files to report, one row each')
    parser.add_argument('--dev', metavar='DEV.csv', help='score file that fixes the threshold')
    parser.add_argument(
        '--criterion',
        default='eer',
        help='how dev scores fix the threshold: eer (default), min-hter, bpcer@apcer=0.01, apcer@bpcer=0.01; '
        'fixed=0.5, which needs no dev scores; or site, on live videos of the target (see --site)',
    )
    add_site_arguments(parser)
    parser.add_argument('--level', default='frame', choices=('frame', 'video', 'subject'), help='what is judged')
    parser.add_argument(
        '--how', default='mean', choices=('mean', 'median', 'max'), help='how frames become one score'
    )
    parser.add_argument('--allow-duplicates', action='store_true', help='accept repeated sample ids')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_score_arguments(parser)
    parser.add_argument('--out', metavar='FILE.json', help='write all numbers as JSON')
    parser.add_argument('--markdown', action='store_true', help='print Markdown instead of terminal tables')
    parser.add_argument(
        '--cluster',
        default='auto',
        choices=('auto', 'sample', 'video', 'subject'),
        help='what the bootstrap draws (auto: videos where every sample names one)',
    )
    parser.add_argument('--bootstrap', type=int, default=1000, help='number of replicates; 0 for no intervals')
    parser.add_argument('--seed', type=int, default=0, help='seed of the bootstrap')


def read_tables(args: argparse.Namespace) -> tuple[dict[str, ScoreTable], ScoreTable | None]:
    """Read the score files that the arguments name.

    Args:
        args: Parsed arguments of `add_score_arguments`.

    Returns:
        Test tables by name (the file's name, with its folder where two are equal), and the dev table or None.

    Raises:
        ValueError: If a test file is given twice, or a file is not a score file.
        FileNotFoundError: If a file is missing.
    """
    from mmfas.evaluation import ScoreTable

    refuse_repeats(args.test, 'score files')
    stems = [Path(path).stem for path in args.test]
    names = stems if len(set(stems)) == len(stems) else list(args.test)
    tables = {
        name: ScoreTable.from_csv(path, allow_duplicates=args.allow_duplicates)
        for name, path in zip(names, args.test)
    }
    dev = ScoreTable.from_csv(args.dev, allow_duplicates=args.allow_duplicates) if args.dev else None
    return tables, dev


@command(2)
def main(args: argparse.Namespace) -> int:
    """Print the report of one or several score files; returns 0, or 2 for wrong input."""
    if args.seed < 0:
        raise UsageError(f'--seed must be 0 or more, got {args.seed}')
    set_site_criterion(args)
    from mmfas.evaluation import ScoreRules, evaluate_scores

    try:
        tables, dev = read_tables(args)
        site = read_site(args)
        rules = ScoreRules(
            criterion=args.criterion,
            level=args.level,
            frame_reduction=args.how,
            cluster=args.cluster,
            num_bootstrap=args.bootstrap,
            seed=args.seed,
        )
        reports = [
            evaluate_scores(table, dev=dev, site=site, rules=rules, name=name) for name, table in tables.items()
        ]
    except (FileNotFoundError, ValueError) as error:
        return report_error(error, 2)
    _print(reports, markdown=args.markdown)
    if args.out:
        _write_json(args.out, reports)
    return 0


def _print(reports: list[FASReport], *, markdown: bool) -> None:
    """Print one report in full, several as one table with their notes."""
    from mmfas.evaluation import summarise

    if len(reports) == 1:
        print(reports[0].markdown() if markdown else reports[0].table())
        return
    first = reports[0]
    level = first.level if first.level == 'frame' else f'{first.level} ({first.frame_reduction} of frames)'
    print(f'Rates in %, level: {level}\n')
    print(summarise(reports, markdown=markdown))
    if markdown:
        print()
    for note in dict.fromkeys(note for report in reports for note in report.notes):
        names = [report.name for report in reports if note in report.notes]
        print(f'* {"" if len(names) == len(reports) else ", ".join(names) + ": "}{note}')


def _write_json(path: str, reports: list[FASReport]) -> None:
    from mmfas.utils.files import write_atomically

    text = json.dumps({'reports': [report.to_dict() for report in reports]}, indent=2, allow_nan=False)
    write_atomically(path, f'{text}\n')
