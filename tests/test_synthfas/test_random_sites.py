"""Random sites: none is a domain of the benchmark, nobody on them is in it, and labels are in two lists alone."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmfas.cli.data.sites import main
from mmfas.synthfas import DOMAINS, SPLITS, Domain, Setting, Sites, plan_split, render_dataset, render_sites
from mmfas.synthfas.files.layout import frame_files, subject_key, video_key
from mmfas.synthfas.plan.domain import LISTS
from mmfas.synthfas.plan.plan import generator, plan_site, subject_of
from mmfas.synthfas.plan.sites import SITE_KINDS, SITES_VERSION, draw_site, is_site, site_key

TINY = Sites(Setting('tiny', 3), num_train=2, num_heldout=2, frames=6)
#: What sites of seed 0 are, by version of their ranges.
FROZEN = {1: '0f658896d1e7ad31'}


def numbers_in(value: Any, place: str = '') -> Iterator[tuple[str, float]]:
    """Yield every number of a record that is drawn from a range, with its place; not counts, names and zeros."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers_in(inner, f'{place}.{key}')
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from numbers_in(inner, f'{place}[{number}]')
    elif isinstance(value, float) and value:
        yield place, value


def sites(seed: int, count: int) -> list[Domain]:
    return [draw_site(seed, site_key(kind, number)) for kind in SITE_KINDS for number in range(count)]


def test_sites_are_those_of_the_frozen_version() -> None:
    # Six digits: the last ones of a logarithm are the machine's own.
    drawn = [(site.key, site.train_attacks[0][0], *numbers_in(asdict(site))) for site in sites(0, 20)]
    text = '\n'.join(' '.join(f'{v[1]:.6g}' if isinstance(v, tuple) else v for v in row) for row in drawn)
    text += ''.join(str(plan) for plan in plan_site(Setting('small'), 'site0003', 60))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == FROZEN[SITES_VERSION], 'raise SITES_VERSION'


@pytest.mark.parametrize('domain', DOMAINS.values(), ids=lambda domain: domain.key)
def test_no_site_equals_or_copies_a_domain(domain: Domain) -> None:
    known = dict(numbers_in(asdict(domain)))
    for site in sites(0, 400):
        own = dict(numbers_in(asdict(site)))
        shared = [place for place in known if place in own]
        assert len(shared) > 50
        assert not [place for place in shared if own[place] == known[place]], site.key
        close = [place for place in shared if abs(own[place] / known[place] - 1) < 0.05]
        assert len(close) < 0.4 * len(shared), (site.key, close)
        assert dict(site.train_attacks) != dict(domain.train_attacks)


def test_sites_differ_from_each_other_and_cover_what_a_site_can_be() -> None:
    found = sites(0, 200)
    assert len({str(asdict(site) | {'key': ''}) for site in found}) == len(found)
    assert 0.15 < np.mean([site.background_removed for site in found]) < 0.35
    assert {site.depth.encoding for site in found} == {'window', 'robust', 'inverse'}
    assert {site.depth.kind for site in found} == {'triangulation', 'tof'}
    assert {site.depth.near_bright for site in found} == {True, False}
    instruments = {name.partition(':')[0] for site in found for name, _ in site.train_attacks}
    assert instruments >= {'print', 'replay', 'mask3d', 'silicone', 'fakehead'} and 'prosthetic' not in instruments
    assert draw_site(0, 'site0001') != draw_site(1, 'site0001') != draw_site(1, 'heldout0001')


