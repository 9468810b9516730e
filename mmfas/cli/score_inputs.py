"""Score files on the command line: what `mmfas scores eval`, `plot` and `report` have in common."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfas.cli.errors import UsageError, refuse_repeats
from mmfas.cli.numbers import seed, whole
from mmfas.cli.site import add_site_arguments, read_site, set_site_criterion
from mmfas.utils.errors import InputError, UnknownKeyError

if TYPE_CHECKING:
    from mmfas.evaluation import FASReport, ScoreRules, ScoreTable
    from mmfas.evaluation.comparison import Comparison, System

__all__ = ['ScoreInputs', 'add_rule_arguments', 'add_score_arguments', 'read_scores', 'rules_of_scores']

_OWN_DEVS = (
    'These files share no sample, so they count as test sets of one system, whose mean is in the last row; but '
    'they have dev files of their own. Systems are compared where domain and sample_id agree: if these are '
    'several systems, their mean says nothing, and their ids must be written alike.'
)
_NO_DEV = (
    'These files hold the same samples, so they are several systems, but nothing fixes their thresholds: no '
    'differences are shown. Give TEST.csv:DEV.csv for each, or --criterion fixed=VALUE.'
)
_SOME_SHARED = 'Only files of the same samples are compared with each other; those of other samples are test sets.'
_ONE_DEV = (
    'These files hold the same samples, so they are several systems (or one in several conditions), but one dev '
    'file fixes the threshold of all: give each its own, TEST.csv:DEV.csv, if they are systems.'
)


def add_score_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which files are judged, and how scores become numbers."""
    parser.add_argument(
        'test',
        nargs='+',
        metavar='TEST.csv[:DEV.csv]',
        help='score files to report, one row each; a dev file after the colon fixes the threshold of that file',
    )
    parser.add_argument('--dev', metavar='DEV.csv', help='score file that fixes the threshold of all')
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


def add_rule_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare intervals, subgroups and comparisons."""
    parser.add_argument(
        '--cluster',
        default='auto',
        choices=('auto', 'sample', 'video', 'subject'),
        help='what the bootstrap draws (auto: videos where every sample names one)',
    )
    parser.add_argument(
        '--bootstrap',
        type=whole(0),
        default=1000,
        help='number of replicates; 0 for no intervals',
    )
    parser.add_argument('--seed', type=seed, default=0, help='seed of bootstrap and permutations')
    add_group_arguments(parser)
    add_calibration_argument(parser)
    parser.add_argument(
        '--permutation',
        type=whole(0),
        default=0,
        metavar='N',
        help='test differences of two systems by N exchanges of their decisions, too',
    )
    parser.add_argument(
        '--mean',
        action='store_true',
        help='files of the same samples are one system in several conditions: print their mean, compare nothing',
    )


def add_calibration_argument(parser: argparse.ArgumentParser) -> None:
    """Declare how scores become probabilities."""
    parser.add_argument(
        '--calibration',
        choices=('none', 'temperature', 'platt'),
        help='fit probabilities on dev; thresholds are transformed alike, and no decision changes',
    )


def add_group_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which groups are judged one by one."""
    parser.add_argument('--by', nargs='+', default=[], metavar='COLUMN', help='judge every value of these columns')
    parser.add_argument(
        '--attributes',
        metavar='FILE.csv',
        help='further columns by sample_id, video or subject, such as sex, age or device',
    )
    parser.add_argument(
        '--group-pai',
        nargs='+',
        default=[],
        metavar='REGEXP=NAME',
        help="judge attack instruments together, such as 'print|replay=2D'",
    )


def pai_groups_of(texts: list[str]) -> tuple[tuple[str, str], ...]:
    """Return the pairs of `--group-pai`.

    Args:
        texts: Such as `'print|replay=2D'`.

    Raises:
        UsageError: If one has no name.
    """
    pairs = [text.rpartition('=') for text in texts]
    for text, (expression, _, name) in zip(texts, pairs):
        if not (expression and name):
            raise UsageError(f"--group-pai: '{text}' is not REGEXP=NAME")
    return tuple((expression, name) for expression, _, name in pairs)


