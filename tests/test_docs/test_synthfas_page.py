"""The numbers in docs/en/synthfas.md are those of the code and of the records."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import pytest

from mmfas.evaluation.tables import mean_interval
from mmfas.structures import MODALITIES
from mmfas.synthfas import DOMAINS, PERTURBATIONS, SIZES, SPLITS, Setting, render_dataset
from mmfas.synthfas.files.statistics import join_statistics, linear_probe_auc, read_statistics
from mmfas.synthfas.materials import MATERIALS, SKIN_TABLE
from mmfas.utils.runs import load_records
from projects.synthfas_study.tables import hardness_table, perturbation_table

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / 'docs/en/synthfas.md').read_text(encoding='utf-8')
RECORDS = ROOT / 'projects/synthfas_study/records'
SEEDS = (0, 1, 2)
#: Test domain -> how the run is called that leaves it out.
LEFT_OUT = dict(C='psw2c', P='csw2p', S='cpw2s', W='cps2w')


def row(start: str) -> list[str]:
    """Return the cells of the table row whose first cell starts so."""
    lines = [line for line in PAGE.splitlines() if line.startswith(f'| {start}')]
    assert len(lines) == 1, (start, lines)
    return [cell.strip() for cell in lines[0].strip('|').split('|')]


@pytest.mark.parametrize('name', list(SIZES))
def test_sizes(name: str) -> None:
    size = SIZES[name]
    parts = ' / '.join(f'{frames:,}' for frames in size.frames)
    assert row(f'`{name}` |') == [f'`{name}`', str(size.pixels), parts, f'{4 * sum(size.frames):,}']


def test_domains() -> None:
    domains = list(DOMAINS.values())
    assert row('distance to the head')[1:] == [f'{domain.distance_mm:.0f}' for domain in domains]
    assert row('frames per video')[1:] == [str(domain.frames) for domain in domains]
    fractions = [f'{100 * domain.live_fraction[0]:g} / {100 * domain.live_fraction[2]:g}' for domain in domains]
    assert row('live frames train / test')[1:] == fractions
    assert all(domain.depth.near_bright for domain in domains)
    codes = {'window': 'window', 'inverse': 'inverse', 'robust': 'stretched per frame'}
    assert row('depth code (near is bright)')[1:] == [codes[domain.depth.encoding] for domain in domains]
    for kind, new in zip(row('attacks only in test')[1:], domains):
        names = [{name.partition(':')[0] for name, _ in mix} for mix in (new.train_attacks, new.test_attacks)]
        assert {name for name in kind.split(', ') if name != '-'} == names[1] - names[0]


def test_materials() -> None:
    polymers = row('resin, silicone, plastic')[1]
    for key in 'CPW':
        low, high = DOMAINS[key].polymer_nir
        assert f'{key} {low:.2f} to {high:.2f}' in polymers
    papers = [MATERIALS[name][3] for name in ('paper', 'photo_paper', 'cardboard')]
    assert row('paper')[1].startswith(f'{min(papers):.2f} to {max(papers):.2f}')
    assert row('skin, NIR')[1].startswith(f'{SKIN_TABLE[-1][3]:.2f} to {SKIN_TABLE[0][3]:.2f}')
    assert f'{MATERIALS["screen_glass"][3]:.2f} in NIR' in row('screen')[1]


@pytest.mark.slow
def test_probe_finds_no_shortcut_in_c(tmp_path: Path) -> None:
    # what 1.1.0 fixed; the other domains are as they were
    render_dataset(tmp_path, Setting('small'), domains=('C',))
    lists = {split: read_statistics(tmp_path, 'C', split) for split in SPLITS}
    for name, statistics in {**lists, 'all three': join_statistics([*lists.values()])}.items():
        found = linear_probe_auc(statistics)
        cells = row(f'{name} (')[1:]
        assert float(cells[0]) == pytest.approx(found, abs=0.01)  # another JPEG library writes other sizes
        assert max(map(float, cells)) < 0.75


def test_perturbations() -> None:
    for name in PERTURBATIONS:
        assert len(row(f'`{name}`')) == 3


def left_out(domain: str, kind: str = '') -> list[float]:
    """AUC in percent on a domain that was left out, one for each seed."""
    records = load_records(RECORDS)
    found = [records[f'lodo-{LEFT_OUT[domain]}{kind}_s{seed}.json'] for seed in SEEDS]
    return [100 * record['reports'][domain]['auc']['value'] for record in found]


def paired(domain: str, modality: str) -> list[float]:
    """How far a modality alone stays below all three on a left-out domain, one for each seed."""
    return [a - b for a, b in zip(left_out(domain), left_out(domain, f'_{modality}'), strict=True)]


@pytest.mark.records
@pytest.mark.parametrize('folder', [RECORDS, RECORDS / 'dials_version_1'], ids=lambda path: path.name)
def test_tables_are_made_of_the_records(folder: Path) -> None:
    tables = [perturbation_table(folder)]
    if folder == RECORDS:
        tables += [hardness_table(folder, measure) for measure in ('auc', 'hter')]
    rows = [line for table in tables for line in table.splitlines() if 'not run' not in line]
    assert len(rows) >= 10
    assert not [line for line in rows if line not in PAGE.splitlines()]


@pytest.mark.records
def test_hardness_is_as_asked() -> None:
    within = [load_records(RECORDS)[f'in-domain_s{seed}.json'] for seed in SEEDS]
    for record in within:
        assert record['data']['renderer_version'] == '1.1.0'
        assert mean(report['auc']['value'] for report in record['reports'].values()) > 0.974
    assert 75 < mean(mean(left_out(domain)) for domain in LEFT_OUT) < 93
    below = {m: [d for d in LEFT_OUT if min(paired(d, m)) > 0 and mean(paired(d, m)) > 5] for m in MODALITIES}
    assert below == dict(rgb=['P', 'S', 'W'], depth=['C', 'P', 'W'], ir=['C', 'P', 'S'])
    best = {max(below, key=lambda m: mean(left_out(domain, f'_{m}'))) for domain in LEFT_OUT}
    assert len(best) == 3
    for domain in LEFT_OUT:
        centre, half = mean_interval(left_out(domain, '_random-labels'))
        assert abs(centre - 50) < half


@pytest.mark.records
def test_paired_margins() -> None:
    text = row('the same, with a 95 % interval')[1]
    certain = {}
    for modality in MODALITIES:
        for domain in LEFT_OUT:
            centre, half = mean_interval(paired(domain, modality))
            if half < centre:
                certain.setdefault(modality, []).append(domain)
                cell = f'({centre:.1f} ± {half:.1f}'
                assert f'{domain} {cell}' in text or f'{domain} alone {cell}' in text
    assert certain == dict(rgb=['P', 'S', 'W'], depth=['C', 'P', 'W'], ir=['C'])
