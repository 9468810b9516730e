"""Rendered folders: layout, determinism, resuming, refusals."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mmfas.synthfas import (
    DOMAINS,
    PERTURBATIONS,
    RENDERER_VERSIONS,
    SPLITS,
    Setting,
    Stress,
    parse_stress,
    plan_split,
    render_dataset,
)
from mmfas.synthfas.files import manifest as manifest_module
from mmfas.synthfas.files import writer as writer_module
from mmfas.synthfas.files.layout import sample_id, subject_key, video_key
from mmfas.synthfas.files.writer import RECORD_COLUMNS, plan_chunks

TINY = Setting('tiny', 3)


def contents(root: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob('*')) if path.is_file()}


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set of one seed; tests that change it make their own."""
    root = tmp_path_factory.mktemp('synthfas') / 'tiny'
    render_dataset(root, TINY)
    return root


def test_layout_and_lists(folder: Path) -> None:
    for domain in DOMAINS:
        for split in SPLITS:
            text = (folder / f'protocols/{domain}-{split}.txt').read_bytes().decode()
            assert text.endswith('\n') == (domain == 'P')
            assert ('\r\n' in text) == (domain != 'P')
            lines = text.split()
            for line in text.splitlines():
                *paths, label = line.split('\t') if domain == 'P' else line.split(' ')
                assert label in ('0', '1')
                assert len(paths) == (1 if domain == 'P' else 3)
                assert all((folder / ('PADISI' if domain == 'P' else '') / path).is_file() for path in paths)
            assert lines


def test_pictures_have_the_size_and_kind_of_their_modality(folder: Path) -> None:
    for domain in 'CSW':
        line = (folder / f'protocols/{domain}-test.txt').read_text().splitlines()[0]
        rgb, depth, ir = (cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED) for name in line.split()[:3])
        assert rgb.shape == (48, 48, 3)
        assert depth.shape == ir.shape == (48, 48)


def test_npz_has_the_channels_of_padisi(folder: Path) -> None:
    name = (folder / 'protocols/P-test.txt').read_text().split()[0]
    with np.load(folder / 'PADISI' / name) as archive:
        data = archive['data']
    assert data.shape == (1, 22, 48, 48)
    assert data.min() >= 0
    assert data.max() <= 1
    assert all(data[0, channel].std() > 0.01 for channel in range(5))
    assert not data[0, 5:].any()


def test_records_join_every_list(folder: Path) -> None:
    with open(folder / 'protocols/records.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == RECORD_COLUMNS
    known = {row['sample_id']: row for row in rows}
    assert len(known) == len(rows) == 4 * (21 + 12 + 21)
    for domain in DOMAINS:
        for line in (folder / f'protocols/{domain}-test.txt').read_text().splitlines():
            row = known[line.split()[0]]
            assert (row['domain'], row['split'], row['label']) == (domain, 'test', line.split()[-1])
            assert (row['pai'] == 'live') == (row['label'] == '1')
    subjects: dict[str, str] = {}
    for domain in DOMAINS:
        for split in SPLITS:
            for plan in plan_split(TINY, domain, split):
                row = known[sample_id(TINY, plan, 0)]
                said = (row['subject'], row['video'], row['pai'])
                assert said == (subject_key(TINY, plan), video_key(TINY, plan), plan.pai)
                assert subjects.setdefault(row['subject'], f'{domain} {split}') == f'{domain} {split}'


def test_same_seed_same_bytes_in_one_or_two_processes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, '_MIN_CHUNKS_FOR_POOL', 2)
    render_dataset(tmp_path / 'again', TINY, domains=('C',), splits=('val',), num_processes=1)
    render_dataset(tmp_path / 'pool', TINY, domains=('P', 'W'), splits=('val',), num_processes=2)
    expected = contents(folder)
    for root in ('again', 'pool'):
        for name, data in contents(tmp_path / root).items():
            if name not in ('manifest.json', 'protocols/records.csv'):
                assert data == expected[name], name
        chunks = json.loads((tmp_path / root / 'manifest.json').read_text())['chunks']
        assert chunks == {name: json.loads(expected['manifest.json'])['chunks'][name] for name in chunks}


def test_another_seed_gives_other_pictures(folder: Path, tmp_path: Path) -> None:
    render_dataset(tmp_path / 'other', Setting('tiny', 4), domains=('S',), splits=('val',))
    name = 'CASIA-SURF-CROP/real_part/real_val_part/CLKJ_AS1000/real.rssdk/color/41.jpg'
    assert (tmp_path / 'other' / name).read_bytes() != (folder / name).read_bytes()


