"""Protocols of single real sets: who is where, counts of the publications, lists that can be read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mmfas.cli.data.protocols import main
from mmfas.datasets import MultiModalFaceDataset
from mmfas.datasets.real_protocols import REAL_PROTOCOLS, WMCA_ATTACKS, WMCA_VIDEOS, derive
from mmfas.utils.errors import InputError, MissingFileError, UnknownKeyError

PUBLISHED = Path(__file__).resolve().parents[3] / 'shared' / 'data' / 'mmdg_protocols'
needs_lists = pytest.mark.skipif(not PUBLISHED.is_dir(), reason='the published lists are not here')
#: Videos of WMCA by attack, from table III of its paper.
WMCA_PAPER = {
    'live': 347, 'glasses': 75, 'fakehead': 122, 'print': 200,
    'replay': 348, 'mask3d': 137, 'silicone': 379, 'papermask': 71,
}  # fmt: skip


@pytest.fixture(scope='module')
def cefa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Empty files in the layout of CASIA-CeFA: one person per part and ethnicity, two masks; frame 3 lacks ir."""
    root = tmp_path_factory.mktemp('cefa')
    videos = [
        f'CeFA-Race/{race}/{race}-{person}/1_{person[:3]}_1_{session}_{pai}'
        for race in ('AF', 'CA', 'EA')
        for person in ('007', '250', '300-198006250024')
        for session, pai in ((1, 1), (1, 2), (2, 2), (1, 4))
    ]
    videos += ['CeFA-Mask/3D-Mask/002/1_002_1_1_2_1_3', 'CeFA-Mask/Silicone-Mask/001/2_001_1_1_2_1_3']
    for video in videos:
        for modality in ('profile' if 'AF' in video else 'color', 'depth', 'ir'):
            folder = root / 'CeFA' / video / modality
            folder.mkdir(parents=True)
            for frame in range(1, 4 - (modality == 'ir')):
                (folder / f'{frame:04d}.jpg').touch()
    return root


def test_tables_of_wmca_are_those_of_its_paper() -> None:
    total = Counter()
    for part in WMCA_VIDEOS.values():
        total.update(part)
    assert total == WMCA_PAPER and sum(total.values()) == 1679
    assert len([name for name in REAL_PROTOCOLS if name.startswith('wmca_loo_')]) == 7


@needs_lists
@pytest.mark.parametrize('name', [name for name in REAL_PROTOCOLS if name.startswith(('wmca', 'surf'))])
def test_lists_have_the_published_numbers_of_videos(name: str) -> None:
    train, dev, test = derive(name, PUBLISHED)
    assert [sum(part.videos.values()) for part in (train, dev, test)] == list(REAL_PROTOCOLS[name].videos)
    if name.startswith('wmca_loo_'):
        unseen = WMCA_ATTACKS[name.removeprefix('wmca_loo_')]
        assert set(test.videos) == {'live', unseen}
        assert unseen not in train.videos and unseen not in dev.videos
        assert test.videos[unseen] == WMCA_VIDEOS['test'][unseen] and test.videos['live'] == 115
    if name == 'wmca_unknown_2d':
        assert set(test.videos) == {'live', 'print', 'replay'} and not {'print', 'replay'} & set(train.videos)
    if name == 'wmca_unknown_3d':
        assert set(train.videos) == {'live', 'print', 'replay'}
        assert set(test.videos) == {'live', *WMCA_VIDEOS['test']} - {'print', 'replay'}
    everyone = [{record['subject'] for record in part.records if record['label']} for part in (train, dev, test)]
    assert not everyone[0] & everyone[1] and not everyone[1] & everyone[2] and not everyone[0] & everyone[2]


@needs_lists
def test_persons_of_casia_surf_are_those_of_its_paper() -> None:
    """300, 100 and 600 persons with a live recording and six attacks each; the lists lack 1 and 12 recordings."""
    for part, persons, lacking in zip(derive('surf_intra', PUBLISHED), (300, 100, 600), (1, 0, 12)):
        assert len({record['subject'] for record in part.records}) == persons
        assert sum(part.videos.values()) == 7 * persons - lacking
    sizes = dict(zip(('train', 'val', 'test'), REAL_PROTOCOLS['surf_intra'].videos))
    assert sizes == {'train': 2099, 'val': 700, 'test': 4188}


#: Videos of train, dev and test in CASIA_CeFA/readme.md of github liuajian/CASIA-FAS-Dataset (of 3: images only).
CEFA_README = {
    'cefa_1': (800, 400, 2723), 'cefa_2_print': (1800, 900, 2323), 'cefa_2_replay': (1200, 600, 2923),
    'cefa_4': (400, 200, 2323),
}  # fmt: skip


