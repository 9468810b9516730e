"""Check the published lists of C, P, S and W: counts, repeats, leaks, and which files are there."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mmfas.cli.command import command

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mmfas.datasets.protocol_lists import ListCounts, ListReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument('lists', help='folder with C-train.txt and its siblings')
    parser.add_argument('--data-root', help='folder of the data; every file of the lists is looked for there')
    parser.add_argument('--domains', default='CPSW', help='domains whose lists are checked (default: CPSW)')
    parser.add_argument('--clean', action='store_true', help='without repeats and leaks, as `clean` of a data set')
    parser.add_argument(
        '--by-content', action='store_true', help='find byte copies too (reads every file; needs --data-root)'
    )
    parser.add_argument('--show', type=int, default=5, help='findings printed per kind and list (default: 5)')


def _counts_table(reports: Iterable[ListReport], expected: Mapping[str, ListCounts]) -> str:
    """Return one row per list."""
    from mmfas.evaluation.tables import text_table

    rows = []
    for report in reports:
        verdict = 'differs' if report.difference(expected) else 'as expected'
        if report.counts is None:
            rows.append((report.name, *('-' * 8), 'cannot be read'))
            continue
        frames = ', '.join(f'{number}' for number in sorted(report.frames, reverse=True))
        numbers = (report.counts.lines, *report.counts[:3], frames, len(report.repeats), len(report.leaks))
        found = f'{report.num_files - len(report.missing)}/{report.num_files}' if report.num_files else '-'
        rows.append((report.name, *map(str, numbers), found, verdict))
    header = ('list', 'lines', 'live', 'spoof', 'videos', 'frames/video', 'repeats', 'leaks', 'files', 'counts')
    return text_table(header, rows)


def _findings(reports: Iterable[ListReport], expected: Mapping[str, ListCounts], show: int) -> list[str]:
    """Return what is odd, a few lines per list and kind."""
    lines = []
    for report in reports:
        if report.difference(expected):
            lines.append(f'{report.name}: {report.difference(expected)}')
        for kind in ('leaks', 'repeats', 'missing'):
            found = getattr(report, kind)
            lines += [f'{report.name}, {kind}: {text}' for text in found[:show]]
            if len(found) > show:
                lines.append(f'{report.name}, {kind}: ... and {len(found) - show} more')
    return lines


@command(2)
def main(args: argparse.Namespace) -> int:
    """Check the lists.

    Returns 0 if all counts are the published ones and no file is missing, 1 otherwise, 2 for wrong arguments.
    """
    from mmfas.datasets.protocol_lists import CLEAN_LISTS, PUBLISHED_LISTS, protocol_sizes, verify_protocols
    from mmfas.evaluation.tables import text_table

    expected = CLEAN_LISTS if args.clean else PUBLISHED_LISTS
    reports = verify_protocols(
        args.lists,
        data_root=args.data_root,
        domains=args.domains.upper(),
        clean=args.clean,
        by_content=args.by_content,
    )
    print(_counts_table(reports, expected))
    sizes = protocol_sizes(reports)
    if sizes:
        rows = [(name.replace('-', ' to '), *map(str, numbers)) for name, *numbers in sizes]
        print(text_table(('protocols 1 and 3', 'train', 'dev', 'test'), rows))
    print('\n'.join(_findings(reports, expected, args.show)))
    wrong = sum(bool(report.difference(expected)) for report in reports)
    missing = sum(len(report.missing) for report in reports)
    kind = 'clean variants' if args.clean else 'lists as published'
    print(f'{len(reports)} lists ({kind}): {wrong} with other counts, {missing} files missing')
    return 1 if wrong or missing else 0
