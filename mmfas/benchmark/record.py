"""The record of one finished cell: a JSON file and its score files, named by what was run on which data."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmfas.benchmark.plan import Cell, Protocol
from mmfas.benchmark.validation import read_json, require_valid
from mmfas.evaluation import ScoreTable
from mmfas.utils.checkpoint import sha256_of
from mmfas.utils.errors import InputError
from mmfas.utils.files import read_text, write_atomically

_FORMAT = 1
#: Significant digits of what was measured.
_DIGITS = 10
_REMEDY = 'delete it and run the benchmark again, or restore it from version control'


class RecordError(InputError):
    """A record that cannot be read or written, or does not belong beside others; the message names the file."""


@dataclass(frozen=True)
class Identity:
    """What must be the same for two records to belong to one row of a table.

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
        """Eight hexadecimal digits that identify everything but the method, as part of file names."""
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
        protocol: 1, 2, '2s' or 3.
        split: Name of the split.
        seed: Seed of the training.
        select: `'last'` or `'dev'`.
        epoch: Epoch that was scored, counted from 1.
        max_epochs: Epochs of the training.
        data: Which data: name and, of SynthFAS, renderer version, size, seed and perturbations.
        commit: Commit of the code.
        dirty: Whether the code had changes beside the commit.
        versions: Versions of mmfas and torch.
        device: What it ran on.
        seconds: Wall time of `train` (of all cells of the training together) and `score`.
        report: Numbers at the dev threshold; see `mmfas.evaluation.FASReport.to_dict`.
        paper: Target-EER HTER and AUC of the epoch that is best on the target, an oracle; None if not made.
        scores: File name and SHA-256, of `dev` and `test` and of what set the thresholds of `site`; in a pack also
            where its scores are, see `mmfas.benchmark.packs`.
        site: Numbers at thresholds that live videos of the target set, see `mmfas.benchmark.site`; None without.

    What was measured (`report`, `paper`, `site`) is rounded to ten significant digits, more than `mmfas benchmark
    verify` compares: the digits behind them are noise, which no compressor shortens. Thresholds stay as they are,
    for a score may be equal to one.
    """

    method: str
    collection: str
    config: str
    options: dict[str, Any]
    config_hash: str
    protocol: Protocol
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
    scores: dict[str, dict[str, Any]]
    site: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Round what was measured, so that a record equals what is read of its file."""
        for name in ('report', 'paper', 'site'):
            object.__setattr__(self, name, rounded(getattr(self, name)))

    @property
    def identity(self) -> Identity:
        """What was run on which data, besides the cell."""
        return Identity(self.method, self.config_hash, self.data, self.select)

    @property
    def cell(self) -> Cell:
        """The cell."""
        return Cell(self.method, self.protocol, self.split, self.seed)

    @property
    def file_name(self) -> str:
        """Name of its file, which no other cell of the method has."""
        return self.identity.path('', self.cell).name

    @property
    def has_scores(self) -> bool:
        """Whether its scores were kept, beside their hashes."""
        return all(entry.get('kept', True) for entry in self.scores.values())


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
    content = json.dumps(record_content(record), indent=1, allow_nan=False) + '\n'
    with refusing_full_disk(path):
        write_atomically(path, content)
    return path


def rounded(value: Any) -> Any:
    """Round every number inside a value to the digits that a record keeps, but for thresholds.

    Args:
        value: Anything that JSON holds.
    """
    if isinstance(value, float):
        return float(f'{value:.{_DIGITS}g}')
    if isinstance(value, dict):
        return {key: inner if key == 'threshold' else rounded(inner) for key, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list) else value


def record_content(record: Record) -> dict[str, Any]:
    """Return a record as JSON holds it, the inverse of `parse_record`.

    Args:
        record: The record.
    """
    content = {'format': _FORMAT, **asdict(record)}
    if record.site is None:  # as records were written before there were such numbers
        del content['site']
    return content


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
        with refusing_full_disk(path):
            table.to_csv(path)
        written[name] = {'file': path.name, 'sha256': sha256_of(path)}
    return written


@contextmanager
def refusing_full_disk(path: Path) -> Iterator[None]:
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
            f"no space left to write '{path}': free some and run the same command again; finished work is kept"
        ) from error


def read_record(path: str | Path) -> Record:
    """Read one record.

    Args:
        path: Its JSON file.

    Returns:
        The record.

    Raises:
        RecordError: If the file is not a record, or its name does not fit its content.
    """
    try:
        text = read_text(path)
    except UnicodeDecodeError as error:
        raise RecordError(f"'{path}' is a broken record (not UTF-8: {error}); {_REMEDY}") from error
    record = parse_record(text, f"'{path}'")
    if Path(path).name != record.file_name:
        raise RecordError(
            f"record '{path}' does not hold what its name says: it would be '{record.file_name}'; {_REMEDY}"
        )
    return record


def parse_record(text: str, where: str) -> Record:
    """Read a record from its text and check every value.

    Args:
        text: JSON.
        where: File, and line where it has several records, for messages.

    Returns:
        The record.

    Raises:
        RecordError: If the text is not a record; the message names the key.
    """
    try:
        content = read_json(text)
        if not isinstance(content, dict) or 'format' not in content:
            raise InputError('format missing')
        written = content.pop('format')
        if isinstance(written, bool | float) or written != _FORMAT:  # 1.0 and true equal 1 to Python
            raise RecordError(
                f'the record {where} has another format than {_FORMAT}, got {json.dumps(written):.40}; {_REMEDY}'
            )
        require_valid(content)
    except RecordError:
        raise
    except ValueError as error:
        raise RecordError(f'{where} is a broken record ({error}); {_REMEDY}') from error
    return Record(**content)
