"""Run methods over the protocols (run); make tables and a report from the records of finished runs (report).

Records of any number of machines are merged into few files (pack), their scores written back as score files
(unpack), and their numbers computed again from the scores (verify).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfas.benchmark.plan import SPLITS, Protocol, in_order
from mmfas.cli.command import command
from mmfas.cli.errors import report_error, report_problems
from mmfas.cli.numbers import seed, whole
from mmfas.config.reading import ConfigError, read_config
from mmfas.utils.errors import MissingFileError
from mmfas.utils.files import require_writable

if TYPE_CHECKING:
    from mmfas.benchmark.jobs import Job
    from mmfas.benchmark.methods import Method
    from mmfas.benchmark.plan import Cell

#: Where runs write their records, and where packed ones are looked for.
RECORDS, PACKS = 'work_dirs/benchmark/records', 'benchmarks'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    commands = parser.add_subparsers(dest='command', required=True, metavar='{run,report,pack,unpack,verify}')
    run = commands.add_parser('run', help='train and score what has no record yet, then print the tables')
    report = commands.add_parser('report', help='make tables and a report from records')
    pack = commands.add_parser('pack', help='merge records into one file of lines and one of scores per method')
    unpack = commands.add_parser('unpack', help='write packed scores as score files, for `mmfas scores eval`')
    verify = commands.add_parser('verify', help='compute the numbers of records again from their scores')
    for below in (run, report, pack, unpack, verify):
        _add_records(below)
    for below in (run, report):
        _add_common(below)
    pack.add_argument('--out', default=PACKS, help=f'folder of the packs, merged with those there ({PACKS})')
    pack.add_argument(
        '--scores',
        choices=('all', 'first-seed', 'none'),
        default='all',
        help='which scores are kept; first-seed: those of Protocol 1 with the lowest seed of each method (all)',
    )
    unpack.add_argument('--out', required=True, help='folder for the score files')
    _add_run(run)
    report.add_argument('--format', choices=('text', 'latex'), default='text', help='how tables are printed')
    report.add_argument('--out', help='also write report.md, report.json and report.html into this folder')
    report.add_argument('--pages', nargs='+', help='Markdown files whose tables of results are rewritten')
    report.add_argument('--renderer', help='only records on SynthFAS of this version, such as 1.0.0')


def _add_run(run: argparse.ArgumentParser) -> None:
    """Declare the options of `run` alone."""
    from mmfas.cli.options import ConfigOptions

    run.add_argument('--seeds', type=seed, nargs='+', default=[0], help='seeds (default: 0)')
    run.add_argument(
        '--splits',
        nargs='+',
        choices=(*SPLITS[1], *SPLITS[3]),
        help='only cells trained on these splits, to divide the work between machines (default: all)',
    )
    run.add_argument(
        '--jobs', type=whole(), help='trainings at a time (default: one per GPU, else 1; as many as Slurm gives)'
    )
    run.add_argument(
        '--executor',
        choices=('pool', 'local', 'slurm'),
        default='pool',
        help='who starts the processes: mmfas itself (default), submitit on this machine, or a Slurm cluster',
    )
    run.add_argument(
        '--slurm',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='options of sbatch: partition=gpu gpus_per_node=1 cpus_per_task=8, time=240 in minutes, ...',
    )
    run.add_argument(
        '--workers', type=whole(0), help="loader workers of each (default: 0 on CPU, the config's on GPUs)"
    )
    run.add_argument('--work-dir', default='work_dirs/benchmark', help='checkpoints and logs')
    run.add_argument(
        '--paper-scoring',
        type=_protocol,
        nargs='*',
        choices=tuple(SPLITS),
        help='also score every epoch on the target, as papers do: of these protocols, or of all (costs about a '
        'quarter of the training per protocol, and the checkpoints of all epochs until it is done)',
    )
    run.add_argument('--dry-run', action='store_true', help='only list what would be trained and scored')


def _protocol(text: str) -> Protocol:
    """Return the name of a protocol as plans have it."""
    return int(text) if text.isdigit() else text


def _add_records(parser: argparse.ArgumentParser) -> None:
    """Declare the options of all sub-commands."""
    parser.add_argument(
        'methods', nargs='*', metavar='METHOD', help='config file, or name of a model in a metafile'
    )
    parser.add_argument(
        '--records',
        action='append',
        metavar='FOLDER',
        help='folder of records, packed or not; may be given several times, `run` writes into the first '
        f'(default: {RECORDS}, and {PACKS} where it exists)',
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    """Declare the options that `run` and `report` have in common."""
    from mmfas.cli.options import ConfigOptions

    parser.add_argument(
        '--protocols',
        type=_protocol,
        nargs='+',
        choices=tuple(SPLITS),
        default=[1, 2, 3],
        help='1: leave one domain out, 2: the same with modalities missing, 2s: with every subset of the '
        'modalities, 3: two domains to two (default: 1 2 3)',
    )
    parser.add_argument('--data-root', help="folder of the data (default: the config's; report: what records say)")
    parser.add_argument('--select', choices=('last', 'dev'), default='last', help='epoch that is scored')
    parser.add_argument(
        '--last-epochs',
        type=whole(2),
        metavar='N',
        help='also a table of mean and deviation over the last N epochs (of cells with --paper-scoring)',
    )
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='override config values')


@command(on_stop='the same command continues where it stopped')
def main(args: argparse.Namespace) -> int:
    """Run or report.

    Returns 0; 1 if a training failed, a file is missing or broken, records contradict each other or numbers are
    not those of their scores; 2 if arguments or configs are wrong.
    """
    from mmfas.benchmark.methods import MethodError, find_method

    try:
        methods = [find_method(text, getattr(args, 'cfg_options', None)) for text in args.methods]
    except MethodError as error:
        return report_error(error, 2)
    methods = _by_name(methods)
    args.records = args.records or [RECORDS, *([PACKS] if Path(PACKS).is_dir() else [])]
    if args.command in ('run', 'report'):
        for method in methods:
            read_config(method.path, args.cfg_options)
    commands = {'run': _run, 'report': _report, 'pack': _pack, 'unpack': _unpack, 'verify': _verify}
    return commands[args.command](args, methods)


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
    """Return the selected cells; refuse options that select nothing from the protocols."""
    from mmfas.benchmark.plan import cells_of

    cells = cells_of([method.name for method in methods], args.protocols, args.seeds)
    protocols = ' '.join(map(str, in_order(args.protocols)))
    idle = [str(number) for number in args.paper_scoring or () if number not in args.protocols]
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
    """Run every cell that has no record yet, then print the tables."""
    from mmfas.benchmark.jobs import Job, Settings, identity_of, share_trainings, unfinished
    from mmfas.benchmark.plan import trainings_of
    from mmfas.benchmark.pool import find_places
    from mmfas.config.check import check_config

    if not methods:
        raise ConfigError('benchmark run needs at least one METHOD: a config file or the name of a model')
    _refuse_idle_options(args)
    cells = _select_cells(args, methods)
    for method in methods:
        problems = check_config(method.load())
        if problems:
            return report_problems(method.path, problems)
    places, num_workers = find_places(args.jobs), args.workers
    has_gpu = 'gpus_per_node' in (args.slurm or {}) if args.executor == 'slurm' else places[0] != 'cpu'
    if num_workers is None and not has_gpu:
        num_workers = 0
    paper = tuple(args.protocols) if args.paper_scoring == [] else tuple(args.paper_scoring or ())
    settings = Settings(
        args.records[0],
        args.work_dir,
        args.data_root,
        select=args.select,
        paper=paper,
        num_workers=num_workers,
        more_records=tuple(args.records[1:]),
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
    print(f'{len(cells)} cell(s), {len(cells) - todo} of them done; {len(jobs)} training(s) to go', flush=True)
    if args.dry_run:
        print('\n'.join(job.name for job in jobs))
        return 0
    failures = _do(args, jobs, places)
    print('\n'.join(failures), file=sys.stderr, end='\n' if failures else '')
    for data in {json.dumps(identity.data): identity.data for identity in identities.values()}.values():
        _report(args, [method for method in methods if identities[method.name].data == data], data)
    return 1 if failures else 0


def _refuse_idle_options(args: argparse.Namespace) -> None:
    """Refuse options of `run` that would have no effect."""
    if args.slurm and args.executor != 'slurm':
        raise ConfigError(f'--slurm belongs to --executor slurm, got --executor {args.executor}')
    if args.last_epochs is not None and args.paper_scoring is None:
        raise ConfigError('--last-epochs needs every epoch scored on the target: give --paper-scoring too')


def _do(args: argparse.Namespace, jobs: list[Job], places: list[str]) -> list[str]:
    """Do jobs with the executor of the options; return one message per job that failed."""
    from mmfas.benchmark.cluster import run_local, run_slurm
    from mmfas.benchmark.pool import run_jobs

    if jobs:  # tables of finished cells need no place
        require_writable(args.records[0], args.work_dir)

    def report(line: str) -> None:
        print(line, flush=True)

    if args.executor == 'slurm':
        return run_slurm(jobs, args.jobs, args.slurm or {}, report=report)
    return (run_local if args.executor == 'local' else run_jobs)(jobs, places, report=report)


def _require_lists(method: Method, cells: list[Cell], data_root: str | None) -> None:
    """Refuse to start if lists of a split are missing."""
    from mmfas.benchmark.configs import family_of, missing_lists, use_data_root
    from mmfas.synthfas.files.manifest import render_command

    cfg = method.load()
    family, root = family_of(cfg), use_data_root(cfg, data_root)
    missing = missing_lists(cfg, cells, family)
    if missing:
        remedy = render_command(root) if family == 'synthfas' else f'mmfas data verify {method.path}'
        raise MissingFileError(
            f'{len(missing)} lists are missing, first {", ".join(missing[:3])}; `{remedy}` makes or explains them'
        )


def _report(args: argparse.Namespace, methods: list[Method], data: Mapping[str, Any] | None = None) -> int:
    """Print the tables of the records on these data, and write the report if requested."""
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
        raise _no_record(args)
    if not chosen.methods:
        raise MissingFileError(
            f'{_places(args)} {len(records)} records, none with --select {args.select}'
            f'{" on this data" if data else ""}: {"; ".join(chosen.left_out[:3])}'
        )
    chosen = replace(chosen, last_epochs=args.last_epochs)
    if getattr(args, 'format', 'text') == 'latex':
        from mmfas.benchmark.latex_tables import latex_report

        print(latex_report(chosen, args.protocols))
    else:
        print(terminal_report(chosen, args.protocols))
    if getattr(args, 'out', None):
        for path in write_report(chosen, args.protocols, args.records, args.out):
            print(path)
    if getattr(args, 'pages', None):
        from mmfas.benchmark.markdown_tables import refresh_pages

        refresh_pages(args.pages, chosen)
    return 0


def _places(args: argparse.Namespace) -> str:
    """Name the folders of records as the subject of a sentence."""
    return f'{" and ".join(repr(folder) for folder in args.records)} hold{"s" if len(args.records) == 1 else ""}'


def _no_record(args: argparse.Namespace) -> FileNotFoundError:
    """Return the error for folders without records."""
    return MissingFileError(f'{_places(args)} no record; `mmfas benchmark run METHOD` makes them')


def _pack(args: argparse.Namespace, methods: list[Method]) -> int:
    """Merge records into packs, or name those that contradict each other."""
    from mmfas.benchmark.packing import pack_records
    from mmfas.benchmark.packs import pack_path
    from mmfas.benchmark.records import RecordError, conflict_message

    names = [method.name for method in methods]
    packed, conflicts = pack_records(args.records, args.out, names, keep_scores=args.scores)
    if conflicts:
        print('\n'.join(conflicts))
        raise RecordError(conflict_message(conflicts))
    if not packed:
        raise _no_record(args)
    for pack in packed:
        scores = f'scores of {pack.num_scored} kept' if pack.num_scored else 'no scores kept'
        state = '' if pack.changed else ', as it was'
        print(f'{pack_path(args.out, pack.method)}: {pack.num_cells} cells, {scores}{state}')
    return 0


def _unpack(args: argparse.Namespace, methods: list[Method]) -> int:
    """Write scores as score files."""
    from mmfas.benchmark.packing import unpack_scores

    written = unpack_scores(args.records, args.out, [method.name for method in methods])
    if not written:
        raise MissingFileError(f'{_places(args)} no scores of these methods; superseded ones are not kept')
    print(f'{len(written)} score files in {args.out}')
    return 0


def _verify(args: argparse.Namespace, methods: list[Method]) -> int:
    """Compute numbers again and name every difference."""
    from mmfas.benchmark.records import read_records
    from mmfas.benchmark.verifying import verdict_table, verify_record

    names = {method.name for method in methods}
    records = [record for record in read_records(args.records) if not names or record.method in names]
    if not records:
        raise _no_record(args)
    verdicts = [verify_record(args.records, record) for record in records]
    wrong = [verdict for verdict in verdicts if verdict.problems]
    for verdict in wrong:
        for problem in verdict.problems:
            print(f'{verdict.record.method} {verdict.record.cell.name}: {problem}')
    print(verdict_table(verdicts))
    return 1 if wrong else 0
