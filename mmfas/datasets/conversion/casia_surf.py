"""CASIA-SURF: face crops in one folder per recording and modality, copied as they are.

Known (where from):

* The lists name `CASIA-SURF-CROP/<real|fake>_part/<real|fake>_<split>_part/<subject>/<recording>/color/<n>.jpg`,
  the same in `depth` and `ir`; split is train, val or test (the lists themselves).
* The CVPR 2019 challenge called the same training crops `Training/<real|fake>_part/<subject>/<recording>/color/
  <n>.jpg`; a later release has `Val/` and `Testing/` too (lists of github liuajian/CASIA-FAS-Dataset).
* The challenge's own `Val/` and `Testing/` were anonymous (`Val/0007/007243-color.jpg`; file lists of github
  hhsinping/few_shot_fas): which subject and frame a file shows is unknown, so they cannot be used.
* The later release numbers frames from `0001.jpg`, the lists name 1, 11, 21, ...: these cannot be matched
  either, since frames are missing in between. Such recordings are reported.

Assumed: a crop has the same content in every release that names it the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmfas.datasets.conversion.frame_folders import Key, match_recordings, read_frames, walk_recordings
from mmfas.datasets.conversion.needed import Needed
from mmfas.datasets.conversion.report import Oddity
from mmfas.datasets.conversion.unit import Converted, Plan, Unit
from mmfas.utils.errors import InputError
from mmfas.utils.folders import visible_entries

__all__ = ['CasiaSurfConverter']

_FOLDERS = {'rgb': ('color',), 'depth': ('depth',), 'ir': ('ir',)}
_PART = re.compile(r'(real|fake)_part')
_SPLIT_PART = re.compile(r'(?:real|fake)_(train|val|test)_part')
_SPLITS = {'training': 'train', 'train': 'train', 'val': 'val', 'valid': 'val', 'testing': 'test', 'test': 'test'}
_ANONYMOUS = re.compile(r'\d+-color\.jpg')
_RENUMBERED = re.compile(r'0\d{3}\.jpg')


def _key_of_folder(parts: tuple[str, ...]) -> Key | None:
    """Return (real or fake, split, subject, recording) of either layout."""
    places = [index for index, part in enumerate(parts) if _PART.fullmatch(part)]
    if not places:
        return None
    kind, before, below = parts[places[-1]], parts[places[-1] - 1].lower(), parts[places[-1] + 1 :]
    named = _SPLIT_PART.fullmatch(below[0]) if below else None
    split = named[1] if named else _SPLITS.get(before, '')
    below = below[1:] if named else below
    return (kind, split, *below) if split and len(below) == 2 else None


def _has_file(folder: Path, name: re.Pattern[str]) -> bool:
    """Tell whether a folder holds a file whose name matches."""
    return any(name.fullmatch(entry.name) for entry in visible_entries(folder))


def _key_of_name(name: str) -> Key:
    """Return the key of a recording of the lists."""
    return _key_of_folder(tuple(name.split('/'))) or (name,)


@dataclass(frozen=True)
class CasiaSurfConverter:
    """CASIA-SURF (Zhang et al., CVPR 2019)."""

    name: str = 'casia_surf'
    title: str = 'CASIA-SURF'
    letter: str = 'S'

    def header(self) -> dict[str, Any]:
        """Return what must agree between two runs: nothing but the data set."""
        return {}

    def plan(self, source: Path, needed: Needed) -> Plan:
        """Look for the recordings, in either layout.

        Args:
            source: Folder of the originals.
            needed: What the lists name.

        Returns:
            What there is to do.

        Raises:
            ValueError: If there is no recording.
        """
        found, others = walk_recordings(source, {'color', 'depth', 'ir'})
        anonymous = [folder for folder in others if _has_file(folder, _ANONYMOUS)]
        if not found:
            known = ' They are anonymous challenge files, which the lists do not name.' if anonymous else ''
            raise InputError(
                f"'{source}' holds no recording of CASIA-SURF; expected CASIA-SURF-CROP/real_part/real_train_part/"
                f'CLKJ_AS0005/real.rssdk/color/131.jpg, or Training/real_part/CLKJ_AS0005/... .{known}'
            )
        plan = match_recordings(source, needed, found, key_of_folder=_key_of_folder, key_of_name=_key_of_name)
        text = 'anonymous files of the challenge, which the lists do not name'
        odd = [Oddity('unknown', folder.as_posix(), text) for folder in anonymous]
        return Plan(plan.units, (*plan.oddities, *odd))

    def convert(self, unit: Unit) -> Converted:
        """Read and check the crops of one recording, and return them unchanged.

        Args:
            unit: Recording and its folder.

        Returns:
            The files as they are.
        """
        oddities: list[Oddity] = []
        contents = {
            target.path: data
            for _, frame in read_frames(unit, _FOLDERS, oddities)
            for target, data in frame.files.items()
        }
        color = Path(unit.sources[0], 'color')
        if not contents and color.is_dir() and _has_file(color, _RENUMBERED):
            text = 'its frames are numbered 0001, 0002, ..., so they cannot be matched with those of the lists'
            oddities.append(Oddity('index', unit.recording.name, text))
        return Converted(contents, tuple(oddities))
