"""What people hand to an inferencer: one triple, a list of them, folders, CSV files, arrays, PIL images."""

from __future__ import annotations

import csv
import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmfas.structures import MODALITIES
from mmfas.utils.errors import InputError, MissingFileError, WrongTypeError
from mmfas.utils.folders import visible_files
from mmfas.utils.names import plain_name

__all__ = ['NothingThereError', 'Sample', 'read_inputs']

#: Endings of the files that are looked for in folders.
PICTURE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp', '.pgm', '.ppm')
#: Names of modalities in file names, folders and columns.
NAMES = {
    'rgb': 'rgb', 'color': 'rgb', 'colour': 'rgb', 'profile': 'rgb',
    'depth': 'depth',
    'ir': 'ir', 'nir': 'ir', 'infrared': 'ir',
}  # fmt: skip
_PART = re.compile(
    rf'(?:^|[_.-])(?P<name>{"|".join(sorted(NAMES, key=len, reverse=True))})(?=$|[_.-])', re.IGNORECASE
)


class NothingThereError(InputError):
    """A folder without a picture, which may get some."""


@dataclass(frozen=True)
class Sample:
    """One thing to judge.

    Args:
        sample_id: Its name in results.
        pictures: Modality -> path, array, PIL image or bytes of a file; or `npz` -> path of an archive of PADISI.
    """

    sample_id: str
    pictures: Mapping[str, Any]


def read_inputs(inputs: Any) -> list[Sample]:
    """Find the samples in what was given; every file that is named must be there.

    Args:
        inputs: One of these, or a list of them. A dictionary modality -> path, array, PIL image or bytes. A path:
            of a folder, see `_samples_in_folder`; of a CSV file with columns `rgb`, `depth`, `ir` (paths from its
            folder) and, if wished, `sample_id`; of an `.npz` of PADISI; of one picture, which is rgb. An array
            (H, W, 3) uint8 or a PIL image, which is rgb.

    Returns:
        The samples, in order, with names of their own.

    Raises:
        FileNotFoundError: If a named file or folder does not exist.
        ValueError: If there is no sample, or a name is no modality; the message says what was looked for.
        TypeError: If something else was given.
    """
    given = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    found = [sample for number, item in enumerate(given) for sample in _samples_of(item, number)]
    if not found:
        raise InputError('there is nothing to judge: the list of inputs is empty')
    for sample in found:
        for modality, value in sample.pictures.items():
            if _is_path(value) and not Path(value).is_file():
                raise MissingFileError(
                    f"{modality} of {sample.sample_id}: '{value}' does not exist; check the path"
                )
    return found


def _is_path(value: Any) -> bool:
    """Tell a path from a picture in memory."""
    return isinstance(value, str | os.PathLike)


def _samples_of(item: Any, number: int) -> Iterator[Sample]:
    """Yield the samples in one input."""
    if isinstance(item, Sample):
        yield item
    elif isinstance(item, Mapping):
        yield _triple(item, number)
    elif _is_path(item):
        yield from _samples_at(Path(item).expanduser())
    elif hasattr(item, '__array__') or hasattr(item, 'tobytes'):
        yield Sample(f'input {number}', {'rgb': item})
    else:
        raise WrongTypeError(
            'an input is a dictionary of pictures by modality, a path, an array (H, W, 3) or a PIL image, got a '
            f'{type(item).__name__}'
        )


def _triple(item: Mapping[str, Any], number: int) -> Sample:
    """Read a dictionary of pictures."""
    pictures = {name: value for name, value in item.items() if name != 'sample_id' and value is not None}
    unknown = [name for name in pictures if name not in (*MODALITIES, 'npz')]
    if unknown or not pictures:
        raise InputError(
            f'a sample is a dictionary with one or more of {", ".join(MODALITIES)}, got {sorted(map(str, item))}'
        )
    first = next(iter(pictures.values()))
    name = item.get('sample_id') or (first if _is_path(first) else f'input {number}')
    return Sample(plain_name(str(name)), pictures)


def _samples_at(path: Path) -> Iterator[Sample]:
    """Yield the samples of a path."""
    if path.is_dir():
        yield from _samples_in_folder(path)
    elif not path.exists():
        raise MissingFileError(f"'{path}' does not exist; check the path")
    elif path.suffix.lower() == '.csv':
        yield from _samples_in_csv(path)
    elif path.suffix.lower() == '.npz':
        yield Sample(str(path), {'npz': str(path)})
    else:
        yield Sample(str(path), {'rgb': str(path)})


