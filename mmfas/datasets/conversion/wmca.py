"""WMCA: preprocessed faces in two HDF5 files per recording, colour and other channels, to one JPEG per channel.

Known (where from):

* Two releases of faces of 128 x 128: `preprocessed-face-station_RGB/<date>/<recording>.hdf5` and the same below
  `preprocessed-face-station_CDIT/` (or `WMCA_preprocessed_RGB/WMCA/face-station/...`), with groups `Frame_<i>`
  that hold `array`: uint8 (3, 128, 128), red first, and uint8 (4, 128, 128) with grey, depth, infrared, thermal
  (public readers of the set; the groups are those of `FrameContainer` of bob.bio.video).
* The lists name `WMCA-Image/R_CDIT/<recording>/{color,depth,ir}/<i>.jpg` with four digits (the lists themselves).
* In two recordings the indices of depth and infrared do not match those of colour (FlexModal_Protocols/README.md,
  github ZitongYu/Flex-Modal-FAS): `KNOWN_MISMATCHES`. Any recording whose two files hold other frames is reported.

Assumed: `<i>.jpg` shows `Frame_<i>` of both files, and a recording has one name over all dates. Which JPEG quality
the published pictures had is unknown; ours have 100 and full colour resolution, so that pixels change by rounding
only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mmfas.datasets.conversion.needed import Needed, Target
from mmfas.datasets.conversion.report import Oddity
from mmfas.datasets.conversion.unit import Converted, Plan, Unit
from mmfas.datasets.image_files import encode_jpeg
from mmfas.utils.errors import InputError, MissingPackageError
from mmfas.utils.folders import visible_files

__all__ = ['KNOWN_MISMATCHES', 'WmcaConverter']

#: Recordings whose depth and infrared indices do not match colour.
KNOWN_MISMATCHES = ('100_03_015_2_10', '101_06_067_1_02')
_NUM_CHANNELS = {'RGB': 3, 'CDIT': 4}
_CDIT_CHANNELS = {'depth': 1, 'ir': 2}
_SIZE = (128, 128)
_GROUP = re.compile(r'Frame_(\d+)')
_QUALITY = 100
_Frames = Mapping[int, np.ndarray]


@dataclass(frozen=True)
class WmcaConverter:
    """WMCA (George et al., TIFS 2020)."""

    name: str = 'wmca'
    title: str = 'WMCA'
    letter: str = 'W'

    def header(self) -> dict[str, Any]:
        """Return what must agree between two runs."""
        return {'jpeg_quality': _QUALITY}

    def plan(self, source: Path, needed: Needed) -> Plan:
        """Look for the two files of every recording.

        Args:
            source: Folder of the originals.
            needed: What the lists name.

        Returns:
            What there is to do.

        Raises:
            ValueError: If there are no files of both kinds.
            ModuleNotFoundError: If h5py is not installed.
        """
        _import_h5py()  # now, not in every worker process
        files, oddities = _find_files(source)
        units = []
        for recording in needed.recordings:
            name = PurePosixPath(recording.name).name
            pair = {kind: files[kind].pop(name, None) for kind in _NUM_CHANNELS}
            absent = [kind for kind, path in pair.items() if path is None]
            if absent:
                text = f'no {name}.hdf5 among the {" and ".join(absent)} files; {len(recording.targets)} files'
                oddities.append(Oddity('missing', recording.name, text))
            else:
                units.append(Unit(recording, tuple(str(path) for path in pair.values())))
        for kind, rest in files.items():
            oddities += [Oddity('unlisted', str(path.relative_to(source)), kind) for path in rest.values()]
        return Plan(tuple(units), tuple(oddities))

    def convert(self, unit: Unit) -> Converted:
        """Convert the listed frames of one recording.

        Args:
            unit: Recording, its RGB file and its CDIT file.

        Returns:
            A JPEG per frame and modality.
        """
        wanted = {int(target.stem) for target in unit.recording.targets}
        oddities: list[Oddity] = []
        frames: dict[str, _Frames] = {}
        indices: dict[str, set[int]] = {}
        for kind, path in zip(_NUM_CHANNELS, unit.sources):
            try:
                indices[kind], frames[kind] = _read_frames(path, wanted)
            except (OSError, ValueError, KeyError) as error:  # what h5py raises for broken files
                oddities += _unreadable(unit, kind, f'{Path(path).name} ({kind}): {error}')
        oddities += _index_oddities(unit.recording.name, indices)
        contents = {}
        for target in unit.recording.targets:
            kind = _kind_of(target)
            if kind in frames:
                data = _encode(target, kind, frames[kind], oddities)
                contents.update({target.path: data} if data else {})
        return Converted(contents, tuple(oddities))


def _import_h5py() -> Any:
    """Import h5py, which only this data set needs."""
    try:
        import h5py
    except ImportError as error:
        raise MissingPackageError("WMCA is kept in HDF5 files: pip install 'mmfas[datasets]'") from error
    return h5py


def _find_files(source: Path) -> tuple[dict[str, dict[str, Path]], list[Oddity]]:
    """Return kind -> recording -> file, and what is odd among the files."""
    files: dict[str, dict[str, Path]] = {kind: {} for kind in _NUM_CHANNELS}
    oddities = []
    for path in visible_files(source.resolve(), '*.hdf5'):
        place = str(path.relative_to(source.resolve()))
        # The nearest folder decides, so that a folder above both may have any name.
        kinds = [kind for part in reversed(path.parts[:-1]) for kind in _NUM_CHANNELS if kind in part.upper()]
        if not kinds:
            oddities.append(Oddity('unknown', place, 'no folder above it has RGB or CDIT in its name'))
        elif path.stem in files[kinds[0]]:
            oddities.append(Oddity('twice', place, f'is also {files[kinds[0]][path.stem]}'))
        else:
            files[kinds[0]][path.stem] = source / place
    absent = [kind for kind, found in files.items() if not found]
    if absent:
        raise InputError(
            f"'{source}' holds no {' and no '.join(absent)} files of WMCA; expected <date>/<recording>.hdf5 below "
            'preprocessed-face-station_RGB/ and below preprocessed-face-station_CDIT/'
        )
    return files, oddities


def _read_frames(path: str, wanted: set[int]) -> tuple[set[int], _Frames]:
    """Return the indices of all frames of a file, and the arrays of the wanted ones."""
    with _import_h5py().File(path, 'r') as file:
        names = {int(match[1]): name for name in file if (match := _GROUP.fullmatch(name))}
        if not names:
            raise InputError('holds no group Frame_<i>')
        return set(names), {i: np.asarray(file[names[i]]['array']) for i in sorted(wanted & set(names))}


def _kind_of(target: Target) -> str:
    """Return in which file the modality of a target is."""
    return 'CDIT' if target.modality in _CDIT_CHANNELS else 'RGB'


def _unreadable(unit: Unit, kind: str, text: str) -> list[Oddity]:
    """Return an oddity for every target that an unusable file leaves unwritten."""
    return [Oddity('unreadable', t.path, text) for t in unit.recording.targets if _kind_of(t) == kind]


def _index_oddities(name: str, indices: Mapping[str, set[int]]) -> list[Oddity]:
    """Compare the frames of the two files."""
    is_known = PurePosixPath(name).name in KNOWN_MISMATCHES
    note = 'one of the two that Flex-Modal-FAS notes; ' if is_known else ''
    if len(indices) < len(_NUM_CHANNELS):
        return []
    if indices['RGB'] == indices['CDIT']:
        text = f'{note}here both files hold the same {len(indices["RGB"])} indices'
        return [Oddity('index', name, text)] if is_known else []
    only = {'RGB': indices['RGB'] - indices['CDIT'], 'CDIT': indices['CDIT'] - indices['RGB']}
    words = [f'only {kind} has {_ranges(rest)}' for kind, rest in only.items() if rest]
    return [Oddity('index', name, note + ', '.join(words))]


def _ranges(numbers: set[int]) -> str:
    """Return numbers in words, such as `0-3 7`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][-1] = number
        else:
            runs.append([number, number])
    return ' '.join(str(first) if first == last else f'{first}-{last}' for first, last in runs)


def _encode(target: Target, kind: str, frames: _Frames, oddities: list[Oddity]) -> bytes | None:
    """Return the JPEG of one target, or None with an oddity."""
    index = int(target.stem)
    if index not in frames:
        oddities.append(Oddity('missing', target.path, f'the {kind} file has no Frame_{index}'))
        return None
    array = frames[index]
    if array.dtype != np.uint8 or array.ndim != 3 or len(array) != _NUM_CHANNELS[kind] or not array.size:
        text = f'Frame_{index} of the {kind} file is {array.dtype} {array.shape}, not uint8 '
        oddities.append(
            Oddity('unreadable', target.path, f'{text}({_NUM_CHANNELS[kind]}, {_SIZE[0]}, {_SIZE[1]})')
        )
        return None
    if array.shape[1:] != _SIZE:
        oddities.append(Oddity('size', target.path, f'{array.shape[2]}x{array.shape[1]} instead of 128x128'))
    if kind == 'CDIT':
        return encode_jpeg(np.ascontiguousarray(array[_CDIT_CHANNELS[target.modality]]), _QUALITY)
    return encode_jpeg(np.ascontiguousarray(array[::-1].transpose(1, 2, 0)), _QUALITY)