def test_perturbations_of_strength_zero_are_the_clean_data(tmp_path: Path, folder: Path) -> None:
    zero = parse_stress([f'{name}=0.0' for name in PERTURBATIONS])
    report = render_dataset(tmp_path, Setting('tiny', 3, zero), domains=('W',), splits=('val',))
    assert report.num_frames == 12
    expected = contents(folder)
    for name, data in contents(tmp_path).items():
        if name not in ('manifest.json', 'protocols/records.csv'):
            assert data == expected[name], name
    header, clean = (json.loads((root / 'manifest.json').read_text()) for root in (tmp_path, folder))
    chunks = header.pop('chunks')
    assert header == {key: value for key, value in clean.items() if key != 'chunks'}
    assert chunks == {name: clean['chunks'][name] for name in chunks}


def test_resume_renders_only_what_is_missing(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {'domains': ('C',), 'splits': ('train', 'val')}
    first = render_dataset(tmp_path, TINY, **arguments)
    assert (first.num_kept, first.num_rendered) == (0, 2)
    before = contents(tmp_path)
    second = render_dataset(tmp_path, TINY, **arguments, verify=True)
    assert (second.num_kept, second.num_rendered) == (2, 0)
    missing = next(path for path in tmp_path.rglob('*.jpg') if 'AF-200' in str(path))
    missing.unlink()
    half = missing.with_name('0051.jpg.partial')
    half.write_bytes(b'half a picture')
    third = render_dataset(tmp_path, TINY, **arguments)
    assert (third.num_kept, third.num_rendered) == (1, 1)
    assert not half.exists()
    assert contents(tmp_path) == before


def test_an_interrupted_run_is_finished(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, '_VIDEOS_PER_CHUNK', 2)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_dataset(tmp_path, TINY, domains=('C',), splits=('test', 'val'), progress=stop)
    kept = json.loads((tmp_path / 'manifest.json').read_text())['chunks']
    assert list(kept) == ['C-test-0000']
    render_dataset(tmp_path, TINY, domains=('W',), splits=('val',))
    # Half of C's test list is there: no list says that it is whole.
    assert {path.name for path in (tmp_path / 'protocols').glob('*.txt')} == {'W-val.txt'}
    report = render_dataset(tmp_path, TINY, domains=('C',), splits=('test', 'val'))
    assert report.num_frames == 33
    assert report.num_kept == 1
    expected = contents(folder)
    for name, data in contents(tmp_path).items():
        if name not in ('manifest.json', 'protocols/records.csv'):
            assert data == expected[name], name
    assert (tmp_path / 'protocols/C-test.txt').is_file()


def test_verify_notices_a_changed_picture(tmp_path: Path) -> None:
    render_dataset(tmp_path, TINY, domains=('P',), splits=('val',))
    path = next((tmp_path / 'PADISI').glob('*.npz'))
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b'\xff')
    assert render_dataset(tmp_path, TINY, domains=('P',), splits=('val',)).num_rendered == 0
    assert render_dataset(tmp_path, TINY, domains=('P',), splits=('val',), verify=True).num_rendered > 0
    assert path.read_bytes() == good


def test_a_chunk_that_comes_out_otherwise_is_refused(tmp_path: Path) -> None:
    render_dataset(tmp_path, TINY, domains=('W',), splits=('val',))
    manifest = json.loads((tmp_path / 'manifest.json').read_text())
    manifest['chunks']['W-val-0000']['sha256'] = 64 * '0'  # as another OpenCV would have left it
    (tmp_path / 'manifest.json').write_text(json.dumps(manifest))
    next(tmp_path.rglob('*.jpg')).unlink()
    with pytest.raises(ValueError, match='chunk W-val-0000 was rendered again and differs from the manifest'):
        render_dataset(tmp_path, TINY, domains=('W',), splits=('val',))


def test_data_of_another_renderer_are_refused(tmp_path: Path) -> None:
    earlier, newest = RENDERER_VERSIONS[0], RENDERER_VERSIONS[-1]
    render_dataset(tmp_path, replace(TINY, renderer=earlier), domains=('W',), splits=('val',))
    assert json.loads((tmp_path / 'manifest.json').read_text())['renderer_version'] == earlier
    message = f"renderer_version = '{earlier}', this run has '{newest}'; give another folder, or delete"
    with pytest.raises(ValueError, match=message):
        render_dataset(tmp_path, TINY, domains=('W',), splits=('val',))
    (tmp_path / 'manifest.json').write_text('{"renderer_version": "99.0.0", "chunks": {}}')
    with pytest.raises(ValueError, match="renderer_version = '99.0.0', this run has"):
        render_dataset(tmp_path, TINY, domains=('W',), splits=('val',))


