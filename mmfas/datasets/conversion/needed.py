"""Which files the published lists of a domain name, by recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mmfas.datasets.building import SPLITS
from mmfas.utils.errors import InputError, MissingFileError

__all__ = ['SPLITS', 'Needed', 'Recording', 'Target', 'read_needed']

_LISTS_FROM = 'the lists come from github.com/OMGGGGG/mmdg; put them there or name their folder'


@dataclass(frozen=True)
class Target:
    """A file that a list names: its modality (`'npz'` for all in one) and its path below the data."""

    modality: str
    path: str

    @property
    def stem(self) -> str:
        """Name of the frame or archive, without folder and suffix."""
        return PurePosixPath(self.path).stem


@dataclass(frozen=True)
class Recording:
    """A video as the lists name it (for P an archive), its files in the order of the lists, and its label.

    Args:
        name: Folder of the video, or name of the archive without suffix.
        targets: Its files, none twice.
        label: 1 live, 0 spoof.
    """

    name: str
    targets: tuple[Target, ...]
    label: int


@dataclass(frozen=True)
class Needed:
    """What the lists of one domain name: list -> number of lines, and the recordings, sorted by name."""

    lines: Mapping[str, int]
    recordings: tuple[Recording, ...]


def read_needed(folder: str | Path, letter: str) -> Needed:
    """Read the three lists of a domain.

    Args:
        folder: Folder with `C-train.txt`, `C-val.txt` and `C-test.txt`, if the letter is C.
        letter: Letter of the domain.

    Returns:
        What they name.

    Raises:
        FileNotFoundError: If a list is missing.
        ValueError: If a list is malformed or names files of another domain or outside of the data.
    """
    from mmfas.datasets.annotations import read_annotations  # it imports torch, which workers do without

    names = [f'{letter}-{split}' for split in SPLITS]
    absent = [f'{name}.txt' for name in names if not Path(folder, f'{name}.txt').is_file()]
    if absent:
        raise MissingFileError(f"'{folder}' lacks {', '.join(absent)}; {_LISTS_FROM}")
    lines: dict[str, int] = {}
    files: dict[str, dict[Target, None]] = {}
    labels: dict[str, int] = {}
    for name in names:
        records = read_annotations(Path(folder, f'{name}.txt'))
        lines[name] = len(records)
        for record in records:
            _check_domain(record, letter)
            files.setdefault(record['video'], {}).update(dict.fromkeys(_targets(record)))
            labels[record['video']] = record['label']
    recordings = (Recording(video, tuple(files[video]), labels[video]) for video in sorted(files))
    return Needed(lines, tuple(recordings))


def _check_domain(record: Mapping[str, Any], letter: str) -> None:
    """Refuse a line of another domain."""
    if record['domain'] != letter:
        raise InputError(
            f'{record["source_line"]}: {record["sample_id"]!r} is not a file of domain {letter}, but of '
            f'{record["domain"]}; is it the right list?'
        )


def _targets(record: Mapping[str, Any]) -> list[Target]:
    """Return the files of one line; raise if a path leads out of the data."""
    from mmfas.datasets.protocols import PADISI_FOLDER

    targets = []
    for modality, path in record['img_paths'].items():
        if PurePosixPath(path).is_absolute() or '..' in PurePosixPath(path).parts:
            raise InputError(f'{record["source_line"]}: {path!r} leads out of the folder of the data')
        targets.append(Target(modality, f'{PADISI_FOLDER}/{path}' if modality == 'npz' else path))
    return targets