def rules_of_scores(args: argparse.Namespace) -> ScoreRules:
    """Return the rules that the options state.

    Args:
        args: Options of `add_score_arguments`, and perhaps of `add_rule_arguments`.

    Raises:
        ValueError: If a value is unknown.
    """
    from mmfas.evaluation import ScoreRules
    from mmfas.evaluation.score_rules import MOST_REPLICATES

    given = vars(args)
    if given.get('permutation', 0) > MOST_REPLICATES:
        raise UsageError(f'--permutation must be at most {MOST_REPLICATES}, got {args.permutation}')
    further: dict[str, Any] = {}
    if 'cluster' in given:
        further = dict(cluster=args.cluster, num_bootstrap=args.bootstrap, seed=args.seed)
        further |= dict(by=tuple(args.by), pai_groups=pai_groups_of(args.group_pai))
        further['calibration'] = args.calibration or 'none'
    return ScoreRules(
        criterion=args.criterion,
        level=args.level,
        frame_reduction=args.how,
        allow_duplicates=args.allow_duplicates,
        **further,
    )


@dataclass(frozen=True)
class ScoreInputs:
    """Score files that were read.

    Args:
        tables: Test scores by name: the file's name, or that of the folder in which they differ.
        devs: Dev scores by the name of the test scores; empty without any.
        rules: How scores become numbers.
        are_systems: Whether some files hold the same samples, so that they are of several systems.
        has_one_dev: Whether one dev file fixes the threshold of all.
        all_share: Whether every two files hold the same samples, so that the best system can be named.
        site: Scores of live videos of the target; None unless the criterion is `'site'`.
    """

    tables: dict[str, ScoreTable]
    devs: dict[str, ScoreTable]
    rules: ScoreRules
    are_systems: bool
    has_one_dev: bool
    all_share: bool = True
    site: ScoreTable | None = None

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the files."""
        is_fixed = self.rules.parsed.kind == 'fixed'
        if not self.are_systems:
            return [_OWN_DEVS] if len(self.tables) > 1 and self.devs and not self.has_one_dev else []
        notes = [] if self.all_share else [_SOME_SHARED]
        if not self.devs and not is_fixed:
            return [*notes, _NO_DEV]
        return [*notes, _ONE_DEV] if self.has_one_dev and not is_fixed else notes

    def reports(self) -> list[FASReport]:
        """Judge every file."""
        from mmfas.evaluation import evaluate_scores
        from mmfas.evaluation.subgroups import check_columns

        for name, table in self.tables.items():
            try:
                check_columns(self.rules, table)
            except KeyError as error:
                raise UnknownKeyError(f'{name}: {error.args[0]}') from error
        return [
            evaluate_scores(table, dev=self.devs.get(name), site=self.site, rules=self.rules, name=name)
            for name, table in self.tables.items()
        ]

    def comparisons(self, num_permutations: int) -> Iterator[Comparison]:
        """Compare every two files that hold the same samples, the later one with the earlier.

        Args:
            num_permutations: See `compare_systems`.
        """
        from mmfas.evaluation.comparison import System, compare_systems, shared_samples

        if not self.are_systems or (not self.devs and self.rules.parsed.kind != 'fixed'):
            return
        systems = [System(name, table, self.devs.get(name)) for name, table in self.tables.items()]
        for one, two in combinations(systems, 2):
            if shared_samples(one.test, two.test):
                yield compare_systems(one, two, self.rules, num_permutations=num_permutations)


def read_scores(args: argparse.Namespace) -> ScoreInputs:
    """Read the score files that the arguments name.

    Args:
        args: Options of `add_score_arguments`, and perhaps of `add_rule_arguments`.

    Raises:
        ValueError: If a test file is given twice, a file is not a score file, or some files have a dev file of
            their own and others none.
        FileNotFoundError: If a file is missing.
    """
    from mmfas.evaluation.comparison import shared_samples

    set_site_criterion(args)
    rules = rules_of_scores(args)
    pairs = [_split(text) for text in args.test]
    paths, own = [path for path, _ in pairs], [dev for _, dev in pairs]
    refuse_repeats(paths, 'score files')
    if any(own) and args.dev:
        raise UsageError('give either --dev for all files or TEST.csv:DEV.csv for each: one would be ignored')
    without = [path for path, dev in pairs if dev is None]
    if any(own) and without:
        raise InputError(f"'{without[0]}' has no dev file of its own, but others have; give {without[0]}:DEV.csv")
    names = _short_names(paths)
    read = {path: _read(path, args) for path in dict.fromkeys([*filter(None, own), args.dev]) if path}
    tables = {name: _read(path, args) for name, path in zip(names, paths)}
    devs = {name: read[dev or args.dev] for name, dev in zip(names, own) if dev or args.dev}
    shared = [shared_samples(one, two) for one, two in combinations(tables.values(), 2)]
    shares = any(shared)
    _refuse_idle(args, shares)
    one_dev = len(set(own)) == 1 if any(own) else bool(args.dev)
    are_systems = shares and not vars(args).get('mean', False)
    site = read_site(args)
    if are_systems and site is not None:
        raise UsageError(
            'the scores of a site are of one system, but these files hold the same samples, so they are of '
            'several: judge them one by one, or give --mean if they are one system in several conditions'
        )
    return ScoreInputs(tables, devs, rules, are_systems, one_dev, all(shared), site)


def _refuse_idle(args: argparse.Namespace, shares: bool) -> None:
    """Refuse options that would change nothing."""
    given = vars(args)
    if given.get('mean') and not shares:
        raise UsageError('--mean is for files of the same samples; these share none, so leave it out')
    if given.get('permutation') and (given.get('mean') or not shares):
        raise UsageError('--permutation tests differences of systems, but no two files are compared; leave it out')
    if given.get('attributes') and not given.get('by'):
        raise UsageError('--attributes adds columns that are judged by --by COLUMN; give it, too')


def _read(path: str, args: argparse.Namespace) -> ScoreTable:
    """Read a score file, and join the attributes."""
    from mmfas.evaluation import ScoreTable
    from mmfas.evaluation.attributes import join_attributes

    table = ScoreTable.from_csv(path, allow_duplicates=args.allow_duplicates)
    attributes = vars(args).get('attributes')
    return join_attributes(table, attributes) if attributes and path in map(_test_path, args.test) else table


def system_of(text: str, *, allow_duplicates: bool = False) -> System:
    """Read the scores of one system.

    Args:
        text: `TEST.csv` or `TEST.csv:DEV.csv`.
        allow_duplicates: Accept repeated sample ids.

    Raises:
        ValueError: If a file is not a score file.
        FileNotFoundError: If a file is missing.
    """
    from mmfas.evaluation import ScoreTable
    from mmfas.evaluation.comparison import System

    path, dev = _split(text)
    tables = {
        kind: ScoreTable.from_csv(name, allow_duplicates=allow_duplicates)
        for kind, name in (('test', path), ('dev', dev))
        if name
    }
    return System(Path(path).stem, tables['test'], tables.get('dev'))


def paths_of(args: argparse.Namespace) -> list[str]:
    """Return every score file that the arguments name, once.

    Args:
        args: Options of `add_score_arguments`.
    """
    named = [path for text in args.test for path in _split(text)]
    return [path for path in dict.fromkeys([*named, args.dev, vars(args).get('site')]) if path]


def _test_path(text: str) -> str:
    return _split(text)[0]


def _short_names(paths: Sequence[str]) -> Sequence[str]:
    """Name files by what differs: `a/test.csv` and `b/test.csv` by their folders, unless one lies in the other."""
    stems = [Path(path).stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    parts = [Path(path).parts for path in paths]
    rests = [path[_num_common(parts) :] for path in parts]
    last = _num_common([rest[::-1] for rest in rests])
    names = ['/'.join(rest[: len(rest) - last]) for rest in rests]
    return names if all(names) and len(set(names)) == len(names) else paths


def _num_common(rows: Sequence[tuple[str, ...]]) -> int:
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*rows)))


def _split(text: str) -> tuple[str, str | None]:
    """Split `TEST.csv:DEV.csv`; a colon in the name of a file that exists, or after a drive, splits nothing."""
    test, colon, dev = text.rpartition(':')
    if not colon or len(test) < 2 or not dev or Path(text).exists():
        return text, None
    return test, dev
