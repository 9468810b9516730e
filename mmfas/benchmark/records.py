"""Records: a JSON file and two packed score files per finished cell, found by what was run on which data."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmfas.benchmark.plan import Cell
from mmfas.evaluation import ScoreTable
from mmfas.utils.checkpoint import sha256_of
from mmfas.utils.files import write_atomically
from mmfas.utils.folders import is_hidden

_FORMAT = 1
#: What tables and reports read of a record, by field.
_READ = {
    'data': ('name',),
    'versions': ('torch',),
    'seconds': ('train', 'score'),
    'report': ('hter', 'auc', 'acer_max', 'threshold'),
    'scores': ('dev', 'test'),
}


class RecordError(ValueError):
    """A record that cannot be read or written, or does not belong beside others; the message names the file."""


@dataclass(frozen=True)
class Identity:
    """What must be the same for two records to stand in one row of a table.

    Args:
        method: Name of the method.
        config_hash: See `mmfas.benchmark.methods.config_hash`.
        data: See `mmfas.benchmark.configs.data_identity`.
        select: `'last'` or `'dev'`: which epoch was scored.
    """

    method: str
    config_hash: str
    data: dict[str, Any]
    select: str

    @property
    def key(self) -> str:
        """Eight hexadecimal digits that stand for all but the method, as part of file names."""
        content = [self.config_hash, self.data, self.select]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    def path(self, folder: str | Path, cell: Cell) -> Path:
        """Return where the record of a cell lies.

        Args:
            folder: Folder of all records.
            cell: The cell.
        """
        return Path(folder, self.method, f'{cell.name}_{self.key}.json')


@dataclass(frozen=True)
class Record:
    """One finished cell.

    Args:
        method: Name of the method.
        collection: Its collection in the metafile, such as `'MMDG'`.
        config: Config file as the metafile names it.
        options: Values that replaced those of the config.
        config_hash: Hash of what the config says, with the options.
        protocol: 1, 2 or 3.
        split: Name of the split.
        seed: Seed of the training.
        select: `'last'` or `'dev'`.
        epoch: Epoch that was scored, counted from 1.
        max_epochs: Epochs of the training.
        data: Which data: name and, of SynthFAS, renderer version, size, seed and dials.
        commit: Commit of the code.
        dirty: Whether the code had changes beside the commit.
        versions: Versions of mmfas and torch.
        device: What it ran on.
        seconds: Wall time of `train` (of all cells of the training together) and `score`.
        report: Numbers at the dev threshold; see `mmfas.evaluation.FASReport.to_dict`.
        paper: Target-EER HTER and AUC of the epoch that is best on the target, an oracle; None if not made.
        scores: File name and SHA-256, of `dev` and `test`.
    """

    method: str
    collection: str
    config: str
    options: dict[str, Any]
    config_hash: str
    protocol: int
    split: str
    seed: int
    select: str
    epoch: int
    max_epochs: int
    data: dict[str, Any]
    commit: str
    dirty: bool
    versions: dict[str, str]
    device: str
    seconds: dict[str, float]
    report: dict[str, Any]
    paper: dict[str, Any] | None
    scores: dict[str, dict[str, str]]

    @property
    def identity(self) -> Identity:
        """What the record is a record of, beside its cell."""
        return Identity(self.method, self.config_hash, self.data, self.select)

    @property
    def cell(self) -> Cell:
        """The cell."""
        return Cell(self.method, self.protocol, self.split, self.seed)


def write_record(folder: str | Path, record: Record) -> Path:
    """Write a record; it is there completely or not at all.

    Args:
        folder: Folder of all records.
        record: The record, whose score files are there already.

    Returns:
        The file.

    Raises:
        RecordError: If the disk is full.
    """
    path = record.identity.path(folder, record.cell)
    content = json.dumps({'format': _FORMAT, **asdict(record)}, indent=1, allow_nan=False) + '\n'
    with full_disk_named(path):
        write_atomically(path, content)
    return path


def write_scores(folder: str | Path, identity: Identity, cell: Cell, **tables: ScoreTable) -> dict[str, Any]:
    """Write the score files of a cell.

    Args:
        folder: Folder of all records.
        identity: What was run.
        cell: The cell.
        **tables: Scores by name, `dev` and `test`.

    Returns:
        What `Record.scores` holds.

    Raises:
        RecordError: If the disk is full.
    """
    written = {}
    for name, table in tables.items():
        path = identity.path(folder, cell).with_suffix(f'.{name}.csv.gz')
        with full_disk_named(path):
            table.to_csv(path)
        written[name] = {'file': path.name, 'sha256': sha256_of(path)}
    return written


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Turn the error of a full disk into one that says what to do.

    Args:
        path: File that is being written.

    Raises:
        RecordError: If there is no space left.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RecordError(
            f"no space left to write '{path}': free some and give the same command again; what is finished stays"
        ) from error


def read_record(path: str | Path) -> Record:
    """Read one record.

    Args:
        path: Its JSON file.

    Returns:
        The record.

    Raises:
        RecordError: If the file is no record, or its name does not fit its content.
    """
    mend = 'delete it and run the benchmark again, or restore it from version control'
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
        if content.pop('format') != _FORMAT:
            raise RecordError(f"record '{path}' has another format than {_FORMAT}; {mend}")
        record = Record(**content)
        _require_what_is_read(record)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"'{path}' is a broken record ({_short(error)}); {mend}") from error
    proper = record.identity.path('', record.cell).name
    if Path(path).name != proper:
        raise RecordError(f"record '{path}' does not hold what its name says: it would be '{proper}'; {mend}")
    return record


def _require_what_is_read(record: Record) -> None:
    needed = [(name, getattr(record, name), keys) for name, keys in _READ.items()]
    needed += [(f'scores.{name}', entry, ('file', 'sha256')) for name, entry in record.scores.items()]
    if record.paper is not None:
        needed.append(('paper', record.paper, ('hter', 'auc')))
    for name, value, keys in needed:
        missing = [key for key in keys if key not in value]
        if missing:
            raise ValueError(f'{", ".join(missing)} missing in its {name}')


def _short(error: Exception) -> str:
    text = str(error).replace('Record.__init__() ', '')
    return text if len(text) < 160 else f'{text[:157]}...'


def read_records(folder: str | Path) -> list[Record]:
    """Read all records below a folder.

    Args:
        folder: Folder of all records.

    Returns:
        The records, sorted by file.

    Raises:
        RecordError: If one of them is broken.
    """
    found = sorted(Path(folder).glob('*/*.json'))
    return [read_record(path) for path in found if not (is_hidden(path.name) or is_hidden(path.parent.name))]


def finished(folder: str | Path, identity: Identity, cell: Cell, *, with_paper: bool) -> Record | None:
    """Return the record of a cell that needs no more work.

    Args:
        folder: Folder of all records.
        identity: What is to be run.
        cell: The cell.
        with_paper: Whether the paper's scoring must be in it.

    Returns:
        The record; None if there is none or it lacks what is asked for.

    Raises:
        RecordError: If there is one, but broken.
    """
    path = identity.path(folder, cell)
    if not path.is_file():
        return None
    record = read_record(path)
    return None if with_paper and record.paper is None else record


def load_scores(folder: str | Path, record: Record, name: str = 'test') -> ScoreTable:
    """Read the scores of a record.

    Args:
        folder: Folder of all records.
        record: The record.
        name: `'test'` or `'dev'`.

    Returns:
        The scores.

    Raises:
        RecordError: If the file is missing or not the one that was recorded.
    """
    entry = record.scores[name]
    path = Path(folder, record.method, entry['file'])
    if not path.is_file() or sha256_of(path) != entry['sha256']:
        state = 'is missing' if not path.is_file() else 'is not the file that was recorded'
        raise RecordError(
            f"score file '{path}' {state}; restore it, or delete the record beside it and run the benchmark again"
        )
    return ScoreTable.from_csv(path, allow_duplicates=True)
