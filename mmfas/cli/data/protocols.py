"""Check the published lists of C, P, S and W: counts, repeats, leaks, files; or derive lists of protocols."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmfas.cli.command import command
from mmfas.cli.errors import UsageError
from mmfas.cli.numbers import whole

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
    parser.add_argument('--show', type=whole(0), default=5, help='findings printed per kind and list (default: 5)')
    parser.add_argument(
        '--derive',
        nargs='+',
        metavar='NAME',
        help='write the lists of protocols of single sets: wmca_loo_print, wmca_unknown_2d, cefa_1_af, '
        'surf_intra, ...; any other word lists all',
    )
    parser.add_argument('--out', help='folder of the derived lists (default: LISTS/derived)')
    parser.add_argument('--frames', type=whole(), help='frames of each video of CASIA-CeFA in derived lists (all)')


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


def _derive(args: argparse.Namespace) -> int:
    """Write the lists of protocols; returns 0, or 1 if their videos are not as many as published."""
    from mmfas.datasets.real_protocols import REAL_PROTOCOLS, derive, write_parts
    from mmfas.evaluation.tables import text_table

    rows, differ = [], 0
    out = Path(args.out or Path(args.lists, 'derived'))
    for name in dict.fromkeys(args.derive):
        parts = derive(name, args.lists, data_root=args.data_root, frames=args.frames)
        write_parts([part for part in parts if part.records], out)
        for part in parts:
            live, videos = sum(record['label'] for record in part.records), part.videos
            total = sum(videos.values())
            differ += total != part.expected
            verdict = 'as published' if total == part.expected else f'published: {part.expected}'
            kinds = ', '.join(f'{kind} {number}' for kind, number in sorted(videos.items()))
            numbers = (len(part.records), live, len(part.records) - live, total)
            rows.append((part.name, *map(str, numbers), verdict, kinds or '-'))
        print(f'{name}: {REAL_PROTOCOLS[name].text}')
    print(text_table(('list', 'samples', 'live', 'spoof', 'videos', 'counts', 'videos by instrument'), rows))
    print(f'{out}: {len(rows)} lists, {differ} with other counts; their paths start from the folder of the data')
    return 1 if differ else 0


@command(2)
def main(args: argparse.Namespace) -> int:
    """Check the lists.

    Returns 0 if all counts are the published ones and no file is missing, 1 otherwise, 2 for wrong arguments.
    """
    if args.derive:
        return _derive(args)
    if args.out or args.frames:
        raise UsageError('--out and --frames go with --derive')
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
