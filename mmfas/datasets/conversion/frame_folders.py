"""Recordings that are folders of frames, one folder per modality (CASIA-CeFA and CASIA-SURF)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from mmfas.datasets.conversion.needed import Needed, Recording, Target
from mmfas.datasets.conversion.report import Oddity
from mmfas.datasets.conversion.unit import Plan, Unit
from mmfas.datasets.image_files import decode_colour, read_image_bytes
from mmfas.utils.folders import walk_visible

__all__ = ['Frame', 'Key', 'match_recordings', 'read_frames', 'walk_recordings']

#: What identifies a recording in every layout.
Key = tuple[str, ...]


@dataclass(frozen=True)
class Frame:
    """The pictures of one frame that could be read.

    Args:
        files: Target -> content of the original file.
        pictures: Target -> decoded picture, uint8 (H, W, 3), blue first.
    """

    files: Mapping[Target, bytes]
    pictures: Mapping[Target, np.ndarray]

    def sizes(self) -> str:
        """Return the sizes of the pictures in words, such as `rgb 280x300, ir 280x300`."""
        return ', '.join(f'{t.modality} {p.shape[1]}x{p.shape[0]}' for t, p in self.pictures.items())

    def has_one_size(self) -> bool:
        """Tell whether all pictures have one size."""
        return len({picture.shape for picture in self.pictures.values()}) <= 1


def walk_recordings(source: Path, names: Collection[str]) -> tuple[list[Path], list[Path]]:
    """Look for folders that hold a folder of a modality.

    Args:
        source: Folder of the originals. Links are followed, hidden folders left out.
        names: Names of the folders of modalities, which are not looked into.

    Returns:
        Recordings, and other folders with files that look like pictures, both sorted.
    """
    found, others = [], []
    for place, folders, files in walk_visible(source.resolve()):
        if any(name in names for name in folders):
            found.append(Path(place))
            folders.clear()
        elif any(name.lower().endswith(('.jpg', '.jpeg', '.png')) for name in files):
            others.append(Path(place))
    return sorted(found), sorted(others)


def match_recordings(
    source: Path,
    needed: Needed,
    found: Sequence[Path],
    *,
    key_of_folder: Callable[[tuple[str, ...]], Key | None],
    key_of_name: Callable[[str], Key],
) -> Plan:
    """Find the folder of every recording that the lists name.

    Args:
        source: Folder of the originals.
        needed: What the lists name.
        found: Folders of recordings.
        key_of_folder: Parts of the path of a folder -> key, or None if it is not understood.
        key_of_name: Name of a recording in the lists -> key.

    Returns:
        The plan: what was found, not found, found twice, not understood, and what no list names.
    """
    root = source.resolve()
    folders: dict[Key, Path] = {}
    oddities = []
    for folder in found:
        place = _relative(folder, root)
        key = key_of_folder(folder.parts)
        if key is None:
            oddities.append(Oddity('unknown', place, 'a recording whose path does not say which one'))
        elif key in folders:
            oddities.append(Oddity('twice', place, f'is also {_relative(folders[key], root)}'))
        else:
            folders[key] = folder
    units = []
    for recording in needed.recordings:
        match = folders.pop(key_of_name(recording.name), None)
        if match is None:
            oddities.append(
                Oddity('missing', recording.name, f'no such recording; {len(recording.targets)} files')
            )
        else:
            units.append(Unit(recording, (str(match),)))
    oddities += [Oddity('unlisted', _relative(folder, root), 'recording') for folder in folders.values()]
    return Plan(tuple(units), tuple(oddities))


def _relative(path: Path, root: Path) -> str:
    """Return a path below the originals as text."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def read_frames(
    unit: Unit, folders: Mapping[str, Sequence[str]], oddities: list[Oddity]
) -> Iterator[tuple[str, Frame]]:
    """Read the pictures of a recording, frame by frame.

    Args:
        unit: Recording and its folder.
        folders: Modality -> names that its folder may have, the first that is there counts.
        oddities: What is missing, unreadable, or of unequal size is added here.

    Yields:
        Name of the frame and its pictures; those that cannot be read are left out.
    """
    source = Path(unit.sources[0])
    places = {m: next((name for name in names if (source / name).is_dir()), None) for m, names in folders.items()}
    for modality, place in places.items():
        if place is None:
            wanted = ' or '.join(folders[modality])
            oddities.append(Oddity('missing', unit.recording.name, f'the original has no folder {wanted}'))
    for stem, targets in groupby(_by_frame(unit.recording), key=lambda target: target.stem):
        files, pictures = {}, {}
        for target in targets:
            place = places[target.modality]
            if place is None:
                continue
            path = source / place / Path(target.path).name
            try:
                data = read_image_bytes(str(path))
                pictures[target] = decode_colour(data)
                files[target] = data
            except FileNotFoundError:
                oddities.append(Oddity('missing', target.path, f'{place}/{path.name} does not exist'))
            except ValueError as error:
                oddities.append(Oddity('unreadable', target.path, f'{path}: {error}'))
        frame = Frame(files, pictures)
        if not frame.has_one_size():
            oddities.append(Oddity('size', f'{unit.recording.name} {stem}', frame.sizes()))
        yield stem, frame


def _by_frame(recording: Recording) -> list[Target]:
    """Return the targets of a recording, those of a frame together."""
    return sorted(recording.targets, key=lambda target: (target.stem, target.modality))
