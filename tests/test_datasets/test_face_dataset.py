"""The data set: records, errors, and randomness that does not depend on worker processes."""

from __future__ import annotations

import copy
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset, RepeatDataset
from torch.utils.data import DataLoader

from mmfas.datasets import (
    MultiModalFaceDataset,
    group_keys_of,
    sample_randomness,
    set_dataset_epoch,
    transforms,
)
from mmfas.datasets.randomness import needs_full_seeding
from mmfas.registry import DATASETS

from .data_files import write_triple

LOAD = [{'type': 'LoadMultiModalImages'}]
TRAIN = [
    *LOAD,
    {'type': 'RandomCropModalities', 'crop_size': 24},
    {'type': 'RandomFlipModalities'},
    {'type': 'PhotometricModalities'},
    {'type': 'RandomModalityDropout'},
    {'type': 'PackFASInputs'},
]


def draw_from_all(results: dict[str, Any]) -> dict[str, Any]:
    """Draw from all three global generators; a stand-in for a transform of someone else."""
    results['draws'] = (random.random(), float(np.random.default_rng(0).random()), float(torch.rand(())))
    results['draws'] += (float(np.random.uniform()),)  # noqa: NPY002
    return results


def wmca(root: Path, **kwargs: Any) -> MultiModalFaceDataset:
    """Build the data set of the six WMCA frames."""
    return MultiModalFaceDataset('W-train.txt', str(root), **kwargs)


def _presence(dataset: MultiModalFaceDataset, num_epochs: int) -> np.ndarray:
    """Return which modalities every sample has in every epoch, (epochs * samples, M)."""
    rows = []
    for epoch in range(num_epochs):
        dataset.set_epoch(epoch)
        rows += [dataset[i]['data_samples'].present.numpy() for i in range(len(dataset))]
    return np.stack(rows)


def test_dropout_counts_what_the_data_set_loads(wmca_root: Path) -> None:
    def two(prob: float, keep_at_least: int) -> MultiModalFaceDataset:
        drop = {'type': 'RandomModalityDropout', 'prob': prob, 'keep_at_least': keep_at_least}
        pipeline = [*LOAD, drop, {'type': 'PackFASInputs'}]
        return wmca(wmca_root, modalities=('rgb', 'ir'), pipeline=pipeline)

    present = _presence(two(0.5, 1), num_epochs=20)
    assert not present[:, 1].any()  # depth is not loaded
    assert present.any(axis=1).all()
    assert {tuple(row) for row in present[:, [0, 2]].tolist()} == {(True, True), (True, False), (False, True)}
    # One of two goes whatever the draw, and depth never counts as the one that stays.
    assert (_presence(two(1.0, 1), num_epochs=5).sum(axis=1) == 1).all()
    assert (_presence(two(1.0, 2), num_epochs=5)[:, [0, 2]]).all()
    with pytest.raises(ValueError, match=r"keep_at_least=3, but the data set loads \('rgb', 'ir'\) only"):
        two(0.5, 3)[0]


def test_warm_up_of_dropout_follows_the_epoch(wmca_root: Path) -> None:
    drop = {'type': 'RandomModalityDropout', 'patterns': {'rgb': 1, 'rgb+depth': 1}, 'warmup': 2}
    present = _presence(wmca(wmca_root, pipeline=[*LOAD, drop, {'type': 'PackFASInputs'}]), num_epochs=4)
    whole = present.all(axis=1).reshape(4, -1)
    assert whole[0].all() and not whole[2:].any()
    assert present[:, 0].all() and not present.reshape(4, -1, 3)[2:, :, 2].any()


def test_records_of_a_published_list(wmca_root: Path) -> None:
    dataset = wmca(wmca_root)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [i['gt_label'] for i in infos] == [1, 1, 0, 0, 0, 0]
    assert [i['pai'] for i in infos] == ['live', 'live', 'print', 'glasses', 'fakehead', 'replay']
    assert [i['subject'] for i in infos] == ['001', '002', '098', '535', '501', '019']
    first = infos[0]
    assert first['sample_id'] == 'WMCA-Image/R_CDIT/001_01_000_0_00/color/0012.jpg'
    assert first['img_paths']['depth'] == str(wmca_root / 'WMCA-Image/R_CDIT/001_01_000_0_00/depth/0012.jpg')
    assert (first['domain'], first['source_line']) == ('W', 'W-train.txt:1')
    assert dataset.group_keys() == [('W', i['gt_label']) for i in infos]


def test_padisi_and_wmca_in_one_data_set(wmca_root: Path, padisi_root: Path) -> None:
    names = ['W-train.txt', 'P-train.txt']
    dataset = MultiModalFaceDataset(names, str(wmca_root), pipeline=[*LOAD, {'type': 'PackFASInputs'}])
    assert len(dataset) == 10
    packed = dataset[9]
    assert packed['data_samples'].domain == 'P'
    assert packed['inputs']['ir'].shape == (3, 32, 40)
    only_p = MultiModalFaceDataset(names, str(wmca_root), domains=['P'])
    assert [only_p.get_data_info(i)['sample_id'] for i in range(2)] == ['zd6c8787.npz', 'zb50f8f6.npz']
    with pytest.raises(ValueError, match=r"no sample of domains \('C',\); the files hold {'W': 6, 'P': 4}"):
        MultiModalFaceDataset(names, str(wmca_root), domains='C')


