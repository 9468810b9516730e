"""CASIA-CeFA: frames in one folder per recording and modality, with black borders that can be removed.

Known (where from):

* The lists name `CeFA/CeFA-Race/<race>/<race>-<subject>/<recording>/{profile,depth,ir}/<n>.jpg` and
  `CeFA/CeFA-Mask/{3D-Mask,Silicone-Mask}/<subject>/<recording>/...` (the lists themselves).
* Releases have `CeFA-Race/` or `Ethnicity/` above the races, `CeFA-Mask/` or `Mask/` above the masks, subjects as
  `EA-012` or with an identity card, `EA-012-198006250024`, and colour in `profile` or `color` (readme and lists of
  github liuajian/CASIA-FAS-Dataset; paths in public readers of the set).
* The frames have black borders. Published loaders of the lists scale them as they are, so by default they stay;
  others cut the borders of every picture alone (github hhsinping/few_shot_fas, with code of
  AlexanderParkin/CASIA-SURF_CeFA).

Assumed: `color` and `profile` hold the same frames under the same numbers; where both exist, `profile` is taken.
Ours: the same borders are cut off the three pictures of a frame, so that they stay registered: a row or column
goes if it is black in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmfas.datasets.conversion.frame_folders import Frame, Key, match_recordings, read_frames, walk_recordings
from mmfas.datasets.conversion.needed import Needed
from mmfas.datasets.conversion.report import Oddity
from mmfas.datasets.conversion.unit import Converted, Plan, Unit
from mmfas.datasets.image_files import encode_jpeg
from mmfas.utils.errors import InputError

__all__ = ['BORDER_LEVEL', 'CefaConverter', 'content_box']

#: Grey level up to which a pixel counts as black: JPEG makes a black border a little noisy.
BORDER_LEVEL = 10
_QUALITY = 100
_FOLDERS = {'rgb': ('profile', 'color'), 'depth': ('depth',), 'ir': ('ir',)}
_KINDS = ('AF', 'CA', 'EA', '3D-Mask', 'Silicone-Mask')
#: A subject with or without the number of an identity card.
_SUBJECT = re.compile(r'((?:[A-Z]{2}-)?\d+)(?:-\d+)?')


def _key_of_folder(parts: tuple[str, ...]) -> Key | None:
    """Return (race or kind of mask, subject, recording)."""
    if len(parts) < 3 or parts[-3] not in _KINDS:
        return None
    subject = _SUBJECT.fullmatch(parts[-2])
    return (parts[-3], subject[1], parts[-1]) if subject else None


def _key_of_name(name: str) -> Key:
    """Return the key of a recording of the lists."""
    return _key_of_folder(tuple(name.split('/'))) or (name,)


def content_box(pictures: Iterable[np.ndarray], level: int) -> tuple[slice, slice] | None:
    """Return the rows and columns between the black borders of registered pictures.

    Args:
        pictures: Pictures (H, W, 3) of one size, uint8.
        level: Pixels up to this grey level, 0..255, count as black.

    Returns:
        Slices of rows and columns, or None if all is black.
    """
    bright = np.max([picture.max(axis=2) for picture in pictures], axis=0) > level
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


@dataclass(frozen=True)
class CefaConverter:
    """CASIA-CeFA (Liu et al., WACV 2021).

    Args:
        border_level: Grey level up to which a border counts as black and is removed; None keeps the frames as they
            are.

    Raises:
        ValueError: If the level is not a grey level below white.
    """

    border_level: int | None = None
    name: str = 'cefa'
    title: str = 'CASIA-CeFA'
    letter: str = 'C'

    def __post_init__(self) -> None:
        if self.border_level is not None and not 0 <= self.border_level < 255:
            raise InputError(f'a border level is a grey level below white, 0..254, but got {self.border_level}')

    def header(self) -> dict[str, Any]:
        """Return what must agree between two runs."""
        return {'border_level': self.border_level}

    def plan(self, source: Path, needed: Needed) -> Plan:
        """Look for the recordings.

        Args:
            source: Folder of the originals.
            needed: What the lists name.

        Returns:
            What there is to do.

        Raises:
            ValueError: If there is no recording.
        """
        found, _ = walk_recordings(source, {'profile', 'color', 'depth', 'ir'})
        if not any(_key_of_folder(folder.parts) for folder in found):
            raise InputError(
                f"'{source}' holds no recording of CASIA-CeFA; expected AF/AF-000/1_000_1_1_1/profile/0001.jpg or "
                'color/0001.jpg, below CeFA-Race/ or Ethnicity/'
            )
        return match_recordings(source, needed, found, key_of_folder=_key_of_folder, key_of_name=_key_of_name)

    def convert(self, unit: Unit) -> Converted:
        """Return the frames of one recording, without borders if that is requested.

        Args:
            unit: Recording and its folder.

        Returns:
            The files as they are, or JPEGs of quality 100 without borders.
        """
        oddities: list[Oddity] = []
        contents: dict[str, bytes] = {}
        for stem, frame in read_frames(unit, _FOLDERS, oddities):
            contents.update(self._files(frame, f'{unit.recording.name} {stem}', oddities))
        return Converted(contents, tuple(oddities))

    def _files(self, frame: Frame, place: str, oddities: list[Oddity]) -> dict[str, bytes]:
        """Return the files of one frame."""
        as_they_are = {target.path: data for target, data in frame.files.items()}
        if self.border_level is None or not frame.pictures:
            return as_they_are
        if not frame.has_one_size():  # reported; it is unknown which borders belong together
            return as_they_are
        box = content_box(frame.pictures.values(), self.border_level)
        if box is None:
            oddities.append(Oddity('black', place, f'no pixel is brighter than {self.border_level}'))
            return as_they_are
        return {target.path: encode_jpeg(picture[box], _QUALITY) for target, picture in frame.pictures.items()}
