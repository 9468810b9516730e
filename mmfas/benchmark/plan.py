"""What the benchmark consists of: protocols, splits, cells, and which training each cell needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from mmfas.utils.errors import InputError

#: Name of a protocol: a number as in the papers, or '2s', the sweep over all subsets of the modalities.
Protocol: TypeAlias = int | str
#: What is missing in the dev and test sets of Protocol 2.
MISSING = ('no-depth', 'no-ir', 'no-depth-ir')
#: The same for the sweep, which has all seven subsets of the modalities once -> what is left, as tables write it.
SWEPT = {
    '': 'R+D+I',
    'no-ir': 'R+D',
    'no-depth': 'R+I',
    'no-rgb': 'D+I',
    'no-depth-ir': 'R',
    'no-rgb-ir': 'D',
    'no-rgb-depth': 'I',
}
_LEAVE_ONE_OUT = ('cps2w', 'cpw2s', 'csw2p', 'psw2c')
#: Protocol -> names of its splits, in the order of reports. Those of 1 and 3 are as in
#: `configs/_base_/datasets/*_p<protocol>_<split>.py`, those of 2 and 2s have what is missing behind the name of a
#: split of 1.
SPLITS: dict[Protocol, tuple[str, ...]] = {
    1: _LEAVE_ONE_OUT,
    2: tuple(f'{split}_{missing}' for missing in MISSING for split in _LEAVE_ONE_OUT),
    '2s': tuple(f'{split}_{missing}'.rstrip('_') for missing in SWEPT for split in _LEAVE_ONE_OUT),
    3: ('cw2ps', 'ps2cw'),
}


@dataclass(frozen=True)
class Cell:
    """One number of the benchmark.

    Args:
        method: Name of the method, as in its metafile.
        protocol: 1, 2, '2s' or 3; what `recorded_as` says of the split.
        split: Name of the split; in Protocols 2 and 2s with what is missing, such as `'cps2w_no-depth'`.
        seed: Seed of the training.
    """

    method: str
    protocol: Protocol
    split: str
    seed: int

    @property
    def name(self) -> str:
        """Name for files and messages, without the method."""
        return f'p{self.protocol}_{self.split}_s{self.seed}'

    @property
    def trained_split(self) -> str:
        """Split whose training gives the checkpoint: Protocols 2 and 2s test the models of Protocol 1."""
        return self.split.partition('_')[0]


@dataclass(frozen=True)
class Training:
    """One training and the cells that are scored with it.

    Args:
        method: Name of the method.
        protocol: 1 or 3.
        split: Split that is trained on.
        seed: Seed.
        cells: Cells of this training, at least one.
    """

    method: str
    protocol: Protocol
    split: str
    seed: int
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """Name for folders and messages, without the method."""
        return f'{self.split}_s{self.seed}'


def in_order(protocols: Iterable[Protocol]) -> list[Protocol]:
    """Return protocols as reports have them, each once.

    >>> in_order(iter([3, '2s', 2, 3]))
    [2, '2s', 3]
    """
    wanted = set(protocols)
    return [protocol for protocol in SPLITS if protocol in wanted]


def lists_of(protocol: Protocol) -> Protocol:
    """Return the protocol whose lists and trainings a protocol uses."""
    return 1 if protocol in (2, '2s') else protocol


def recorded_as(protocol: Protocol, split: str) -> Protocol:
    """Return the protocol under which a cell is run and recorded: 2s has its cells in common with 1 and 2.

    >>> [recorded_as('2s', split) for split in ('cps2w', 'cps2w_no-ir', 'cps2w_no-rgb')]
    [1, 2, '2s']
    """
    missing = split.partition('_')[2]
    if protocol != '2s' or missing not in ('', *MISSING):
        return protocol
    return 2 if missing else 1


def is_shown(cell: Cell, protocols: Iterable[Protocol]) -> bool:
    """Tell whether a cell is part of the tables of some protocols.

    Args:
        cell: The cell.
        protocols: The protocols.
    """
    return any(
        cell.split in SPLITS[protocol] and recorded_as(protocol, cell.split) == cell.protocol
        for protocol in protocols
    )


def cells_of(methods: Sequence[str], protocols: Sequence[Protocol], seeds: Sequence[int]) -> list[Cell]:
    """List the cells of a benchmark, seed by seed, so that a first whole table is there as early as possible.

    Args:
        methods: Names of the methods.
        protocols: Any of 1, 2, '2s' and 3.
        seeds: Seeds of the trainings.

    Returns:
        The cells.

    Raises:
        ValueError: If there is no such protocol, or a seed is negative.

    >>> [cell.name for cell in cells_of(['concat'], [3], [0])]
    ['p3_cw2ps_s0', 'p3_ps2cw_s0']
    """
    unknown = [protocol for protocol in protocols if protocol not in SPLITS]
    if unknown:
        raise InputError(
            f'there is no protocol {unknown[0]}; known: 1 (leave one domain out), 2 (1 with modalities missing), '
            '2s (1 with every subset of the modalities), 3 (two domains to two)'
        )
    if any(seed < 0 for seed in seeds):
        raise InputError(f'seeds are 0 or more, got {min(seeds)}')
    cells = (
        Cell(method, recorded_as(protocol, split), split, seed)
        for seed in dict.fromkeys(seeds)
        for method in dict.fromkeys(methods)
        for protocol in in_order(protocols)
        for split in SPLITS[protocol]
    )
    return list(dict.fromkeys(cells))


def trainings_of(cells: Sequence[Cell]) -> list[Training]:
    """Group cells by the training they need.

    Args:
        cells: Cells of any protocols.

    Returns:
        Trainings in the order of their first cells.

    >>> cells = cells_of(['concat'], [1, 2, 3], [0])
    >>> [(training.name, len(training.cells)) for training in trainings_of(cells)][-2:]
    [('cw2ps_s0', 1), ('ps2cw_s0', 1)]
    """
    groups: dict[tuple[str, Protocol, str, int], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.method, lists_of(cell.protocol), cell.trained_split, cell.seed), []).append(cell)
    return [Training(*key, tuple(group)) for key, group in groups.items()]


def title_of(split: str) -> str:
    """Return a split as it is written in tables.

    >>> title_of('cps2w'), title_of('cps2w_no-depth-ir')
    ('CPS→W', 'CPS→W, D and I missing')
    """
    lists, _, missing = split.partition('_')
    arrow = lists.upper().replace('2', '→')
    return f'{arrow}, {missing_title(missing)}' if missing else arrow


def missing_modalities(missing: str) -> tuple[str, ...]:
    """Return the modalities that are missing, from what a split of Protocol 2 or 2s says after its lists.

    >>> missing_modalities('no-depth-ir')
    ('depth', 'ir')
    """
    return tuple(missing.split('-')[1:])


def missing_title(missing: str) -> str:
    """Return what is missing as it is written in tables.

    >>> missing_title('no-ir')
    'I missing'
    """
    letters = [name[0].upper() for name in missing_modalities(missing)]
    return f'{" and ".join(letters)} missing'
