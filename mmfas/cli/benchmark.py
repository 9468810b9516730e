"""Run methods over the protocols (run); make tables and a report from the records of finished runs (report)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfas.benchmark.plan import SPLITS
from mmfas.cli.errors import report_error, report_problems, reports_user_errors
from mmfas.cli.numbers import seed
from mmfas.config.reading import ConfigError, read_config

if TYPE_CHECKING:
    from mmfas.benchmark.methods import Method
    from mmfas.benchmark.plan import Cell

RECORDS = 'docs/en/benchmarks/runs'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command.

    Args:
        parser: Parser to extend.
    """
    commands = parser.add_subparsers(dest='command', required=True, metavar='{run,report}')
    run = commands.add_parser('run', help='train and score what has no record yet, then print the tables')
    report = commands.add_parser('report', help='make tables and a report from records')
    for each in (run, report):
        _add_common(each)
    run.add_argument('--seeds', type=seed, nargs='+', default=[0], help='seeds (default: 0)')
    run.add_argument(
        '--splits',
        nargs='+',
        choices=(*SPLITS[1], *SPLITS[3]),
        help='only what is trained on these, to share the work (default: all)',
    )
    run.add_argument('--jobs', type=int, help='processes at a time (default: one per GPU, else 1)')
    run.add_argument(
        '--workers', type=int, help="loader workers of each (default: 0 on CPU, the config's on GPUs)"
    )
    run.add_argument('--work-dir', default='work_dirs/benchmark', help='checkpoints and logs')
    run.add_argument(
        '--paper-scoring',
        type=int,
        nargs='*',
        choices=(1, 2, 3),
        help='also score every epoch on the target, as papers do: of these protocols, or of all (costs about a '
        'quarter of the training per protocol, and the checkpoints of all epochs until it is done)',
    )
    run.add_argument('--dry-run', action='store_true', help='only list what would be trained and scored')
    report.add_argument('--out', help='also write report.md, report.json and report.html into this folder')
    report.add_argument('--pages', nargs='+', help='Markdown files whose tables of results are rewritten')
    report.add_argument('--renderer', help='only records on SynthFAS of this version, such as 1.0.0')


def _add_common(parser: argparse.ArgumentParser) -> None:
    """Declare what both sub-commands take."""
    from mmfas.cli.options import ConfigOptions

    parser.add_argument(
        'methods', nargs='*', metavar='METHOD', help='config file, or name of a model in a metafile'
    )
    parser.add_argument(
        '--protocols',
        type=int,
        nargs='+',
        choices=(1, 2, 3),
        default=[1, 2, 3],
        help='1: leave one domain out, 2: the same with modalities missing, 3: two domains to two (default: all)',
    )
    parser.add_argument('--data-root', help="folder of the data (default: the config's; report: what records say)")
    parser.add_argument('--records', default=RECORDS, help=f'folder of the records (default: {RECORDS})')
    parser.add_argument('--select', choices=('last', 'dev'), default='last', help='epoch that is scored')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='override config values')


