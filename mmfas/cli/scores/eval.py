"""Recompute every error rate from score files; compare systems on the same samples."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmfas.cli.command import command
from mmfas.cli.score_inputs import add_rule_arguments, add_score_arguments, read_scores

if TYPE_CHECKING:
    from mmfas.cli.score_inputs import ScoreInputs
    from mmfas.evaluation import FASReport
    from mmfas.evaluation.comparison import Comparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_score_arguments(parser)
    parser.add_argument('--out', metavar='FILE.json', help='write all numbers as JSON')
    parser.add_argument(
        '--format', choices=('text', 'markdown', 'latex'), default='text', help='how tables are printed'
    )
    parser.add_argument(
        '--markdown', action='store_const', const='markdown', dest='format', help='the same as --format markdown'
    )
    add_rule_arguments(parser)


@command(2)
def main(args: argparse.Namespace) -> int:
    """Print the report of one or several score files; returns 0, or 2 for wrong input."""
    inputs = read_scores(args)
    reports = inputs.reports()
    comparisons = list(inputs.comparisons(args.permutation))
    if args.format == 'latex':
        _print_latex(inputs, reports, comparisons)
    else:
        _print(inputs, reports, markdown=args.format == 'markdown')
        for comparison in comparisons:
            print('\n' + (comparison.markdown() if args.format == 'markdown' else comparison.table()))
    if args.out:
        _write_json(args.out, reports, comparisons)
    return 0


def _print(inputs: ScoreInputs, reports: list[FASReport], *, markdown: bool) -> None:
    """Print one report in full, several as one table with their subgroups and notes."""
    from mmfas.evaluation import summarise

    if len(reports) == 1:
        print(reports[0].markdown() if markdown else reports[0].table())
        return
    first = reports[0]
    level = first.level if first.level == 'frame' else f'{first.level} ({first.frame_reduction} of frames)'
    print(f'Rates in %, level: {level}\n')
    print(summarise(reports, markdown=markdown, mean=not inputs.are_systems))
    if markdown:
        print()
    between = '\n' if markdown else ''
    for report in reports:
        for part in report.subgroups:
            print(f'{report.name}:\n{between}{part.markdown() if markdown else part.text()}')
    for note in inputs.notes:
        print(f'* {note}')
    for note in dict.fromkeys(note for report in reports for note in report.notes):
        names = [report.name for report in reports if note in report.notes]
        print(f'* {"" if len(names) == len(reports) else ", ".join(names) + ": "}{note}')


def _print_latex(inputs: ScoreInputs, reports: list[FASReport], comparisons: Sequence[Comparison]) -> None:
    """Print all tables as LaTeX; what their reader must know follows as comments."""
    from mmfas.evaluation import summarise
    from mmfas.evaluation.fas_report import REPORT_COLUMNS
    from mmfas.evaluation.latex import latex_comment, latex_table

    if len(reports) == 1:
        print(f'{latex_comment(reports[0].title())}\n{latex_table(REPORT_COLUMNS, reports[0].rows())}')
    else:
        print(summarise(reports, latex=True, mean=not inputs.are_systems, best=inputs.all_share))
    for report in reports:
        for part in report.subgroups:
            title = latex_comment(f'{report.name}, by {part.column}')
            print(f'\n{title}\n{latex_table(part.header, part.rows())}')
            print('\n'.join(latex_comment(sentence) for sentence in part.sentences()))
    for comparison in comparisons:
        print(f'\n{latex_comment(comparison.title())}\n{latex_table(comparison.header, comparison.rows())}')
    notes = [*inputs.notes, *(note for report in reports for note in report.notes)]
    for note in dict.fromkeys([*notes, *(note for comparison in comparisons for note in comparison.notes)]):
        print(latex_comment(note))


def _write_json(path: str, reports: list[FASReport], comparisons: Sequence[Comparison]) -> None:
    from mmfas.utils.files import write_atomically

    content: dict[str, Any] = {'reports': [report.to_dict() for report in reports]}
    if comparisons:
        content['comparisons'] = [comparison.to_dict() for comparison in comparisons]
    write_atomically(path, json.dumps(content, indent=2, allow_nan=False) + '\n')