def test_config_options(wmca_root: Path) -> None:
    config = {
        'type': 'MultiModalFaceDataset',
        'ann_file': 'W-train.txt',
        'data_root': str(wmca_root),
        'domain': 'X',
        'modalities': ('rgb', 'ir'),
        'indices': 3,
        'test_mode': True,
        'pipeline': [*LOAD, {'type': 'PackFASInputs'}],
    }
    dataset = DATASETS.build(config)
    assert len(dataset) == 3
    sample = dataset[0]['data_samples']
    assert (sample.domain, sample.present.tolist()) == ('X', [True, False, True])
    assert set(sample.img_paths) == {'rgb', 'ir'}


def test_repeated_lines_stay_distinct(wmca_root: Path) -> None:
    line = (wmca_root / 'W-train.txt').read_text().splitlines()[0]
    (wmca_root / 'W-train.txt').write_text(f'{line}\n{line}\n{line}\n')
    dataset = MultiModalFaceDataset(['W-train.txt', 'W-train.txt'], str(wmca_root))
    ids = [dataset.get_data_info(i)['sample_id'] for i in range(6)]
    name = line.split()[0]
    assert ids[:4] == [name, f'{name}#2', f'{name}#3', f'{name}#1']
    assert len(set(ids)) == 6


def test_side_car_wins_over_the_path(wmca_root: Path) -> None:
    names = [line.split()[0] for line in (wmca_root / 'W-train.txt').read_text().splitlines()]
    rows = [f'{name},Z,train,person{i},clip{i},,' for i, name in enumerate(names)]
    header = 'sample_id,domain,split,subject,video,pai,label'
    (wmca_root / 'records.csv').write_text('\n'.join([header, *rows]))
    info = wmca(wmca_root, meta_file='records.csv').get_data_info(2)
    assert [info[k] for k in ('domain', 'subject', 'video', 'pai')] == ['Z', 'person2', 'clip2', 'print']
    (wmca_root / 'records.csv').write_text('\n'.join([header, *rows[1:]]))
    told = f'1 of 6 samples are not in the side-car file {wmca_root}/records.csv, the first is {names[0]!r} at '
    told += f'{wmca_root}/W-train.txt:1; add a row for each, or leave meta_file out'
    with pytest.raises(ValueError, match=re.escape(told)):
        wmca(wmca_root, meta_file='records.csv')
    rows[0] += '0'
    (wmca_root / 'records.csv').write_text('\n'.join([header, *rows]))
    with pytest.raises(ValueError, match='is live_label right'):
        wmca(wmca_root, meta_file='records.csv')


