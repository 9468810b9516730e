"""Imitated attacks: what becomes of each modality, who is changed how often, and where it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmfas.datasets import MultiModalFaceDataset
from mmfas.datasets.randomness import sample_randomness
from mmfas.datasets.transforms import ImitateAttacks
from mmfas.datasets.transforms.imitation import IMITATIONS
from mmfas.registry import TRANSFORMS

SIZE = (48, 40)


def face(label: int = 1) -> dict[str, Any]:
    """A sample whose depth is a ball and whose infrared is textured; rgb is strongly red."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    ball = np.clip(160 - 0.2 * ((rows - 24) ** 2 + (columns - 20) ** 2), 0, 255)
    rgb = rng.integers(0, 256, (*SIZE, 3)) * (1, 0.4, 0.2)
    ir = np.repeat(rng.integers(60, 180, (*SIZE, 1)), 3, axis=2)
    images = dict(rgb=rgb, depth=np.repeat(ball[..., None], 3, axis=2), ir=ir)
    return dict(
        {name: image.astype(np.uint8) for name, image in images.items()},
        present=dict(rgb=True, depth=True, ir=True),
        gt_label=label,
        pai='live' if label else 'mask3d',
    )


def imitated(instrument: str, index: int = 0) -> dict[str, Any]:
    with sample_randomness(0, 0, index, only_numpy=True):
        return ImitateAttacks(1 - 1e-9, instruments=(instrument,))(face())


@pytest.mark.parametrize('instrument', IMITATIONS)
def test_a_live_face_becomes_a_flat_attack(instrument: str) -> None:
    results = imitated(instrument)
    assert (results['gt_label'], results['pai']) == (0, instrument)
    depth = results['depth'].astype(float)
    assert (results['depth'] > 0).all()
    # A plane: second differences are what rounding leaves.
    assert all(np.abs(np.diff(depth, 2, axis=axis)).max() <= 1 for axis in (0, 1))
    readings = face()['depth'][face()['depth'] > 0]
    assert np.median(depth) == pytest.approx(np.median(readings), abs=2)


@pytest.mark.parametrize('index', range(5))
def test_a_print_loses_colour_contrast_and_most_of_its_infrared(index: int) -> None:
    before, after = face(), imitated('print', index)
    spread = [np.ptp(sample['rgb'].astype(float), axis=2).mean() for sample in (before, after)]
    assert spread[1] < spread[0]
    assert after['ir'].std() < 0.45 * before['ir'].std() and after['ir'].mean() > 100


@pytest.mark.parametrize('index', range(5))
def test_a_screen_beats_and_is_dark_in_infrared(index: int) -> None:
    with sample_randomness(0, 0, index, only_numpy=True):
        grey = {**face(), 'rgb': np.full((*SIZE, 3), 128, np.uint8)}
        after = ImitateAttacks(1 - 1e-9, instruments=('replay',))(grey)
    rgb = after['rgb'].astype(float)
    # One wave: of the power of its windowed spectrum without the mean, most is around one frequency.
    power = np.abs(np.fft.rfft2((rgb[..., 1] - rgb[..., 1].mean()) * np.outer(*map(np.hanning, SIZE)))) ** 2
    top = np.sort(power.ravel())[::-1]
    assert top[:20].sum() > 0.8 * power.sum()
    assert rgb[..., 2].mean() > rgb[..., 0].mean(), 'the backlight is bluish'
    assert np.median(after['ir']) < 100


def test_only_live_faces_change_about_as_often_as_asked() -> None:
    step, changed = ImitateAttacks(0.3), []
    for index in range(400):
        with sample_randomness(1, 2, index, only_numpy=True):
            results = step(face())
        changed.append(results['pai'])
        if results['gt_label'] == 1:
            np.testing.assert_array_equal(results['rgb'], face()['rgb'])
    fraction = np.mean([pai != 'live' for pai in changed])
    assert abs(fraction - 0.3) < 3 * np.sqrt(0.3 * 0.7 / 400)
    assert abs(changed.count('print') - changed.count('replay')) < 3 * np.sqrt(400 * 0.3)
    for index in range(5):
        with sample_randomness(0, 0, index, only_numpy=True):
            attack = ImitateAttacks(1 - 1e-9)(face(label=0))
        assert attack['pai'] == 'mask3d'
        np.testing.assert_array_equal(attack['depth'], face()['depth'])


def test_labels_do_not_shift_what_is_drawn_later() -> None:
    later = []
    for label in (0, 1):
        with sample_randomness(0, 0, 3, only_numpy=True):
            ImitateAttacks(0.5)(face(label))
            later.append(np.random.rand())  # noqa: NPY002  the generator that later transforms draw from
    assert later[0] == later[1]


def test_a_data_set_that_scores_refuses_it(tmp_path: Path) -> None:
    options = dict(ann_file='none.csv', data_root=str(tmp_path), lazy_init=True)
    pipeline = [dict(type='ImitateAttacks')]
    assert MultiModalFaceDataset(**options, pipeline=pipeline).pipeline.transforms[0].prob == 0.2
    with pytest.raises(ValueError, match='ImitateAttacks changes labels, which is for training only'):
        MultiModalFaceDataset(**options, pipeline=pipeline, test_mode=True)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(prob=0), 'prob must be between 0 and 1, both excluded, but got 0'),
        (dict(prob=1), 'prob must be between 0 and 1, both excluded, but got 1'),
        (dict(instruments='print'), r"instruments must be one or more of \['print', 'replay'\], .* got 'print'"),
        (dict(instruments=('print', 'mask3d')), 'instruments must be one or more'),
        (dict(instruments=()), 'instruments must be one or more'),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build(dict(type='ImitateAttacks', **options))
