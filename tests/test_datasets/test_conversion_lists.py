"""What the converters take from the published lists: every recording is told from all others."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmfas.datasets.conversion import casia_surf, cefa, read_needed

from .data_files import CPSW_ARCHIVES, CPSW_IMAGES, write_cpsw_lists
from .test_protocols import LISTS, needs_lists

#: Letter -> different files and recordings of the three published lists, as on the page about the data sets.
PUBLISHED = {'C': (41805, 5655), 'P': (2029, 2029), 'S': (62655, 6987), 'W': (15111, 1679)}


@pytest.mark.parametrize('letter', PUBLISHED)
def test_repeats_count_once(letter: str, tmp_path: Path) -> None:
    write_cpsw_lists(tmp_path)
    needed = read_needed(tmp_path, letter)
    lines = {**CPSW_IMAGES, **CPSW_ARCHIVES}
    assert needed.lines == {name: len(lines[name]) for name in lines if name.startswith(letter)}
    listed = (line[0] for name in lines if name.startswith(letter) for line in lines[name])
    recordings = {name.removesuffix('.npz') for name in listed}
    assert [recording.name for recording in needed.recordings] == sorted(recordings)
    names = [target.path for recording in needed.recordings for target in recording.targets]
    assert len(names) == len(set(names)) == len(recordings) * (1 if letter == 'P' else 3)


@needs_lists
@pytest.mark.parametrize('letter', PUBLISHED)
def test_published_lists_name_so_many_files(letter: str) -> None:
    needed = read_needed(LISTS, letter)
    names = {target.path for recording in needed.recordings for target in recording.targets}
    assert (len(names), len(needed.recordings)) == PUBLISHED[letter]
    page = (Path(__file__).parents[2] / 'docs' / 'en' / 'datasets.md').read_text(encoding='utf-8')
    assert f'{PUBLISHED[letter][0]:,} of {letter}' in page


@needs_lists
def test_keys_of_published_recordings_are_their_own() -> None:
    for letter, key_of_name, length in (('C', cefa._key_of_name, 3), ('S', casia_surf._key_of_name, 4)):
        keys = [key_of_name(recording.name) for recording in read_needed(LISTS, letter).recordings]
        assert len(set(keys)) == len(keys) == PUBLISHED[letter][1]
        assert {len(key) for key in keys} == {length}
    frames = {t.stem for recording in read_needed(LISTS, 'W').recordings for t in recording.targets}
    assert all(stem.isdecimal() and len(stem) == 4 for stem in frames)
