"""Geometry is shared by the modalities, photometry is not, absent images stay zeros."""

from __future__ import annotations

import pickle
from collections import Counter
from multiprocessing.reduction import ForkingPickler
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform

from mmfas.datasets import sample_randomness, transforms
from mmfas.datasets.transforms import (
    AddViews,
    CenterCropModalities,
    FixedMissing,
    GaussianNoiseModalities,
    PackFASInputs,
    PhotometricModalities,
    RandomCropModalities,
    RandomFlipModalities,
    RandomModalityDropout,
    RandomResizedCropModalities,
    ResizeModalities,
)
from mmfas.registry import SCOPE, TRANSFORMS
from mmfas.structures import MODALITIES

GEOMETRY = [
    RandomCropModalities((12, 10)),
    RandomResizedCropModalities((12, 10), area_range=(0.3, 1.0)),
    RandomFlipModalities(0.5),
    CenterCropModalities((12, 10)),
    ResizeModalities((12, 10)),
]


def sample(absent: tuple[str, ...] = (), same: bool = True) -> dict[str, Any]:
    """Return a loaded sample; `same` gives all modalities one image."""
    rng = np.random.default_rng(3)
    images = {m: rng.integers(0, 256, (24, 32, 3), dtype=np.uint8) for m in MODALITIES}
    results: dict[str, Any] = {m: images['rgb' if same else m].copy() for m in MODALITIES}
    for modality in absent:
        results[modality][:] = 0
    known = {'sample_id': 'someone', 'source_line': 'list.txt:7', 'domain': 'W', 'pai': 'live', 'gt_label': 1}
    return {**results, **known, 'present': {m: m not in absent for m in MODALITIES}}


def run(transform: BaseTransform, results: dict[str, Any], index: int = 0) -> dict[str, Any]:
    """Run a transform with the randomness of one sample."""
    with sample_randomness(0, 0, index):
        return transform.transform(results)


@pytest.mark.parametrize('transform', GEOMETRY, ids=lambda t: type(t).__name__)
def test_geometry_is_shared(transform: BaseTransform) -> None:
    outcomes = set()
    for index in range(30):
        results = run(transform, sample(), index)
        for modality in ('depth', 'ir'):
            np.testing.assert_array_equal(results[modality], results['rgb'])
        outcomes.add(results['rgb'].tobytes())
    is_random = type(transform).__name__.startswith('Random')
    assert len(outcomes) > 1 if is_random else len(outcomes) == 1


