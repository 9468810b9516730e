"""Lists of live videos alone: other people than any split has, and nothing else changes by them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mmfas.datasets import MultiModalFaceDataset
from mmfas.synthfas import DOMAINS, SPLITS, Setting, plan_split, render_dataset
from mmfas.synthfas.files.layout import subject_key, video_key
from mmfas.synthfas.plan.plan import SIZES, generator, subject_of

TINY = Setting('tiny', 3)


@pytest.mark.parametrize('size', ['small', 'full'])
@pytest.mark.parametrize('domain', DOMAINS)
def test_fifty_live_videos_of_people_that_no_split_has(domain: str, size: str) -> None:
    setting = Setting(size)
    plans = plan_split(setting, domain, 'site')
    assert len(plans) == SIZES[size].site_videos == 50
    assert {plan.pai for plan in plans} == {'live'} and {plan.num_frames for plan in plans} == {
        setting.domain(domain).frames
    }
    others = [plan for split in SPLITS for plan in plan_split(setting, domain, split)]
    for key in (subject_key, video_key):
        own = {key(setting, plan) for plan in plans}
        assert not own & {key(setting, plan) for plan in others}
    assert len({video_key(setting, plan) for plan in plans}) == 50
    people = [subject_of(setting, plan, plan.subject) for plan in plans[:4]]
    strangers = [subject_of(setting, plan, plan.subject) for plan in others[:200]]
    assert all(person != stranger for person in people for stranger in strangers)


def test_streams_of_the_splits_are_as_they_were() -> None:
    draws = [generator(TINY, 'W', split, 'video', 1).random() for split in (*SPLITS, 'site')]
    assert len(set(draws)) == 4
    import numpy as np

    for place, (split, draw) in enumerate(zip(SPLITS, draws)):
        sequence = np.random.SeedSequence([3, 3, place, 1, 1])
        assert draw == np.random.Generator(np.random.SFC64(sequence)).random(), split


def test_a_site_list_joins_a_folder_and_leaves_the_rest_as_it_is(tmp_path: Path) -> None:
    render_dataset(tmp_path, TINY, domains=('W',), splits=('val',))
    before = {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
    render_dataset(tmp_path, TINY, domains=('W', 'P'), splits=('site',))
    changed = {path.name for path, content in before.items() if path.read_bytes() != content}
    assert changed == {'records.csv', 'manifest.json'}
    old = before[tmp_path / 'protocols' / 'records.csv'].decode().splitlines()
    rows = (tmp_path / 'protocols' / 'records.csv').read_text().splitlines()
    assert set(old) < set(rows)
    found = [row for row in csv.DictReader(rows) if row['split'] == 'site']
    assert {(row['domain'], row['pai']) for row in found} == {('W', 'live'), ('P', 'live')}
    for domain, frames in (('W', 18), ('P', 6)):
        dataset = MultiModalFaceDataset(
            ann_file=f'protocols/{domain}-site.txt', data_root=str(tmp_path), meta_file='protocols/records.csv'
        )
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        assert len(infos) == frames and {info['gt_label'] for info in infos} == {1}
        assert len({info['video'] for info in infos}) == 6