def _samples_in_csv(path: Path) -> Iterator[Sample]:
    """Yield the rows of a CSV file."""
    try:
        with open(path, newline='', encoding='utf-8-sig') as file:
            reader = csv.DictReader(file, strict=True)
            header, rows = list(reader.fieldnames or ()), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"'{path}' cannot be read as CSV: {error}; save it as UTF-8 with commas") from error
    _check_header(path, header)
    columns = [name for name in (rows[0] if rows else {}) if name in MODALITIES]
    if not columns:
        found = list(rows[0]) if rows else 'no row'
        raise InputError(f"'{path}' needs a header with rgb, depth or ir, and a row below; got {found}")
    for number, row in enumerate(rows, 2):
        pictures = {name: str(path.parent / row[name].strip()) for name in columns if (row[name] or '').strip()}
        if not pictures or None in row:
            raise InputError(f"'{path}', line {number}: expected a path in one or more of {', '.join(columns)}")
        yield Sample(plain_name(row.get('sample_id') or '') or f'{path.name}:{number}', pictures)


def _check_header(path: Path, header: Sequence[str]) -> None:
    """Refuse columns that mean a modality by another name, and names that come twice."""
    for name in header:
        if header.count(name) > 1 and name in MODALITIES:
            raise InputError(f"'{path}' has more than one column '{name}'; keep one")
        if name in MODALITIES or not name:
            continue
        near = difflib.get_close_matches(name.lower(), NAMES, n=1, cutoff=0.7)
        if near:
            meant = NAMES[near[0]]
            raise InputError(f"'{path}' has a column '{name}'; did you mean '{meant}'? Rename or remove it")


def _samples_in_folder(folder: Path) -> Iterator[Sample]:
    """Yield the samples in a folder and below, sorted.

    Files belong together if their paths differ in nothing but the name of a modality (`NAMES`), as a folder of its
    own or a part of the file's name: `a/rgb/1.png` and `a/depth/1.png`, or `1_rgb.jpg` and `1_ir.png`. Archives of
    PADISI (`.npz`) stand alone. Hidden files and folders are left out.
    """
    groups: dict[str, dict[str, str]] = {}
    for path in visible_files(folder):
        relative = path.relative_to(folder)
        if path.suffix.lower() == '.npz':
            groups[str(relative)] = {'npz': str(path)}
        elif path.suffix.lower() in PICTURE_SUFFIXES:
            key, modality = _split_modality(relative)
            if modality in groups.setdefault(key, {}):
                raise InputError(
                    f"'{groups[key][modality]}' and '{path}' are both {modality} of one sample; give a CSV file "
                    'with the columns rgb, depth, ir instead of the folder'
                )
            groups[key][modality] = str(path)
    if not groups:
        raise NothingThereError(
            f"'{folder}' holds no pictures: looked for {', '.join(PICTURE_SUFFIXES)} whose names or folders say "
            'rgb, depth or ir, such as 1_rgb.png or rgb/1.png, and for .npz'
        )
    for key, pictures in groups.items():
        yield Sample(key, pictures)


def _split_modality(path: Path) -> tuple[str, str]:
    """Return a path without the name of its modality, and the modality: rgb where none is named."""
    parts = [*path.parts[:-1], path.stem]
    for at in reversed(range(len(parts))):  # the file's own name first, then the nearest folder
        found = list(_PART.finditer(parts[at]))
        if found:
            part = parts[at][: found[-1].start()] + parts[at][found[-1].end() :]
            rest = [*parts[:at], *([part.strip('_.-')] if part.strip('_.-') else []), *parts[at + 1 :]]
            return '/'.join(rest) or path.parent.name or '.', NAMES[found[-1]['name'].lower()]
    return '/'.join(parts), 'rgb'


def describe(samples: Sequence[Sample]) -> str:
    """Say how many samples there are and what they have.

    Args:
        samples: What `read_inputs` found.
    """
    counts = {m: sum(m in sample.pictures or 'npz' in sample.pictures for sample in samples) for m in MODALITIES}
    return f'{len(samples)} samples: ' + ', '.join(f'{count} with {m}' for m, count in counts.items())