@pytest.mark.parametrize('transform', GEOMETRY, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize('absent', [('rgb',), ('depth', 'ir')])
def test_absent_images_keep_the_common_size(transform: BaseTransform, absent: tuple[str, ...]) -> None:
    results = run(transform, sample(absent))
    assert len({results[m].shape for m in MODALITIES}) == 1
    for modality in MODALITIES:
        assert results[modality].any() == (modality not in absent)


def test_flip_and_crops_are_what_they_say() -> None:
    image = sample()['rgb']
    flipped = run(RandomFlipModalities(1.0), sample())['rgb']
    np.testing.assert_array_equal(flipped, image[:, ::-1])
    np.testing.assert_array_equal(run(RandomFlipModalities(0.0), sample())['rgb'], image)
    np.testing.assert_array_equal(run(CenterCropModalities((12, 10)), sample())['rgb'], image[7:17, 10:22])
    resized = run(ResizeModalities((12, 10)), sample())['rgb']
    np.testing.assert_array_equal(resized, cv2.resize(image, (12, 10)))


def test_random_crop_reaches_every_corner() -> None:
    results = [run(RandomCropModalities((31, 23)), sample(), index)['rgb'] for index in range(40)]
    image = sample()['rgb']
    corners = {image[t : t + 23, le : le + 31].tobytes() for t in (0, 1) for le in (0, 1)}
    assert {r.tobytes() for r in results} == corners


def test_crop_that_does_not_fit() -> None:
    for transform in (CenterCropModalities(25), RandomCropModalities(25)):
        with pytest.raises(ValueError, match=r'crop_size \(25, 25\) does not fit into an image of 32x24'):
            transform.transform(sample())


@pytest.mark.parametrize('per_channel', [True, False])
def test_photometry_equals_the_formula(per_channel: bool) -> None:
    transform = PhotometricModalities((-40, 40), (0.5, 1.5), per_channel=per_channel)
    with sample_randomness(0, 0, 1):
        tables = transform.draw_tables()
    results = run(transform, sample(), 1)
    image = sample()['rgb']
    for modality, table in zip(MODALITIES, tables):
        expected = table[image, np.arange(3) if per_channel else 0]
        np.testing.assert_array_equal(results[modality], expected)
    assert len({results[m].tobytes() for m in MODALITIES}) == 3
    if not per_channel:
        assert tables.shape == (3, 256, 1)


def test_photometric_tables_follow_brightness_then_gamma() -> None:
    levels = np.arange(256)
    brighter = PhotometricModalities((20, 20), (1, 1)).draw_tables()[0, :, 0]
    np.testing.assert_array_equal(brighter, np.clip(levels + 20, 0, 255))
    gamma = PhotometricModalities((0, 0), (0.5, 0.5)).draw_tables()[2, :, 1]
    np.testing.assert_array_equal(gamma, np.rint(255 * np.sqrt(levels / 255)))
    both = PhotometricModalities((-30, -30), (1.5, 1.5)).draw_tables()[1, :, 2]
    np.testing.assert_array_equal(both, np.rint(255 * (np.clip(levels - 30, 0, 255) / 255) ** 1.5))


def test_noise_has_the_stated_strength() -> None:
    grey = {**sample(), **{m: np.full((200, 200, 3), 128, np.uint8) for m in MODALITIES}}
    results = run(GaussianNoiseModalities((10, 10)), dict(grey))
    steps = results['rgb'].astype(float) - 128
    assert abs(steps.std() - 10) < 0.2 and abs(steps.mean()) < 0.2
    np.testing.assert_array_equal(results['rgb'][..., 0], results['rgb'][..., 1])
    assert (results['rgb'] != results['ir']).any()
    coloured = run(GaussianNoiseModalities((10, 10), per_channel=True), dict(grey))['rgb']
    assert (coloured[..., 0] != coloured[..., 1]).any()


@pytest.mark.parametrize('transform', [PhotometricModalities(), GaussianNoiseModalities((20, 20))])
def test_absent_images_stay_black(transform: BaseTransform) -> None:
    results = run(transform, sample(('depth',)))
    assert not results['depth'].any()
    assert (results['ir'] != sample()['ir']).any()


def test_dropout_rate_and_floor() -> None:
    transform = RandomModalityDropout(0.5, keep_at_least=2)
    counts = np.zeros(3)
    for index in range(300):
        results = run(transform, sample(same=False), index)
        present = [results['present'][m] for m in MODALITIES]
        assert sum(present) >= 2
        for modality, is_there in results['present'].items():
            assert results[modality].any() == is_there
        counts += present
    assert (counts > 180).all() and (counts < 260).all()


def test_dropout_by_modality_and_of_absent_ones() -> None:
    results = run(RandomModalityDropout({'depth': 1.0}), sample())
    assert results['present'] == {'rgb': True, 'depth': False, 'ir': True}
    results = run(RandomModalityDropout(1.0), sample(('rgb', 'ir')))
    assert results['present'] == {'rgb': False, 'depth': True, 'ir': False}
    kept = {m for i in range(40) for m, p in run(RandomModalityDropout(1.0), sample(), i)['present'].items() if p}
    assert kept == set(MODALITIES)


def test_dropout_keeps_all_of_a_sample_that_has_no_more() -> None:
    for index in range(20):
        results = run(RandomModalityDropout(1.0, keep_at_least=2), sample(('depth',)), index)
        assert results['present'] == {'rgb': True, 'depth': False, 'ir': True}


def kept_sets(transform: BaseTransform, number: int, **more: Any) -> Counter[tuple[str, ...]]:
    """Count what is left of samples."""
    left = (run(transform, {**sample(), **more}, index)['present'] for index in range(number))
    return Counter(tuple(m for m in MODALITIES if present[m]) for present in left)


def test_patterns_come_up_as_often_as_they_weigh() -> None:
    counts = kept_sets(RandomModalityDropout(patterns={'rgb': 3, 'depth+rgb': 1, 'ir': 0}), 400)
    assert set(counts) == {('rgb',), ('rgb', 'depth')}
    assert 260 < counts['rgb',] < 340
    counts = kept_sets(RandomModalityDropout(patterns='facebagnet'), 1200)
    by_size = {n: sum(number for kept, number in counts.items() if len(kept) == n) for n in (1, 2, 3)}
    assert len(counts) == 7 and 550 < by_size[3] < 650
    assert all(250 < by_size[n] < 350 for n in (1, 2))
    counts = kept_sets(RandomModalityDropout(patterns='mmanet'), 1400)
    assert len(counts) == 7 and all(150 < number < 250 for number in counts.values())


def test_patterns_of_which_a_sample_has_nothing_are_not_drawn() -> None:
    transform = RandomModalityDropout(patterns={'depth': 1, 'rgb+ir': 1})
    for index in range(10):
        assert run(transform, sample(('depth',)), index)['present'] == dict(rgb=True, depth=False, ir=True)
        # of rgb+ir this one has ir alone
        left = run(transform, sample(('rgb',)), index)['present']
        assert sum(left.values()) == 1 and not left['rgb']
    alone = RandomModalityDropout(patterns={'rgb': 1})
    assert run(alone, sample(('rgb',)))['present'] == dict(rgb=False, depth=True, ir=True)
    assert alone.droppable == ('depth', 'ir') and RandomModalityDropout().droppable == MODALITIES
    assert RandomModalityDropout({'ir': 0.1}).droppable == ('ir',)
    assert RandomModalityDropout(keep_at_least=3).droppable == ()


def test_warm_up_starts_with_whole_samples() -> None:
    for options in ({'prob': 1.0}, {'patterns': {'rgb': 1}}):
        transform = RandomModalityDropout(**options, warmup=4)
        whole = [kept_sets(transform, 100, epoch=epoch)[MODALITIES] for epoch in range(6)]
        assert whole[0] == 100 and whole[4] == whole[5] == 0
        assert 60 < whole[1] < 90 and 35 < whole[2] < 65 and 10 < whole[3] < 40
    with pytest.raises(ValueError, match='warmup=4 needs the epoch of the sample'):
        run(RandomModalityDropout(warmup=4), sample())


def test_fixed_missing() -> None:
    before = sample(same=False)
    presence = before['present']
    results = FixedMissing(('depth', 'ir')).transform(before)
    assert results['present'] == {'rgb': True, 'depth': False, 'ir': False}
    assert presence == {'rgb': True, 'depth': True, 'ir': True}  # the caller's dictionary is not changed
    assert not results['ir'].any()
    with pytest.raises(ValueError, match=r"someone \(list\.txt:7\): has nothing but the missing \('rgb',\)"):
        FixedMissing('rgb').transform(sample(('depth', 'ir')))


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'type': 'FixedMissing', 'missing': MODALITIES}, 'at least one modality must be left'),
        ({'type': 'FixedMissing', 'missing': ('thermal',)}, 'modalities must be'),
        ({'type': 'RandomModalityDropout', 'prob': 1.5}, r'prob must be in \[0, 1\]'),
        ({'type': 'RandomModalityDropout', 'prob': {'thermal': 0.5}}, 'by modality'),
        ({'type': 'RandomModalityDropout', 'keep_at_least': 0}, 'keep_at_least must be 1 to 3'),
        (
            {'type': 'RandomModalityDropout', 'patterns': 'all', 'prob': 0.1},
            'prob and keep_at_least have no effect',
        ),
        (
            {'type': 'RandomModalityDropout', 'patterns': 'all'},
            r"one of \['facebagnet', 'mmanet'\], but got 'all'",
        ),
        (
            {'type': 'RandomModalityDropout', 'patterns': {'rgb+thermal': 1}},
            "each set once.*but got 'rgb.thermal'",
        ),
        ({'type': 'RandomModalityDropout', 'patterns': {'rgb+ir': 1, 'ir+rgb': 1}}, "but got 'ir.rgb'"),
        (
            {'type': 'RandomModalityDropout', 'patterns': {'rgb': -1}},
            "weight of the pattern 'rgb' must be 0 or more",
        ),
        ({'type': 'RandomModalityDropout', 'patterns': {'rgb': 0}}, 'at least one weight above 0'),
        ({'type': 'RandomModalityDropout', 'warmup': -1}, 'warmup must be a number of epochs'),
        ({'type': 'PhotometricModalities', 'gamma': (1.5, 0.5)}, r'gamma must be \(low, high\)'),
        ({'type': 'GaussianNoiseModalities', 'sigma': (-1, 5)}, 'sigma must be'),
        ({'type': 'ResizeModalities', 'scale': 0}, 'size must be positive'),
        ({'type': 'RandomFlipModalities', 'prob': -0.1}, r'prob must lie in \[0, 1\]'),
        ({'type': 'RandomResizedCropModalities', 'scale': 8, 'area_range': (0, 1)}, r'area_range must lie in'),
    ],
)
def test_bad_arguments(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build({'_scope_': SCOPE, **config})


CROP = {'type': 'RandomResizedCropModalities', 'scale': (12, 10), 'area_range': (0.3, 0.6)}


def test_views_are_drawn_apart_and_the_sample_stays() -> None:
    before = sample(('ir',), same=False)
    views = AddViews([CROP, PhotometricModalities()], num_views=3)
    results = run(views, before)
    assert 'views' not in before and len(results['views']) == 3
    assert all(results[m] is before[m] for m in MODALITIES)
    shown = {view['rgb'].tobytes() for view in results['views']}
    assert len(shown) == 3 and all(view['depth'].shape == (10, 12, 3) for view in results['views'])
    assert not any(view['ir'].any() for view in results['views'])
    again = run(views, sample(('ir',), same=False))
    for one, other in zip(results['views'], again['views'], strict=True):
        np.testing.assert_array_equal(one['depth'], other['depth'])
    packed = PackFASInputs().transform(results)
    assert set(packed) == {'inputs', 'data_samples', 'inputs_view'}
    for modality, tensor in packed['inputs_view'].items():
        assert tensor.shape == (3, 3, 10, 12) and tensor.dtype == torch.uint8
        np.testing.assert_array_equal(tensor[1].permute(1, 2, 0), results['views'][1][modality])


def test_views_have_the_modalities_of_their_sample() -> None:
    with pytest.raises(ValueError, match='put RandomModalityDropout behind AddViews'):
        run(AddViews([FixedMissing('ir')]), sample())
    later = FixedMissing('ir').transform(run(AddViews([CROP]), sample()))
    packed = PackFASInputs().transform(later)
    assert packed['data_samples'].present.tolist() == [
        True,
        True,
        False,
    ]  # the preprocessor takes it for the views
    for options in ({'pipeline': []}, {'pipeline': [CROP], 'num_views': 0}):
        with pytest.raises(ValueError, match='at least one view and one transform'):
            AddViews(**options)


def test_pack() -> None:
    results = sample(('ir',), same=False)
    packed = PackFASInputs().transform(results)
    for modality in MODALITIES:
        tensor = packed['inputs'][modality]
        assert tensor.dtype == torch.uint8 and tensor.is_contiguous()
        np.testing.assert_array_equal(tensor.numpy(), results[modality].transpose(2, 0, 1))
    data_sample = packed['data_samples']
    assert data_sample.present.tolist() == [True, True, False]
    assert (data_sample.gt_label, data_sample.sample_id, data_sample.domain) == (1, 'someone', 'W')
    del results['gt_label']
    assert 'gt_label' not in PackFASInputs().transform(results)['data_samples']
    with pytest.raises(
        ValueError, match="finds no images; start the pipeline with dict.type='LoadMultiModalImages'"
    ):
        PackFASInputs().transform({'gt_label': 1})


def test_data_sample_travels_without_file_descriptors() -> None:
    sent = PackFASInputs().transform(sample(('rgb', 'depth')))['data_samples']
    data = bytes(ForkingPickler.dumps(sent))
    assert b'rebuild_storage' not in data and b'rebuild_tensor' not in data
    other = pickle.loads(data)
    assert isinstance(sent.present, torch.Tensor)  # the sent one is not changed
    assert other.present.tolist() == sent.present.tolist() == [False, False, True]
    assert (other.gt_label, other.metainfo) == (1, sent.metainfo)
    assert set(other.keys()) == {'gt_label', 'present'}
    other.pred_score = 0.5
    assert 'pred_score' not in sent


@pytest.mark.parametrize('name', transforms.__all__)
def test_example_and_repr(name: str) -> None:
    cls = getattr(transforms, name)
    built = TRANSFORMS.build({'_scope_': SCOPE, **cls.example_cfg()})
    assert type(built) is cls
    assert repr(built).startswith(f'{name}(')
    for heading in ('Required Keys:', 'Keys:\n'):
        assert heading in (cls.__doc__ or '')


@pytest.mark.engine
def test_transforms_of_mmcv_are_shared_by_a_broadcaster() -> None:
    config = {
        'type': 'TransformBroadcaster',
        'mapping': {'img': list(MODALITIES)},
        'auto_remap': True,
        'share_random_params': True,
        'transforms': [{'type': 'RandomFlip', 'prob': 0.5}],
    }
    broadcaster = TRANSFORMS.build({'_scope_': SCOPE, **config})
    outcomes = set()
    for index in range(20):
        results = run(broadcaster, sample(), index)
        np.testing.assert_array_equal(results['depth'], results['rgb'])
        np.testing.assert_array_equal(results['ir'], results['rgb'])
        outcomes.add(np.ascontiguousarray(results['rgb']).tobytes())
    assert len(outcomes) == 2
