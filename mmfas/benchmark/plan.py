"""What the benchmark consists of: protocols, splits, cells, and which training each cell needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmfas.utils.errors import InputError

#: What is missing in the dev and test sets of Protocol 2.
MISSING = ('no-depth', 'no-ir', 'no-depth-ir')
_LEAVE_ONE_OUT = ('cps2w', 'cpw2s', 'csw2p', 'psw2c')
#: Protocol -> names of its splits. Those of 1 and 3 are as in `configs/_base_/datasets/*_p<protocol>_<split>.py`,
#: those of 2 have what is missing behind the name of a split of 1.
SPLITS: dict[int, tuple[str, ...]] = {
    1: _LEAVE_ONE_OUT,
    2: tuple(f'{split}_{missing}' for missing in MISSING for split in _LEAVE_ONE_OUT),
    3: ('cw2ps', 'ps2cw'),
}


@dataclass(frozen=True)
class Cell:
    """One number of the benchmark.

    Args:
        method: Name of the method, as in its metafile.
        protocol: 1, 2 or 3.
        split: Name of the split; in Protocol 2 with what is missing, such as `'cps2w_no-depth'`.
        seed: Seed of the training.
    """

    method: str
    protocol: int
    split: str
    seed: int

    @property
    def name(self) -> str:
        """Name for files and messages, without the method."""
        return f'p{self.protocol}_{self.split}_s{self.seed}'

    @property
    def trained_split(self) -> str:
        """Split whose training gives the checkpoint: Protocol 2 tests the model of Protocol 1."""
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
    protocol: int
    split: str
    seed: int
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """Name for folders and messages, without the method."""
        return f'{self.split}_s{self.seed}'


def cells_of(methods: Sequence[str], protocols: Sequence[int], seeds: Sequence[int]) -> list[Cell]:
    """List the cells of a benchmark, seed by seed, so that a first whole table is there as early as possible.

    Args:
        methods: Names of the methods.
        protocols: Any of 1, 2 and 3.
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
            '3 (two domains to two)'
        )
    if any(seed < 0 for seed in seeds):
        raise InputError(f'seeds are 0 or more, got {min(seeds)}')
    return [
        Cell(method, protocol, split, seed)
        for seed in dict.fromkeys(seeds)
        for method in dict.fromkeys(methods)
        for protocol in sorted(set(protocols))
        for split in SPLITS[protocol]
    ]


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
    groups: dict[tuple[str, int, str, int], list[Cell]] = {}
    for cell in cells:
        trained_in = 1 if cell.protocol == 2 else cell.protocol
        groups.setdefault((cell.method, trained_in, cell.trained_split, cell.seed), []).append(cell)
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
    """Return the modalities that are missing, from what a split of Protocol 2 says after its lists.

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
