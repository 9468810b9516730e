"""What the paths of the published C / P / S / W lists say about a sample: domain, subject, video and PAI.

Only facts in the path are returned; everything else is `'unknown'`. Sources of the grammars:

* C, CASIA-CeFA: `<race>_<subject>_<device>_<session>_<PAI>` with PAI 1 real, 2 cloth (a print), 3 photo,
  4 screen, and the folders `3D-Mask` and `Silicone-Mask` (readme of github liuajian/CASIA-FAS-Dataset).
* S, CASIA-SURF (Zhang et al., CVPR 2019): `real_part`, or one of six printed photos with eyes (`e`), nose (`n`)
  and mouth (`m`) cut out, held flat or bent (a cut-out `papermask` here).
* W, WMCA (George et al., TIFS 2020): `<subject>_<session>_<presenter>_<type>_<PAI>`; the table below gives the
  video counts of the paper (glasses 75, fake head 122, print 200, replay 348, rigid 137, flexible 379, paper 71).
* P, PADISI-USC: a bare `<trial>.npz` gives nothing but the domain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ['PADISI_DOMAIN', 'PADISI_FOLDER', 'UNKNOWN', 'Provenance', 'parse_provenance']

UNKNOWN = 'unknown'
#: Domain of the list format `name.npz<TAB>label`.
PADISI_DOMAIN = 'P'
#: Folder of its archives below `data_root`; the lists name the files alone.
PADISI_FOLDER = 'PADISI'

_CEFA_PAIS = {1: 'live', 2: 'print', 3: 'print', 4: 'replay'}
_CEFA_MASKS = {'3D-Mask': 'mask3d', 'Silicone-Mask': 'silicone'}
_CEFA_VIDEO = re.compile(r'\d+_\d+_\d+_\d+_(\d+)')
_WMCA_VIDEO = re.compile(r'(\d+)_\d+_\d+_(\d+)_(\d+)')
_WMCA_PLASTIC_MASKS = frozenset({2, 13, 14})
_WMCA_ELECTRONIC_PHOTOS = frozenset({5, 10, 15})


@dataclass(frozen=True)
class Provenance:
    """Where a sample comes from; `'unknown'` where nothing is known.

    Args:
        domain: `'C'`, `'P'`, `'S'`, `'W'` or unknown.
        subject: Person, or for WMCA's fake faces the artefact; unique within the domain.
        video: Recording, unique over all domains.
        pai: `'live'` for bona fide, else the attack instrument.
    """

    domain: str = UNKNOWN
    subject: str = UNKNOWN
    video: str = UNKNOWN
    pai: str = UNKNOWN


def _cefa(parts: tuple[str, ...], video: str) -> Provenance:
    """Parse `CeFA/<CeFA-Race|CeFA-Mask>/<race|mask kind>/<subject>/<video>/<modality>/<frame>`."""
    if len(parts) < 7:
        return Provenance('C')
    kind, person, name = parts[2], parts[3], parts[4]
    if kind in _CEFA_MASKS:
        return Provenance('C', f'{kind}-{person}', video, _CEFA_MASKS[kind])
    match = _CEFA_VIDEO.fullmatch(name)
    return Provenance('C', person, video, _CEFA_PAIS.get(int(match[1]), UNKNOWN) if match else UNKNOWN)


def _surf(parts: tuple[str, ...], video: str) -> Provenance:
    """Parse `CASIA-SURF-CROP/<real|fake>_part/<split>/<subject>/<recording>/<modality>/<frame>`."""
    if len(parts) < 7:
        return Provenance('S')
    pai = {'real_part': 'live', 'fake_part': 'papermask'}.get(parts[1], UNKNOWN)
    return Provenance('S', parts[3], video, pai)


def _wmca_pai(kind: int, number: int) -> str:
    """Name the instrument of WMCA's type 0 bona fide, 1 disguise, 2 fake face, 3 photo, 4 video."""
    if kind == 1:
        return 'mask3d' if number in _WMCA_PLASTIC_MASKS else 'glasses'
    if kind == 2:
        for last, pai in ((7, 'fakehead'), (11, 'papermask'), (17, 'mask3d')):
            if number <= last:
                return pai
        return 'silicone'
    if kind == 3:
        return 'replay' if number in _WMCA_ELECTRONIC_PHOTOS else 'print'
    return {0: 'live', 4: 'replay'}.get(kind, UNKNOWN)


def _wmca(parts: tuple[str, ...], video: str) -> Provenance:
    """Parse `WMCA-Image/<group>/<subject>_<session>_<presenter>_<type>_<PAI>/<modality>/<frame>`."""
    match = _WMCA_VIDEO.fullmatch(parts[2]) if len(parts) >= 5 else None
    if match is None:
        return Provenance('W')
    return Provenance('W', match[1], video, _wmca_pai(int(match[2]), int(match[3])))


_GRAMMARS = {'CeFA': _cefa, 'CASIA-SURF-CROP': _surf, 'WMCA-Image': _wmca}


def parse_provenance(path: str) -> Provenance:
    """Read what a path of the published lists says.

    Args:
        path: Path as written in the list, relative to the folder of images; an `.npz` name for PADISI.

    Returns:
        What is known of the sample.

    >>> parse_provenance('WMCA-Image/R_CDIT/535_07_066_1_16/color/0036.jpg')
    Provenance(domain='W', subject='535', video='WMCA-Image/R_CDIT/535_07_066_1_16', pai='glasses')
    >>> parse_provenance('zd6c8787.npz')
    Provenance(domain='P', subject='unknown', video='zd6c8787', pai='unknown')
    """
    # Split by hand: lists have tens of thousands of lines, and pathlib takes longer than all else here.
    parts = tuple(part for part in path.split('/') if part not in ('', '.'))
    if path.startswith('/') or not parts:
        return Provenance()
    stem, _, ending = parts[0].rpartition('.')
    if len(parts) == 1 and stem and ending == 'npz':
        return Provenance(PADISI_DOMAIN, video=stem)
    if parts[0] not in _GRAMMARS:
        return Provenance()
    return _GRAMMARS[parts[0]](parts, '/'.join(parts[:-2]) or '.')
