"""The numbers about the renderer in docs/en/synthfas.md are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmfas.datasets.synthetic import DIALS, DOMAINS, SIZES
from mmfas.datasets.synthetic.materials import MATERIALS, SKIN_TABLE

PAGE = (Path(__file__).parents[2] / 'docs/en/synthfas.md').read_text(encoding='utf-8')


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
    shares = [f'{100 * domain.live_share[0]:g} / {100 * domain.live_share[2]:g}' for domain in domains]
    assert row('live share train / test')[1:] == shares
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


def test_dials() -> None:
    for name in DIALS:
        assert len(row(f'`{name}`')) == 3