@reports_user_errors(on_interrupt='interrupted; the same command continues where it stopped')
def main(argv: list[str] | None = None) -> int:
    """Run or report.

    Args:
        argv: Arguments; those of the process if None.

    Returns:
        Exit status: 0; 1 if a training failed or a file is missing or broken; 2 if arguments or configs are wrong.
    """
    parser = argparse.ArgumentParser(prog='mmfas benchmark', description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    from mmfas.benchmark.methods import MethodError, find_method

    try:
        methods = [find_method(text, args.cfg_options) for text in args.methods]
    except MethodError as error:
        return report_error(error, 2)
    methods = _by_name(methods)
    for method in methods:
        read_config(method.path, args.cfg_options)
    return _run(args, methods) if args.command == 'run' else _report(args, methods)


def _by_name(methods: list[Method]) -> list[Method]:
    """Drop what was given twice, and refuse two configs of one name: their records would be one method's."""
    by_name: dict[str, Method] = {}
    for method in methods:
        other = by_name.setdefault(method.name, method)
        if Path(other.path).resolve() != Path(method.path).resolve():
            raise ConfigError(
                f"'{other.path}' and '{method.path}' are both named {method.name}; rename one of them"
            )
    return list(by_name.values())


def _select_cells(args: argparse.Namespace, methods: list[Method]) -> list[Cell]:
    """Return the cells that are asked for; refuse options that select nothing of the protocols."""
    from mmfas.benchmark.plan import cells_of

    cells = cells_of([method.name for method in methods], args.protocols, args.seeds)
    protocols = ' '.join(map(str, sorted(set(args.protocols))))
    idle = [str(each) for each in args.paper_scoring or () if each not in args.protocols]
    if idle:
        raise ConfigError(
            f'--paper-scoring {" ".join(idle)} is not in --protocols {protocols}; add it there or leave it out'
        )
    trained = {cell.trained_split: None for cell in cells}
    idle = [split for split in args.splits or () if split not in trained]
    if idle:
        raise ConfigError(
            f'--splits {" ".join(idle)}: not of --protocols {protocols}, which train on {", ".join(trained)}'
        )
    return [cell for cell in cells if args.splits is None or cell.trained_split in args.splits]


def _run(args: argparse.Namespace, methods: list[Method]) -> int:
    """Do what has no record yet, then print the tables."""
    from mmfas.benchmark.jobs import Job, Settings, identity_of, share_trainings, unfinished
    from mmfas.benchmark.plan import trainings_of
    from mmfas.benchmark.pool import find_places, run_jobs
    from mmfas.config.check import check_config

    if not methods:
        raise ConfigError('benchmark run needs at least one METHOD: a config file or the name of a model')
    cells = _select_cells(args, methods)
    for method in methods:
        problems = check_config(method.load())
        if problems:
            return report_problems(method.path, problems)
    if args.jobs is not None and args.jobs < 1:
        raise ConfigError(f'--jobs must be 1 or more, got {args.jobs}')
    places, num_workers = find_places(args.jobs), args.workers
    if num_workers is None and places[0] == 'cpu':
        num_workers = 0
    paper = tuple(args.protocols) if args.paper_scoring == [] else tuple(args.paper_scoring or ())
    settings = Settings(
        args.records, args.work_dir, args.data_root, select=args.select, paper=paper, num_workers=num_workers
    )
    by_name = {method.name: method for method in methods}
    identities = {method.name: identity_of(method, settings) for method in methods}
    for method in methods:
        _require_lists(method, cells, args.data_root)
    trainings = {
        training: len(unfinished(training, identities[training.method], settings))
        for training in trainings_of(cells)
    }
    todo = sum(trainings.values())
    jobs = share_trainings([Job(by_name[t.method], t, settings) for t, number in trainings.items() if number])
    print(f'{len(cells)} cells, {len(cells) - todo} of them done; {len(jobs)} trainings to go', flush=True)
    if args.dry_run:
        print('\n'.join(job.name for job in jobs))
        return 0
    failures = run_jobs(jobs, places, report=lambda line: print(line, flush=True))
    print('\n'.join(failures), file=sys.stderr, end='\n' if failures else '')
    for data in {json.dumps(each.data): each.data for each in identities.values()}.values():
        _report(args, [method for method in methods if identities[method.name].data == data], data)
    return 1 if failures else 0


def _require_lists(method: Method, cells: list[Cell], data_root: str | None) -> None:
    """Refuse to start when lists of some split are not there."""
    from mmfas.benchmark.configs import family_of, missing_lists, use_data_root
    from mmfas.synthfas.files.manifest import render_command

    cfg = method.load()
    family, root = family_of(cfg), use_data_root(cfg, data_root)
    missing = missing_lists(cfg, cells, family)
    if missing:
        mend = render_command(root) if family == 'synthfas' else f'mmfas verify_dataset {method.path}'
        raise FileNotFoundError(
            f'{len(missing)} lists are missing, first {", ".join(missing[:3])}; `{mend}` mends or explains it'
        )


def _report(args: argparse.Namespace, methods: list[Method], data: Mapping[str, Any] | None = None) -> int:
    """Print the tables of what is recorded on these data, and write the report where asked for."""
    from mmfas.benchmark.configs import data_identity, family_at, family_of
    from mmfas.benchmark.records import read_records
    from mmfas.benchmark.report import terminal_report, write_report
    from mmfas.benchmark.tables import choose

    if data is None and args.data_root:
        family = family_of(methods[0].load()) if methods else family_at(args.data_root)
        data = data_identity(family, args.data_root)
    renderer = getattr(args, 'renderer', None)
    if renderer is not None:
        data = {**(data or {}), 'renderer_version': renderer}
    records = read_records(args.records)
    chosen = choose(records, methods=methods, data=data, select=args.select)
    if not records and not methods:
        raise FileNotFoundError(f"'{args.records}' holds no record; `mmfas benchmark run METHOD` makes them")
    if not chosen.methods:
        raise FileNotFoundError(
            f"'{args.records}' holds {len(records)} records, none with --select {args.select}"
            f'{" on this data" if data else ""}: {"; ".join(chosen.left_out[:3])}'
        )
    print(terminal_report(chosen, args.protocols))
    if getattr(args, 'out', None):
        for path in write_report(chosen, args.protocols, args.records, args.out):
            print(path)
    if getattr(args, 'pages', None):
        from mmfas.benchmark.markdown_tables import refresh_pages

        refresh_pages(args.pages, chosen)
    return 0


if __name__ == '__main__':
    sys.exit(main())
