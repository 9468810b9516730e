"""PADISI-USC: one archive of 22 channels per capture, renamed to the short names of the lists.

Known (README_FACE.md and data/face_partitions of github vimal-isi-edu/PADISI_USC_Dataset):

* The MULTI-SPECTRAL archive holds 2029 files `ID_<transaction_id>_<trial_id>_<trial_name>.npz`, each with `data`
  of (1, 22, 320, 256) in 0..1: 0-2 colour (blue first), 3 NIR, 4 depth, the rest other cameras.
* `padisi_USC_FACE_ground_truth.csv` says per capture `ground_truth` (`m00000` bona fide, `m5<code><species>` an
  attack) and `participant_id`. The codes of attacks are not explained except for 06, makeup. (The COLOR
  release has labels where True is an attack, the opposite of the lists.)

Known of the lists: they name `<trial_id>.npz`, with label 1 for live. The archives need no other change, so their
bytes are kept, all 22 channels; `LoadMultiModalImages` takes the five it needs.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmfas.datasets.conversion.needed import Needed
from mmfas.datasets.conversion.report import Oddity
from mmfas.datasets.conversion.unit import Converted, Plan, Unit
from mmfas.datasets.image_files import PADISI_SIZE, read_padisi
from mmfas.utils.errors import InputError, MissingFileError
from mmfas.utils.folders import visible_entries, visible_files

__all__ = ['META_FILE', 'PadisiConverter']

#: Side-car file with subject and attack per capture, for `meta_file` of a data set.
META_FILE = 'P-meta.csv'
_ORIGINAL = re.compile(r'ID_[0-9a-z]+_([0-9a-z]+)_\w+\.npz')
_BONA_FIDE = 'm00000'
_COLUMNS = ('trial_id', 'ground_truth', 'participant_id')


@dataclass(frozen=True)
class PadisiConverter:
    """PADISI-USC Face (Rostami et al., ICCV 2021).

    Args:
        ground_truth: Path of `padisi_USC_FACE_ground_truth.csv`, to compare the labels of the lists with it and to
            write `P-meta.csv`; None leaves both out.
    """

    ground_truth: str | None = None
    name: str = 'padisi'
    title: str = 'PADISI-USC'
    letter: str = 'P'

    def header(self) -> dict[str, Any]:
        """Return what must agree between two runs: nothing but the data set."""
        return {}

    def plan(self, source: Path, needed: Needed) -> Plan:
        """Look for the archives.

        Args:
            source: Folder of the originals.
            needed: What the lists name.

        Returns:
            What there is to do.

        Raises:
            ValueError: If there is no archive, or the ground truth is not such a table.
        """
        archives, oddities = _find_archives(source)
        units = []
        for recording in needed.recordings:
            path = archives.pop(recording.name, None)
            if path is None:
                odd = Oddity('missing', recording.targets[0].path, f'no ID_..._{recording.name}_....npz')
                oddities.append(odd)
            else:
                units.append(Unit(recording, (str(path),)))
        oddities += [Oddity('unlisted', path.name, 'archive') for path in archives.values()]
        extras = {}
        if self.ground_truth is not None:
            rows = _read_ground_truth(Path(self.ground_truth))
            oddities += _compare_labels(rows, needed)
            extras[META_FILE] = _meta_file(rows, needed)
        return Plan(tuple(units), tuple(oddities), extras)

    def convert(self, unit: Unit) -> Converted:
        """Check one archive and return it unchanged.

        Args:
            unit: Recording and its archive.

        Returns:
            The archive as it is, unless the reader would refuse it.
        """
        (target,), (source,) = unit.recording.targets, unit.sources
        try:
            pictures = read_padisi(source, ('rgb', 'depth', 'ir'))
            data = Path(source).read_bytes()
        except (ValueError, OSError) as error:
            return Converted({}, (Oddity('unreadable', target.path, f'{Path(source).name}: {error}'),))
        size = pictures['rgb'].shape[:2]
        odd = () if size == PADISI_SIZE else (Oddity('size', target.path, f'{size} instead of {PADISI_SIZE}'),)
        return Converted({target.path: data}, odd)


def _find_archives(source: Path) -> tuple[dict[str, Path], list[Oddity]]:
    """Return trial -> archive, and what is odd among the archives."""
    archives: dict[str, Path] = {}
    oddities = []
    for path in visible_files(source, '*.npz'):
        match = _ORIGINAL.fullmatch(path.name)
        if match is None:
            oddities.append(Oddity('unknown', path.name, 'not named ID_<transaction>_<trial>_<trial name>.npz'))
        elif match[1] in archives:
            oddities.append(Oddity('twice', path.name, f'has the trial of {archives[match[1]].name}'))
        else:
            archives[match[1]] = path
    if not archives:
        packed = [path.name for path in visible_entries(source) if path.suffix in ('.zip', '.bz2')]
        hint = f' {packed[0]} must be unpacked first; only MULTI-SPECTRAL has depth and NIR.' if packed else ''
        raise InputError(
            f"'{source}' holds no archive of PADISI-USC; expected ID_<transaction>_<trial>_<trial name>.npz from "
            f'padisi_USC_FACE_MULTI_SPECTRAL_preprocessed.zip.{hint}'
        )
    return archives, oddities


def _read_ground_truth(path: Path) -> dict[str, Mapping[str, str]]:
    """Return trial -> row of the official table."""
    if not path.is_file():
        raise MissingFileError(f"ground truth '{path}' does not exist")
    with path.open(encoding='utf-8-sig', newline='') as file:
        reader = csv.DictReader(file)
        lacking = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
        if lacking:
            raise InputError(
                f"'{path}' has no column {', '.join(lacking)}; give padisi_USC_FACE_ground_truth.csv of github "
                'vimal-isi-edu/PADISI_USC_Dataset'
            )
        return {row['trial_id']: row for row in reader}


def _compare_labels(rows: Mapping[str, Mapping[str, str]], needed: Needed) -> Iterator[Oddity]:
    """Yield where list and official table contradict each other, or the table has no row."""
    for recording in needed.recordings:
        row = rows.get(recording.name)
        if row is None:
            yield Oddity('label', recording.name, 'the ground truth has no row of it')
        elif (row['ground_truth'] == _BONA_FIDE) != bool(recording.label):
            yield Oddity(
                'label', recording.name, f'label {recording.label}, but ground truth {row["ground_truth"]}'
            )


def _meta_file(rows: Mapping[str, Mapping[str, str]], needed: Needed) -> bytes:
    """Return the side-car file: subject and kind of attack of every capture, a row for each."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator='\n')
    writer.writerow(('sample_id', 'subject', 'pai'))
    for recording in needed.recordings:
        row = rows.get(recording.name, {})
        code = row.get('ground_truth', '')
        pai = '' if not code or code == _BONA_FIDE or recording.label else f'padisi-{code[2:4]}'
        writer.writerow((f'{recording.name}.npz', row.get('participant_id', ''), pai))
    return table.getvalue().encode()