def test_counts_of_cefa_are_those_of_its_owners() -> None:
    for start, videos in CEFA_README.items():
        found = {p.videos for name, p in REAL_PROTOCOLS.items() if name.startswith(start)}
        assert found == {videos}


@pytest.mark.parametrize(
    ('name', 'videos'),
    [
        # two frames of each video: (train, dev, test) videos by instrument
        ('cefa_1_ca', [dict(live=1, print=2, replay=1)] * 2
                    + [dict(live=2, print=4, replay=2, mask3d=1, silicone=1)]),
        ('cefa_2_print', [dict(live=3, print=6)] * 2 + [dict(live=3, replay=3, mask3d=1, silicone=1)]),
        ('cefa_2_replay', [dict(live=3, replay=3)] * 2 + [dict(live=3, print=6, mask3d=1, silicone=1)]),
        ('cefa_3_depth', [dict(live=3, print=6, replay=3)] * 2 + [dict(live=6, print=12, replay=6)]),
        ('cefa_4_af', [dict(live=1, replay=1)] * 2 + [dict(live=2, print=4, mask3d=1, silicone=1)]),
    ],
)  # fmt: skip
def test_protocols_of_cefa(cefa: Path, name: str, videos: list[dict[str, int]]) -> None:
    parts = derive(name, cefa)
    assert [dict(part.videos) for part in parts] == videos
    assert [len(part.records) for part in parts] == [2 * sum(part.videos.values()) for part in parts]


def test_counts_of_cefa_scale_to_those_published() -> None:
    """Rules give the published counts for 200, 100 and 200 persons of three ethnicities and 1123 masks."""
    per_person = {'live': 1, 'print': 2, 'replay': 1}
    from mmfas.datasets.real_protocols import Facts

    for name, protocol in REAL_PROTOCOLS.items():
        if not name.startswith('cefa'):
            continue
        found = []
        for part, persons in (('train', 200), ('val', 100), ('test', 200)):
            count = sum(
                number * persons
                for race in ('AF', 'CA', 'EA')
                for pai, number in per_person.items()
                if protocol.takes(Facts(part, pai, race))
            )
            count *= 2 if protocol.modality and part == 'test' else 1
            found.append(count + (1123 if part == 'test' and protocol.takes(Facts('test', 'mask3d')) else 0))
        assert tuple(found) == protocol.videos, name


def test_pictures_of_another_modality_stand_where_colour_does(cefa: Path, tmp_path: Path) -> None:
    code = main([str(cefa), '--derive', 'cefa_3_depth', '--out', str(tmp_path), '--frames', '1'])
    assert code == 1  # a few persons are not the whole set
    train = MultiModalFaceDataset(str(tmp_path / 'C-3_depth-train.csv'), str(cefa))
    assert len(train) == 12 and all('/depth/' in train.get_data_info(i)['img_paths']['rgb'] for i in range(12))
    test = MultiModalFaceDataset(str(tmp_path / 'C-3_depth-test.csv'), str(cefa))
    shown = Counter(Path(test.get_data_info(i)['img_paths']['rgb']).parent.name for i in range(len(test)))
    assert shown == {'profile': 4, 'color': 8, 'ir': 12}
    assert set(test.get_data_info(0)['img_paths']) == {'rgb'}


@needs_lists
def test_command_writes_lists_that_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = [str(PUBLISHED), '--derive', 'wmca_loo_rigidmask', 'surf_intra', '--out', str(tmp_path)]
    assert main(call) == 0
    text = capsys.readouterr().out
    assert '6 lists, 0 with other counts' in text and 'leave one attack out: rigidmask' in text
    read = MultiModalFaceDataset(str(tmp_path / 'W-loo_rigidmask-test.csv'), '/nowhere')
    (part,) = [part for part in derive('wmca_loo_rigidmask', PUBLISHED) if part.name.endswith('test')]
    assert [read.get_data_info(i)['sample_id'] for i in range(len(read))] == [r['sample_id'] for r in part.records]
    assert read.get_data_info(0)['img_paths']['rgb'].startswith('/nowhere/WMCA-Image/')
    assert len(MultiModalFaceDataset(str(tmp_path / 'S-intra-train.csv'))) == 898 + 5379


def test_refusals(cefa: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnknownKeyError, match="there is no protocol 'wmca'; known: wmca_loo_glasses, "):
        derive('wmca', cefa)
    with pytest.raises(MissingFileError, match='holds no folder CeFA; expected CeFA/CeFA-Race/AF/'):
        derive('cefa_1_af', tmp_path)
    with pytest.raises(InputError, match='frames must be at least 1, got 0'):
        derive('cefa_1_af', cefa, frames=0)
    with pytest.raises(SystemExit):
        main([str(cefa), '--out', str(tmp_path)])
    assert '--out and --frames go with --derive' in capsys.readouterr().err