def test_own_data_with_other_polarity_and_missing_modalities(tmp_path: Path) -> None:
    names = write_triple(tmp_path, 'mine', '1', 0)
    text = f'rgb,depth,label,domain\n{names[0]},{names[1]},0,X\n{names[0]},,1,X\n'
    (tmp_path / 'own.csv').write_text(text)
    dataset = MultiModalFaceDataset('own.csv', str(tmp_path), live_label=0, pipeline=LOAD)
    first, second = dataset[0], dataset[1]
    assert [first['gt_label'], first['pai'], second['gt_label'], second['pai']] == [1, 'live', 0, 'unknown']
    assert second['present'] == {'rgb': True, 'depth': False, 'ir': False}
    assert first['video'] == first['sample_id']  # nothing known: a video of its own
    message = r"^/.*own\.csv:1: has \['depth', 'rgb'\] but none of modalities=\('ir',\)"
    with pytest.raises(ValueError, match=message.replace(':1', ':2')):
        MultiModalFaceDataset('own.csv', str(tmp_path), live_label=0, modalities=('ir',))


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'live_label': 2}, 'live_label must be 0 or 1'),
        ({'data_prefix': {'image': 'x'}}, r"data_prefix knows the keys \['img', 'npz'\], but got \['image'\]"),
        ({'modalities': ('ir', 'rgb')}, 'did you mean'),
    ],
)
def test_bad_arguments(wmca_root: Path, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wmca(wmca_root, **kwargs)


def test_missing_list_and_broken_image(wmca_root: Path) -> None:
    with pytest.raises(ValueError, match='ann_file names no file'):
        MultiModalFaceDataset([], str(wmca_root))
    with pytest.raises(FileNotFoundError, match=r'no\.txt does not exist; check data_root'):
        MultiModalFaceDataset('no.txt', str(wmca_root))
    dataset = wmca(wmca_root, pipeline=LOAD)
    broken = wmca_root / 'WMCA-Image/R_CDIT/002_01_000_0_01/ir/0012.jpg'
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(ValueError, match=r'ir image .*0012\.jpg \(W-train\.txt:2\): the JPEG data are cut off'):
        dataset[1]
    with pytest.raises(ValueError, match=r'W-train\.txt:1: the pipeline returned None'):
        wmca(wmca_root, pipeline=[lambda results: None])[0]


def draws_of(dataset: Any, **loader: Any) -> list[bytes]:
    """Load everything in order and return the packed bytes of every sample."""
    batches = DataLoader(dataset, batch_size=2, collate_fn=list, **loader)
    return [b''.join(t.numpy().tobytes() for t in s['inputs'].values()) for batch in batches for s in batch]


@pytest.mark.slow
@pytest.mark.parametrize(('num_workers', 'context'), [(1, 'fork'), (2, 'fork'), (2, 'spawn')])
def test_draws_do_not_depend_on_workers(wmca_root: Path, num_workers: int, context: str) -> None:
    dataset = wmca(wmca_root, pipeline=TRAIN)
    dataset.set_epoch(1, seed=5)
    alone = draws_of(dataset)
    assert draws_of(dataset, num_workers=num_workers, multiprocessing_context=context) == alone


def test_running_workers_hear_of_the_epoch(wmca_root: Path) -> None:
    dataset = ConcatDataset([wmca(wmca_root, pipeline=TRAIN)])
    loader = DataLoader(dataset, batch_size=3, collate_fn=list, num_workers=1, persistent_workers=True)

    def load() -> list[bytes]:
        return [s['inputs']['rgb'].numpy().tobytes() for batch in loader for s in batch]

    epochs = []
    for epoch in (0, 1, 0):
        assert set_dataset_epoch(dataset, epoch, seed=3) == 1
        epochs.append(load())
    assert epochs[0] == epochs[2] and epochs[0] != epochs[1]
    set_dataset_epoch(dataset, 0, seed=4)
    assert load() != epochs[0]


def test_wrappers_of_the_engine(wmca_root: Path) -> None:
    dataset = wmca(wmca_root)
    keys = dataset.group_keys()
    assert group_keys_of(RepeatDataset(dataset, times=2)) == keys * 2
    assert group_keys_of(ConcatDataset([dataset, wmca(wmca_root)])) == keys * 2
    assert set_dataset_epoch(RepeatDataset(dataset, times=2), 4) == 1
    assert dataset._clock.epoch == 4
    assert set_dataset_epoch(object(), 4) == 0


def test_every_sample_has_draws_of_its_own(wmca_root: Path) -> None:
    dataset = wmca(wmca_root, pipeline=[draw_from_all])
    draws = [dataset[i]['draws'] for i in range(6)]
    assert [dataset[i]['draws'] for i in (5, 0)] == [draws[5], draws[0]]
    for column in (0, 2, 3):
        assert len({row[column] for row in draws}) == 6
    dataset.set_epoch(1)
    assert dataset[0]['draws'] != draws[0]


@pytest.mark.parametrize('pipeline', [[draw_from_all], TRAIN])
def test_outer_generators_go_on_undisturbed(wmca_root: Path, pipeline: list[Any]) -> None:
    def outer() -> list[Any]:
        return [random.random(), np.random.uniform(), torch.rand(3).tolist()]  # noqa: NPY002

    def seed_all() -> None:
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)

    dataset = wmca(wmca_root, pipeline=pipeline)
    seed_all()
    expected = [outer(), outer()]
    seed_all()
    first = outer()
    dataset[0]
    assert [first, outer()] == expected


def test_only_marked_transforms_are_spared_full_seeding() -> None:
    marked = transforms.RandomFlipModalities()
    assert not needs_full_seeding([marked, transforms.PackFASInputs()])

    class Drawing(transforms.RandomFlipModalities):
        """A subclass may draw from anything."""

    assert needs_full_seeding([marked, Drawing()])
    assert needs_full_seeding([draw_from_all])


def test_randomness_is_restored_after_an_error_and_can_be_nested() -> None:
    before = np.random.get_bit_generator()
    with pytest.raises(ZeroDivisionError), sample_randomness(0, 0, 0):
        raise ZeroDivisionError
    assert np.random.get_bit_generator() is before
    with sample_randomness(0, 0, 1):
        expected = [random.random(), random.random()]
    with sample_randomness(0, 0, 1):
        first = random.random()
        with sample_randomness(9, 9, 9):
            random.random()
        assert [first, random.random()] == expected


def test_copies_and_subsets_hear_of_epochs_themselves(wmca_root: Path) -> None:
    dataset = wmca(wmca_root, pipeline=TRAIN)
    dataset.set_epoch(2, 7)
    for other in (copy.deepcopy(dataset), dataset.get_subset([0, 1])):
        assert (other._clock.epoch, other._clock.seed) == (2, 7)
        assert other._clock._state.is_shared()
        other.set_epoch(3)
        assert dataset._clock.epoch == 2
    with pytest.raises(ValueError, match='must not be negative'):
        dataset.set_epoch(-1)


def test_example_builds_lazily() -> None:
    assert isinstance(DATASETS.build(MultiModalFaceDataset.example_cfg()), MultiModalFaceDataset)
