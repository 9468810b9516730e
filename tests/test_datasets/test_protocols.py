"""Grammars of the published lists; the lists themselves are read where they are at hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mmfas.datasets import MultiModalFaceDataset, parse_provenance

LISTS = Path(__file__).parents[3] / 'shared' / 'data' / 'mmdg_protocols'
needs_lists = pytest.mark.skipif(not LISTS.is_dir(), reason='the published lists are not at hand')

#: list -> samples, live, spoof, videos
COUNTS = {
    'C-train': (4800, 1200, 3600, 1600),
    'C-val': (2401, 601, 1800, 801),
    'C-test': (6739, 1200, 5539, 3255),
    'P-train': (1090, 597, 493, 1090),
    'P-val': (272, 145, 127, 272),
    'P-test': (667, 363, 304, 667),
    'S-train': (6297, 900, 5397, 2099),
    'S-val': (2100, 300, 1800, 700),
    'S-test': (12564, 1800, 10764, 4188),
    'W-train': (1695, 372, 1323, 565),
    'W-val': (1671, 324, 1347, 557),
    'W-test': (1671, 345, 1326, 557),
}


def read(*names: str, **kwargs: object) -> list[dict]:
    """Read published lists without touching images."""
    dataset = MultiModalFaceDataset([str(LISTS / f'{name}.txt') for name in names], **kwargs)
    return [dataset.get_data_info(index) for index in range(len(dataset))]


@pytest.mark.parametrize(
    ('path', 'expected'),
    [
        ('CeFA/CeFA-Race/AF/AF-300/1_300_1_1_1/profile/0026.jpg', ('C', 'AF-300', 'live')),
        ('CeFA/CeFA-Race/CA/CA-199/2_199_3_2_2/profile/0015.jpg', ('C', 'CA-199', 'print')),
        ('CeFA/CeFA-Race/CA/CA-199/2_199_3_1_4/profile/0015.jpg', ('C', 'CA-199', 'replay')),
        ('CeFA/CeFA-Mask/3D-Mask/010/1_010_1_1_2_1_3/profile/0026.jpg', ('C', '3D-Mask-010', 'mask3d')),
        (
            'CeFA/CeFA-Mask/Silicone-Mask/008/2_008_1_1_2_1_4/profile/0076.jpg',
            ('C', 'Silicone-Mask-008', 'silicone'),
        ),
        (
            'CASIA-SURF-CROP/real_part/real_test_part/CLKJ_AS0002/real.rssdk/color/121.jpg',
            ('S', 'CLKJ_AS0002', 'live'),
        ),
        (
            'CASIA-SURF-CROP/fake_part/fake_test_part/CLKJ_CS0117/06_enm_b.rssdk/color/41.jpg',
            ('S', 'CLKJ_CS0117', 'papermask'),
        ),
        ('WMCA-Image/R_CDIT/001_01_000_0_00/color/0012.jpg', ('W', '001', 'live')),
        ('WMCA-Image/R_CDIT/001_01_000_3_05/color/0012.jpg', ('W', '001', 'replay')),
        ('zd6c8787.npz', ('P', 'unknown', 'unknown')),
        ('mine/0001.png', ('unknown', 'unknown', 'unknown')),
        ('WMCA-Image/odd.jpg', ('W', 'unknown', 'unknown')),
        ('CeFA/odd.jpg', ('C', 'unknown', 'unknown')),
        ('CASIA-SURF-CROP/odd.jpg', ('S', 'unknown', 'unknown')),
    ],
)
def test_provenance(path: str, expected: tuple[str, str, str]) -> None:
    found = parse_provenance(path)
    assert (found.domain, found.subject, found.pai) == expected


@needs_lists
@pytest.mark.parametrize('name', COUNTS)
def test_published_list(name: str) -> None:
    infos = read(name)
    live = sum(info['gt_label'] for info in infos)
    videos = len({info['video'] for info in infos})
    assert (len(infos), live, len(infos) - live, videos) == COUNTS[name]
    assert {info['domain'] for info in infos} == {name[0]}
    assert len({info['sample_id'] for info in infos}) == len(infos)
    assert all((info['pai'] == 'live') == (info['gt_label'] == 1) for info in infos)


@needs_lists
def test_repeated_lines_of_surf_get_their_line_number() -> None:
    infos = read('S-test')
    repeats = [info for info in infos if '#' in info['sample_id']]
    assert len(repeats) == 2 * 28  # 28 one-frame videos stand there three times
    for info in repeats:
        assert info['sample_id'].endswith('#' + info['source_line'].partition(':')[2])


@needs_lists
def test_wmca_instruments_are_those_of_the_paper() -> None:
    videos = {info['video']: info['pai'] for info in read('W-train', 'W-val', 'W-test')}
    assert Counter(videos.values()) == {
        'live': 347,
        'glasses': 75,
        'fakehead': 122,
        'print': 200,
        'replay': 348,
        'mask3d': 137,
        'silicone': 379,
        'papermask': 71,
    }


@needs_lists
@pytest.mark.parametrize('domain', 'CSW')
def test_subjects_of_the_splits_are_disjoint(domain: str) -> None:
    train, test = ({i['subject'] for i in read(f'{domain}-{split}')} for split in ('train', 'test'))
    assert train and test and not train & test


@needs_lists
def test_wrong_polarity_of_a_published_list_is_noticed() -> None:
    with pytest.raises(ValueError, match=r'C-train\.txt:1: label 1 with live_label=0 means spoof'):
        read('C-train', live_label=0)
