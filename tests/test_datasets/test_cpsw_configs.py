"""The configs of the real benchmark read small files in its published layout and list formats."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmfas.cli.data import verify as data_verify
from mmfas.config.check import check_config
from mmfas.datasets.building import SPLITS, build_split

from .data_files import CPSW_ARCHIVES, CPSW_IMAGES, write_cpsw
from .test_protocols import LISTS, needs_lists

CONFIGS = Path(__file__).parents[2] / 'configs' / 'baselines'
#: Split -> samples to train on and to test with, in the published lists.
PROTOCOL_1 = {'cps2w': (12187, 1671), 'cpw2s': (7585, 12564), 'csw2p': (12792, 667), 'psw2c': (9082, 6739)}

pytestmark = pytest.mark.engine


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('cpsw')
    write_cpsw(folder)
    return folder


def _config(split: str, data_root: Path) -> Config:
    cfg = Config.fromfile(CONFIGS / f'concat_vit-b16_1xb32-100e_cpsw-{split}.py')
    for name in SPLITS:
        cfg[f'{name}_dataloader'].dataset.data_root = str(data_root)
        cfg[f'{name}_dataloader'].update(num_workers=0, persistent_workers=False)
    return cfg


def _labels(lists: list[str]) -> list[int]:
    lines = {**CPSW_IMAGES, **CPSW_ARCHIVES}
    return [line[-1] for name in lists for line in lines[name]]


def test_there_are_four() -> None:
    found = [path.stem.rpartition('-')[2] for path in CONFIGS.glob('concat_*_cpsw-*.py')]
    assert sorted(found) == sorted(PROTOCOL_1)


@pytest.mark.parametrize('split', PROTOCOL_1)
def test_lists_of_sources_and_target_are_read(split: str, root: Path) -> None:
    sources, target = (part.upper() for part in split.split('2'))
    cfg = _config(split, root)
    assert check_config(cfg, check_data=True) == []
    expected = {
        'train': [f'{domain}-train' for domain in sources],
        'val': [f'{domain}-val' for domain in sources],
        'test': [f'{target}-test'],
    }
    for name, lists in expected.items():
        (dataset,) = build_split(cfg, name)
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        assert [info['gt_label'] for info in infos] == _labels(lists)
        assert {info['domain'] for info in infos} == {each[0] for each in lists}
        assert {info['pai'] == 'live' for info in infos if info['gt_label']} == {True}
        for index in range(len(dataset)):
            packed = dataset[index]
            assert packed['data_samples'].present.all()
            for image in packed['inputs'].values():
                assert image.shape == (3, 224, 224) and image.float().std() > 0


def test_a_batch_holds_all_domains_and_both_classes(root: Path) -> None:
    cfg = _config('cps2w', root)
    # without workers, which a loader that is left in the middle waits for, 5 s each
    cfg.train_dataloader.update(batch_size=6, num_workers=0, persistent_workers=False)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    samples = batch['data_samples']
    assert {(sample.domain, sample.gt_label) for sample in samples} == {(d, y) for d in 'CPS' for y in (0, 1)}
    assert {tuple(images.shape) for images in batch['inputs'].values()} == {(6, 3, 224, 224)}


def test_verification_passes_and_names_what_is_missing(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / 'config.py'
    _config('psw2c', root).dump(config)
    assert data_verify.main([str(config)]) == 0, capsys.readouterr().out
    write_cpsw(tmp_path)
    (tmp_path / 'PADISI' / 'm86eabe9.npz').unlink()
    _config('psw2c', tmp_path).dump(config)
    assert data_verify.main([str(config)]) == 1
    assert 'm86eabe9.npz (P-val.txt:2): the file does not exist' in capsys.readouterr().out


@needs_lists
@pytest.mark.parametrize('split', PROTOCOL_1)
def test_published_counts(split: str) -> None:
    cfg = _config(split, LISTS)
    (train,), (test,) = build_split(cfg, 'train'), build_split(cfg, 'test')
    assert (len(train), len(test)) == PROTOCOL_1[split]


def test_casia_surf_by_itself_is_tested_with_every_subset_of_modalities(root: Path) -> None:
    cfg = Config.fromfile(CONFIGS.parent / '_base_' / 'datasets' / 'cpsw_intra_s_subsets.py')
    assert [cfg[f'{name}_dataloader'].dataset.ann_file for name in SPLITS] == [
        [f'S-{name}.txt'] for name in SPLITS
    ]
    found = set()
    for loader in cfg.extra_test_dataloaders.values():
        loader.dataset.data_root = str(root)
        (sample,) = [build_split({'test_dataloader': loader}, 'test')[0][0]]
        found.add(tuple(sample['data_samples'].present.tolist()))
    assert len(found) == 6 and all(1 <= sum(present) <= 2 for present in found)
