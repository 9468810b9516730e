"""Protocols of single real sets: unseen attacks of WMCA, Protocols 1 to 4 of CASIA-CeFA, CASIA-SURF by itself.

Their official lists are not free, so they are derived from what there is:

* WMCA (George et al., TIFS 2020): which recording is for training, dev and test is in the published C / P / S / W
  lists (the owners' `grandtest`). In the leave-one-out protocols the attack is taken out of training and dev, and
  test has live faces and that attack alone. Unknown 2-D and 3-D do the same with groups: print and
  replay, and everything else.
* CASIA-CeFA (Liu et al., WACV 2021): subjects 0 to 199 are for training, 200 to 299 for dev, 300 to 499 for test;
  masks are for test alone. Rules and video counts are those of the readme of github liuajian/CASIA-FAS-Dataset;
  its image counts show that Protocol 3 tests no masks (438,764 are two modalities of three ethnicities).
* CASIA-SURF (Zhang et al., CVPR 2019): its own training, validation and test parts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmfas.datasets.annotations import read_annotations
from mmfas.datasets.list_writing import write_list
from mmfas.datasets.protocol_lists import CLEAN_LISTS
from mmfas.datasets.protocols import parse_provenance
from mmfas.structures import LIVE, MODALITIES, SPOOF
from mmfas.utils.errors import InputError, MissingFileError, UnknownKeyError
from mmfas.utils.folders import visible_entries

__all__ = ['PARTS', 'REAL_PROTOCOLS', 'DerivedPart', 'RealProtocol', 'derive', 'write_parts']

PARTS = ('train', 'val', 'test')
#: Part -> PAI -> videos in the published lists of WMCA; over all parts they are the numbers of its paper.
WMCA_VIDEOS: dict[str, dict[str, int]] = {
    'train': dict(live=124, glasses=31, fakehead=53, papermask=0, mask3d=26, silicone=111, print=68, replay=152),
    'val': dict(live=108, glasses=22, fakehead=52, papermask=0, mask3d=62, silicone=131, print=66, replay=116),
    'test': dict(live=115, glasses=22, fakehead=17, papermask=71, mask3d=49, silicone=137, print=66, replay=80),
}
_TWO_D = frozenset({'print', 'replay'})
_MASKS = frozenset({'mask3d', 'silicone'})
#: Attack of WMCA as its paper names it -> as the toolkit names it.
WMCA_ATTACKS = {
    'glasses': 'glasses',
    'fakehead': 'fakehead',
    'print': 'print',
    'replay': 'replay',
    'rigidmask': 'mask3d',
    'flexiblemask': 'silicone',
    'papermask': 'papermask',
}
_RACES = ('AF', 'CA', 'EA')
_FOLDERS = {'rgb': ('profile', 'color'), 'depth': ('depth',), 'ir': ('ir',)}
_FIRST_OF_DEV, _FIRST_OF_TEST = 200, 300


@dataclass(frozen=True)
class Facts:
    """What a rule may ask of a sample.

    Args:
        part: Part of the data set it belongs to.
        pai: Attack instrument, or `'live'`.
        race: Ethnicity in CASIA-CeFA; `''` for masks and other sets.
    """

    part: str
    pai: str
    race: str = ''


Rule = Callable[[Facts], bool]


@dataclass(frozen=True)
class RealProtocol:
    """Which samples of a data set are for training, dev and test.

    Args:
        name: Its name.
        domain: Letter of the data set.
        text: What it is.
        learns: Which samples of training and dev are taken.
        tests: Which samples of test are taken.
        videos: Videos of the three parts as published.
        modality: The one picture of a sample that is trained on, where it is tested on the other two.
    """

    name: str
    domain: str
    text: str
    learns: Rule
    tests: Rule
    videos: tuple[int, int, int]
    modality: str | None = None

    def takes(self, facts: Facts) -> bool:
        """Tell whether a sample is in one of the lists."""
        return (self.tests if facts.part == 'test' else self.learns)(facts)


@dataclass(frozen=True)
class DerivedPart:
    """One list of a protocol.

    Args:
        name: File name without its ending, such as `'W-loo_print-test'`.
        records: Its samples, with paths relative to the folder of the data.
        expected: Videos as published.
    """

    name: str
    records: tuple[Mapping[str, Any], ...]
    expected: int

    @property
    def videos(self) -> Counter[str]:
        """Videos of every instrument."""
        return Counter(pai for _, pai in {(record['video'], record['pai']) for record in self.records})


def _wmca(name: str, text: str, unseen: Iterable[str]) -> RealProtocol:
    """Make a protocol that leaves attacks out of training."""
    out = frozenset(unseen)

    def learns(facts: Facts) -> bool:
        return facts.pai not in out

    def tests(facts: Facts) -> bool:
        return facts.pai in out or facts.pai == 'live'

    sizes = [
        sum(n for pai, n in of.items() if (tests if part == 'test' else learns)(Facts(part, pai)))
        for part, of in WMCA_VIDEOS.items()
    ]
    return RealProtocol(f'wmca_{name}', 'W', text, learns, tests, (sizes[0], sizes[1], sizes[2]))


def _cefa() -> Iterator[RealProtocol]:
    """Make Protocols 1 to 4."""

    def of(race: str, *pais: str) -> Rule:
        return lambda facts: facts.race == race and facts.pai in (pais or ('live', 'print', 'replay'))

    def others(race: str, *pais: str) -> Rule:
        wanted = pais or ('live', 'print', 'replay')
        return lambda facts: facts.pai in _MASKS or (facts.race != race and facts.pai in wanted)

    def kinds(*pais: str) -> Rule:
        return lambda facts: facts.pai in pais

    masks = tuple(_MASKS)
    for race in _RACES:
        text = f'cross-ethnicity: trained on {race}'
        yield RealProtocol(f'cefa_1_{race.lower()}', 'C', text, of(race), others(race), (800, 400, 2723))
    for pai, unseen, sizes in (('print', 'replay', (1800, 900, 2323)), ('replay', 'print', (1200, 600, 2923))):
        text = f'cross-PAI: trained on {pai}, tested on {unseen} and masks'
        yield RealProtocol(f'cefa_2_{pai}', 'C', text, kinds('live', pai), kinds('live', unseen, *masks), sizes)
    flat = kinds('live', 'print', 'replay')
    for modality in MODALITIES:
        text = f'cross-modality: trained on {modality}, tested on the other two pictures'
        # a video of the test counts for each of its two pictures
        yield RealProtocol(f'cefa_3_{modality}', 'C', text, flat, flat, (2400, 1200, 4800), modality=modality)
    for race in _RACES:
        text = f'cross-ethnicity and cross-PAI: trained on replay of {race}'
        rules = (of(race, 'live', 'replay'), others(race, 'live', 'print'))
        yield RealProtocol(f'cefa_4_{race.lower()}', 'C', text, *rules, (400, 200, 2323))


def _all_protocols() -> Iterator[RealProtocol]:
    """Make all protocols."""
    for name, pai in WMCA_ATTACKS.items():
        yield _wmca(f'loo_{name}', f'leave one attack out: {name}', [pai])
    yield _wmca('unknown_2d', 'unknown 2-D attacks: print and replay are left out', _TWO_D)
    solid = {*WMCA_ATTACKS.values()} - _TWO_D
    yield _wmca('unknown_3d', 'unknown 3-D attacks: all but print and replay are left out', solid)
    yield from _cefa()
    sizes = [CLEAN_LISTS[f'S-{part}'].videos for part in PARTS]
    counts = (sizes[0], sizes[1], sizes[2])
    yield RealProtocol('surf_intra', 'S', 'CASIA-SURF by itself', lambda _: True, lambda _: True, counts)


#: Name -> protocol.
REAL_PROTOCOLS: dict[str, RealProtocol] = {protocol.name: protocol for protocol in _all_protocols()}


def derive(
    name: str, folder: str | Path, *, data_root: str | Path | None = None, frames: int | None = None
) -> list[DerivedPart]:
    """Derive the lists of a protocol.

    Args:
        name: Its name, see `REAL_PROTOCOLS`.
        folder: Folder of the published lists, for WMCA and CASIA-SURF.
        data_root: Folder of the data, in which recordings of CASIA-CeFA are looked for; `folder` if None.
        frames: Frames of each video of CASIA-CeFA, evenly spread; None takes all.

    Returns:
        Training, dev and test.

    Raises:
        KeyError: If there is no such protocol.
        FileNotFoundError: If the lists or the recordings are not there.
    """
    if name not in REAL_PROTOCOLS:
        raise UnknownKeyError(f"there is no protocol '{name}'; known: {', '.join(REAL_PROTOCOLS)}")
    if frames is not None and frames < 1:
        raise InputError(f'frames must be at least 1, got {frames}')
    protocol = REAL_PROTOCOLS[name]
    found = (
        _cefa_samples(Path(data_root or folder), frames) if protocol.domain == 'C' else _listed(folder, protocol)
    )
    parts: dict[str, list[Mapping[str, Any]]] = {part: [] for part in PARTS}
    for facts, record in found:
        if protocol.takes(facts):
            alone = protocol.modality
            parts[facts.part] += [record] if alone is None else _single(record, facts, alone)
    stem = name.partition('_')[2]
    sizes = dict(zip(PARTS, protocol.videos, strict=True))
    return [DerivedPart(f'{protocol.domain}-{stem}-{part}', tuple(of), sizes[part]) for part, of in parts.items()]


def write_parts(parts: Iterable[DerivedPart], out: str | Path) -> list[Path]:
    """Write derived lists.

    Args:
        parts: The lists.
        out: Folder for the CSV files.

    Returns:
        The files.
    """
    paths = []
    for part in parts:
        paths.append(Path(out, f'{part.name}.csv'))
        write_list(paths[-1], part.records)
    return paths


def _listed(folder: str | Path, protocol: RealProtocol) -> Iterator[tuple[Facts, Mapping[str, Any]]]:
    """Yield the samples of the published lists of a data set, each once."""
    for part in PARTS:
        seen = set()
        for record in read_annotations(Path(folder, f'{protocol.domain}-{part}.txt')):
            key = tuple(record['img_paths'].values())
            if key not in seen:
                seen.add(key)
                yield Facts(part, record['pai']), record


def _cefa_samples(root: Path, frames: int | None) -> Iterator[tuple[Facts, Mapping[str, Any]]]:
    """Yield the frames of CASIA-CeFA that have all three pictures."""
    base = root / 'CeFA'
    if not base.is_dir():
        raise MissingFileError(
            f"'{root}' holds no folder CeFA; expected CeFA/CeFA-Race/AF/AF-000/1_000_1_1_1/profile/0001.jpg "
            'there, as `mmfas data convert cefa` writes it; give --data-root'
        )
    for video in _videos(base):
        relative = video.relative_to(root).as_posix()
        facts = _cefa_facts(relative)
        if facts is not None:
            for paths in _frames(video, relative, frames):
                known = vars(parse_provenance(paths['rgb']))
                label = LIVE if facts.pai == 'live' else SPOOF
                yield facts, {'sample_id': paths['rgb'], 'img_paths': paths, 'label': label, **known}


def _videos(base: Path) -> Iterator[Path]:
    """Yield `CeFA/<group>/<race or kind of mask>/<subject>/<recording>`."""
    folders = [base]
    for _ in range(4):
        folders = [entry for folder in folders for entry in visible_entries(folder) if entry.is_dir()]
    yield from folders


def _cefa_facts(relative: str) -> Facts | None:
    """Return part, instrument and ethnicity of a recording; None for what is not one."""
    known = parse_provenance(f'{relative}/profile/0.jpg')
    race = relative.split('/')[2]
    if known.pai in _MASKS:
        return Facts('test', known.pai)
    number = re.search(r'-(\d+)', known.subject)
    if race not in _RACES or number is None or known.pai not in ('live', 'print', 'replay'):
        return None
    person = int(number[1])
    part = 'train' if person < _FIRST_OF_DEV else 'val' if person < _FIRST_OF_TEST else 'test'
    return Facts(part, known.pai, race)


def _frames(video: Path, relative: str, frames: int | None) -> Iterator[dict[str, str]]:
    """Yield the paths of frames that are there in all three modalities."""
    names: dict[str, tuple[str, dict[str, str]]] = {}
    for modality, options in _FOLDERS.items():
        name = next((option for option in options if (video / option).is_dir()), None)
        if name is None:
            return
        files = {entry.stem: entry.name for entry in visible_entries(video / name)}
        names[modality] = (name, files)
    common = sorted(set.intersection(*(set(files) for _, files in names.values())))
    if frames is not None and len(common) > frames:
        common = [common[(2 * i + 1) * len(common) // (2 * frames)] for i in range(frames)]
    for stem in common:
        yield {m: f'{relative}/{folder}/{files[stem]}' for m, (folder, files) in names.items()}


def _single(record: Mapping[str, Any], facts: Facts, modality: str) -> list[Mapping[str, Any]]:
    """Return samples of one picture each, which stands where colour does: for a network of one stream."""
    wanted = [m for m in MODALITIES if m != modality] if facts.part == 'test' else [modality]
    return [
        {**record, 'sample_id': record['img_paths'][m], 'img_paths': {'rgb': record['img_paths'][m]},
         'video': f'{record["video"]}#{m}'}
        for m in wanted
    ]  # fmt: skip