def test_parts_added_one_by_one_make_the_whole(tmp_path: Path, folder: Path) -> None:
    for domain, split in (('W', 'val'), ('C', 'test')):
        render_dataset(tmp_path, TINY, domains=(domain,), splits=(split,))
    report = render_dataset(tmp_path, TINY, domains=('C', 'W'), splits=('val', 'test'))
    assert (report.num_frames, report.num_kept) == (66, 2)
    expected = contents(folder)
    for name, data in contents(tmp_path).items():
        if name not in ('manifest.json', 'protocols/records.csv'):
            assert data == expected[name], name
    assert {path.name for path in (tmp_path / 'protocols').glob('*.txt')} == {
        f'{domain}-{split}.txt' for domain in 'CW' for split in ('val', 'test')
    }


def test_domains_can_be_added_later(tmp_path: Path) -> None:
    render_dataset(tmp_path, TINY, domains=('W',), splits=('val',))
    render_dataset(tmp_path, TINY, domains=('C',), splits=('val',))
    assert len((tmp_path / 'protocols/records.csv').read_text().splitlines()) == 1 + 24
    manifest = json.loads((tmp_path / 'manifest.json').read_text())
    assert {name.rpartition('-')[0] for name in manifest['chunks']} == {'C-val', 'W-val'}


@pytest.mark.parametrize(
    ('other', 'text'),
    [
        (Setting('tiny', 5), 'seed = 3, this run has 5; give another folder, or delete this one'),
        (Setting('small', 3), "size = 'tiny', this run has 'small'"),
        (Setting('tiny', 3, Stress(blur=0.5)), "stress = {}, this run has {'blur': 0.5}"),
    ],
)
def test_another_setting_in_the_folder_is_refused(folder: Path, other: Setting, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        render_dataset(folder, other)


def test_foreign_folders_and_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / 'thesis.txt').write_text('dear')
    with pytest.raises(ValueError, match='is not empty and has no manifest.json; give an empty or a new folder'):
        render_dataset(tmp_path, TINY)
    with pytest.raises(ValueError, match="unknown domain 'X'; choose from C, P, S, W"):
        render_dataset(tmp_path / 'new', TINY, domains=('X',))
    with pytest.raises(ValueError, match="unknown split 'dev'; choose from train, val, test"):
        render_dataset(tmp_path / 'new', TINY, splits=('dev',))
    with pytest.raises(ValueError, match='domains are there twice: C C; name each once'):
        render_dataset(tmp_path / 'new', TINY, domains=('C', 'C'))


@pytest.mark.parametrize('name', ['manifest.json.partial', '.manifest.json.00000000-1-0123abcd.part', '.lock'])
def test_a_run_killed_before_its_first_manifest_is_begun_again(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b'{')
    os.utime(tmp_path / name, (0, 0))
    assert render_dataset(tmp_path, TINY, domains=('W',), splits=('val',)).num_rendered == 1
    assert not (tmp_path / name).exists()
    assert (tmp_path / 'manifest.json').is_file()


def test_leftovers_among_other_files_stay(tmp_path: Path) -> None:
    for name in ('thesis.txt', 'thesis.txt.partial'):
        (tmp_path / name).write_text('dear')
    with pytest.raises(ValueError, match='is not empty and has no manifest.json'):
        render_dataset(tmp_path, TINY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['thesis.txt', 'thesis.txt.partial']


@pytest.mark.parametrize('text', ['{', '[]', '{"chunks": {"C-val-0000": {"size": 1}}}'])
def test_a_broken_manifest_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / 'manifest.json').write_text(text)
    with pytest.raises(ValueError, match=r'manifest\.json is broken .*; delete the folder and render it again'):
        render_dataset(tmp_path, TINY)


def test_data_of_another_version_of_the_perturbations_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    perturbed = Setting('tiny', 3, Stress(blur=0.5))
    render_dataset(tmp_path, perturbed, domains=('W',), splits=('val',))
    monkeypatch.setattr(manifest_module, 'PERTURBATIONS_VERSION', 99)
    with pytest.raises(ValueError, match='dials_version = 2, this run has 99'):
        render_dataset(tmp_path, perturbed, domains=('W',), splits=('val',))


def test_chunks_hold_every_video_once() -> None:
    chunks = plan_chunks(TINY, tuple(DOMAINS), SPLITS)
    videos = [(plan.domain, plan.split, plan.index) for chunk in chunks for plan in chunk.plans]
    planned = [(d, s, plan.index) for d in DOMAINS for s in SPLITS for plan in plan_split(TINY, d, s)]
    assert videos == planned