def test_people_and_streams_are_those_of_no_benchmark_folder() -> None:
    first = {*range(len(DOMAINS))}
    assert not first & set(SITE_KINDS.values()) and not [key for key in DOMAINS if is_site(key)]
    for seed in (0, 1):
        setting = Setting('small', seed)
        draws, people, keys, videos = set(), [], set(), set()
        for key in ('site0000', 'site0001', 'heldout0000'):
            draws |= {generator(setting, key, 'train', name, 0).random() for name in ('subject', 'video', 'file')}
            plans = plan_site(setting, key, 12)
            people += [subject_of(setting, plan, plan.subject) for plan in plans]
            keys |= {subject_key(setting, plan) for plan in plans}
            videos |= {video_key(setting, plan) for plan in plans}
        assert len(draws) == 9 and len(videos) == 36
        for other in (Setting('small', other) for other in (0, 1, 4, 5)):
            streams = ('subject', 'video', 'file')
            taken = {generator(other, d, s, n, 0).random() for d in DOMAINS for s in LISTS for n in streams}
            assert not draws & taken
            plans = [plan for d in DOMAINS for s in SPLITS for plan in plan_split(other, d, s)]
            assert not keys & {subject_key(other, plan) for plan in plans}
            strangers = {subject_of(other, plan, plan.subject).texture_seed for plan in plans[::40]}
            assert not strangers & {person.texture_seed for person in people}


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('sites')
    render_sites(root, TINY)
    return root


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / 'protocols' / name).read_text().splitlines()))


def test_lists_to_pretrain_on_hold_no_label(folder: Path) -> None:
    for name, kind, count in (('pretrain.csv', 'site', 12), ('heldout.csv', 'heldout', 12)):
        found = rows(folder, name)
        assert len(found) == count and set(found[0]) == {'sample_id', 'rgb', 'depth', 'ir', 'domain'}
        assert {row['domain'] for row in found} == {f'{kind}0000', f'{kind}0001'}
        assert all((folder / row[m]).is_file() for row in found for m in ('rgb', 'depth', 'ir'))
        assert found == sorted(found, key=lambda row: row['sample_id'])


def test_labels_of_heldout_sites_are_in_two_halves(folder: Path) -> None:
    fit, test = rows(folder, 'heldout-fit.csv'), rows(folder, 'heldout-test.csv')
    assert {row['domain'] for row in fit} == {'heldout0000'} and {row['domain'] for row in test} == {'heldout0001'}
    for row in (*fit, *test):
        assert (row['label'] == '1') == (row['pai'] == 'live')
    assert {row['label'] for row in fit} == {row['label'] for row in test} == {'0', '1'}
    plain = {row['sample_id'] for row in rows(folder, 'heldout.csv')}
    assert {row['sample_id'] for row in (*fit, *test)} == plain


def test_names_and_their_order_do_not_tell_what_is_presented() -> None:
    setting = Setting('small')
    plans = plan_site(setting, 'site0002', 200)
    by_name = sorted(plans, key=lambda plan: frame_files(setting, plan, 0).rgb)
    labels = np.array([plan.label for plan in by_name])
    half = len(labels) // 2
    assert abs(labels[:half].mean() - labels[half:].mean()) < 0.15
    assert not [plan for plan in plans if plan.pai in frame_files(setting, plan, 0).rgb]


def test_a_second_run_keeps_all_and_more_sites_may_come(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ['--size', 'tiny', '--seed', '3', '--heldout', '2', '--frames', '6', '--num-processes', '1']
    assert main([str(folder), '--sites', '2', *words, '--verify']) == 0
    assert '(0 rendered, 4 found complete)' in capsys.readouterr().out
    before = {path: path.read_bytes() for path in folder.rglob('*.jpg')}
    assert main([str(folder), '--sites', '3', *words]) == 0
    assert '(1 rendered, 4 found complete)' in capsys.readouterr().out
    assert all(path.read_bytes() == content for path, content in before.items())
    assert len(rows(folder, 'pretrain.csv')) == 18
    assert main([str(folder), '--sites', '2', *words]) == 0


def test_sites_and_domains_share_no_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=r'sites_version = 1, this run has None; give another folder'):
        render_dataset(folder, Setting('tiny', 3), domains=('S',), splits=('val',))
    render_dataset(tmp_path, Setting('tiny', 3), domains=('S',), splits=('val',))
    with pytest.raises(ValueError, match=r'sites_version = None, this run has 1; give another folder'):
        render_sites(tmp_path, TINY)
    assert main([str(folder), '--sites', '2', '--heldout', '3', '--size', 'tiny']) == 2
    assert 'an even number of held-out sites, at least 2, got 2 and 3' in capsys.readouterr().err
