"""Thresholds of the site in records: computed, kept, packed, verified and shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmark_records import CURRENT, add_record

from mmfas.benchmark.packing import pack_records
from mmfas.benchmark.plan import Cell
from mmfas.benchmark.record import Identity, record_content, write_record, write_scores
from mmfas.benchmark.records import RecordError, read_record, read_records
from mmfas.benchmark.report import markdown_report
from mmfas.benchmark.site import site_hter, site_numbers
from mmfas.benchmark.tables import build_tables, choose, values
from mmfas.benchmark.verifying import verify_record
from mmfas.evaluation import ScoreRules, ScoreTable, evaluate_scores

METHOD = 'concat_mini-vit_1xb32-12e_synthfas-cps2w'
RULES = ScoreRules(num_bootstrap=0)


def videos(name: str, num: int, seed: int, *, domain: str = 'W', attacks: int = 0) -> ScoreTable:
    """Scores of videos of two frames, live ones first."""
    rng = np.random.default_rng(seed)
    return ScoreTable.from_records(
        dict(
            sample_id=f'{name}/{video}/{frame}',
            domain=domain,
            video=f'{name}{video}',
            pai='live' if video < num else 'print',
            label=int(video < num),
            score=float(rng.normal(0.7 if video < num else 0.3, 0.2)),
        )
        for video in range(num + attacks)
        for frame in range(2)
    )


TEST = videos('test', 20, 1, attacks=20)
SITES = {'site_val': videos('val', 6, 2), 'site_list': videos('site', 50, 3)}


def test_numbers_are_those_of_the_criterion() -> None:
    found = site_numbers(SITES, TEST, RULES.changed(seed=4))
    assert [(entry['list'], entry['num_videos']) for entry in found['numbers']] == [
        ('val', 3),
        ('val', 5),
        ('site', 20),
        ('site', 50),
    ]
    assert found['left_out'] == []
    for entry, name in zip(found['numbers'], ('site_val', 'site_val', 'site_list', 'site_list')):
        criterion = f'site-{entry["num_videos"]}@bpcer=0.1'
        report = evaluate_scores(TEST, site=SITES[name], criterion=criterion, seed=4, num_bootstrap=0).to_dict()
        assert entry['threshold']['origin'] == f'site ({entry["num_videos"]} live videos)'
        assert all(
            entry[key] == report[key] for key in ('threshold', 'hter', 'bpcer', 'apcer_max', 'apcer_pooled')
        )
    assert site_hter(found, 5) == found['numbers'][1]['hter']['value']


def test_each_target_has_a_threshold_of_its_own() -> None:
    test = ScoreTable.concat([TEST, videos('other', 8, 5, domain='P', attacks=8)])
    sites = {'site_val': ScoreTable.concat([SITES['site_val'], videos('val', 4, 6, domain='P')])}
    found = site_numbers(sites, test, RULES)
    assert [(entry['domain'], entry['num_videos']) for entry in found['numbers']] == [('P', 3), ('W', 3), ('W', 5)]
    assert found['numbers'][1] == site_numbers(SITES, TEST, RULES)['numbers'][0]
    assert [(entry['domain'], entry['num_videos']) for entry in found['left_out']] == [('P', 5)]
    assert 'have 4 live videos' in found['left_out'][0]['reason']
    three = [entry['hter']['value'] for entry in found['numbers'] if entry['num_videos'] == 3]
    assert site_hter(found, 3) == pytest.approx(np.mean(three)) and site_hter(found, 5) is None
    assert site_hter(None, 5) is None


def add_with_site(folder: Path, cell: Cell) -> None:
    """Write a record of the method with numbers of the site."""
    record = add_record(folder, cell, data=CURRENT, test_scores=TEST)
    identity = Identity(METHOD, record.config_hash, record.data, record.select)
    scores = write_scores(folder, identity, cell, **SITES)
    site = site_numbers(SITES, TEST, RULES.changed(seed=cell.seed))
    write_record(folder, replace(record, site=site, scores={**record.scores, **scores}))


def test_records_keep_pack_and_verify_them(tmp_path: Path) -> None:
    cell = Cell(METHOD, 1, 'cps2w', 2)
    add_with_site(tmp_path / 'runs', cell)
    (record,) = read_records(tmp_path / 'runs')
    assert record.site is not None and len(record.site['numbers']) == 4
    assert verify_record(tmp_path / 'runs', record).is_verified
    pack_records(tmp_path / 'runs', tmp_path / 'packs')
    (packed,) = read_records(tmp_path / 'packs')
    assert packed.site == record.site and set(packed.scores) == {'dev', 'test', 'site_val', 'site_list'}
    assert verify_record(tmp_path / 'packs', packed).is_verified
    path = next((tmp_path / 'runs' / METHOD).glob('*.json'))
    content = json.loads(path.read_text())
    content['site']['numbers'][1]['hter']['value'] += 1e-6
    path.write_text(json.dumps(content))
    assert (
        verify_record(tmp_path / 'runs', read_record(path)).problems[0].startswith('site.numbers[1].hter.value: ')
    )
    content['site']['numbers'][1]['num_videos'] = 0
    path.write_text(json.dumps(content))
    with pytest.raises(
        RecordError, match=r'site.numbers\[1\].num_videos must be a whole number, 1 or more, got 0'
    ):
        read_record(path)


def test_records_without_are_written_as_before(tmp_path: Path) -> None:
    record = add_record(tmp_path, Cell(METHOD, 1, 'cps2w', 0))
    assert record.site is None and 'site' not in record_content(record)


def test_columns_appear_where_there_are_numbers(tmp_path: Path) -> None:
    for split in ('cps2w', 'cpw2s', 'csw2p', 'psw2c'):
        add_with_site(tmp_path, Cell(METHOD, 1, split, 0))
    add_record(tmp_path, Cell(METHOD, 3, 'cw2ps', 0), data=CURRENT)
    chosen = choose(read_records(tmp_path))
    overview, details = build_tables(chosen, [1])
    expected = values(chosen, METHOD, 1, ('cps2w',), 'site_hter_5')
    assert expected == [site_hter(site_numbers(SITES, TEST, RULES), 5)]
    column = overview.header.index('mean HTER, site (5 live videos)')
    assert overview.rows[0][column] == f'{100 * expected[0]:.2f}'
    assert all(len(row) == len(table.header) for table in (overview, details) for row in table.rows)
    assert [name for name in details.header if 'site' in name] == [
        f'HTER, site ({number} live videos)' for number in (3, 5, 20, 50)
    ]
    assert not [name for table in build_tables(chosen, [3]) for name in table.header if 'site' in name]
    assert 'site (k live videos): the threshold was set on k live videos' in markdown_report(chosen, [1])
