"""Contracts of every registered transform."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmfas.registry import TRANSFORMS
from mmfas.structures import MODALITIES

#: Declared exceptions: transforms that are not image -> image -> reason.
OTHER_RESULT = {
    'LoadMultiModalImages': 'reads files; tests/test_datasets/test_loading.py',
    'PackFASInputs': 'returns inputs and data_samples',
}
#: How many transforms there were when this list was last looked at; raise it when one is added.
NUM_TRANSFORMS = 16

TRANSFORMS.import_from_location()
NAMES = sorted(n for n, cls in TRANSFORMS.module_dict.items() if cls.__module__.startswith('mmfas.'))
each_transform = pytest.mark.parametrize('name', NAMES)
each_image_transform = pytest.mark.parametrize('name', [n for n in NAMES if n not in OTHER_RESULT])
pytestmark = pytest.mark.engine


def example(name: str) -> dict[str, Any]:
    return TRANSFORMS.module_dict[name].example_cfg()


def make_results() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    images = {m: rng.integers(1, 256, (48, 40, 3), dtype=np.uint8) for m in MODALITIES}
    images['ir'][:] = 0
    meta = dict(sample_id='a', domain='W', pai='print', subject='s', video='v', img_paths={}, source_line='l:1')
    return dict(**images, present=dict(rgb=True, depth=True, ir=False), gt_label=0, **meta)


def run(name: str, seed: int) -> dict[str, Any]:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  what the data set seeds around its pipeline
    torch.manual_seed(seed)
    return TRANSFORMS.build(example(name))(make_results())


def test_all_transforms_are_found() -> None:
    assert len(NAMES) >= NUM_TRANSFORMS, NAMES
    assert len(OTHER_RESULT) == 2 and set(OTHER_RESULT) <= set(NAMES)


@each_transform
def test_config_survives_text(name: str) -> None:
    cfg = Config(dict(step=example(name)))
    text = cfg.pretty_text
    again = Config.fromstring(text, '.py')
    assert type(TRANSFORMS.build(again.step)).__name__ == name
    assert again.pretty_text == text and repr(TRANSFORMS.build(example(name))).startswith(name)


@each_image_transform
def test_every_modality_stays_an_image_of_one_size(name: str) -> None:
    results = run(name, 0)
    shapes = {results[m].shape for m in MODALITIES}
    assert len(shapes) == 1 and shapes.pop()[2] == 3
    assert all(results[m].dtype == np.uint8 for m in MODALITIES)
    assert set(results['present']) == set(MODALITIES) and any(results['present'].values())
    assert not results['present']['ir']
    for modality in MODALITIES:
        if not results['present'][modality]:
            assert not results[modality].any(), f'{name} puts something into the absent {modality}'


@each_image_transform
def test_draws_follow_the_seed(name: str) -> None:
    first, second = run(name, 3), run(name, 3)
    for key in MODALITIES:
        np.testing.assert_array_equal(first[key], second[key])
    assert first['present'] == second['present'] and first['gt_label'] == second['gt_label']


@each_image_transform
def test_the_images_of_the_caller_are_not_written_to(name: str) -> None:
    given = make_results()
    images = {m: given[m] for m in MODALITIES}
    before = copy.deepcopy(images)
    TRANSFORMS.build(example(name))(given)
    for modality in MODALITIES:
        np.testing.assert_array_equal(images[modality], before[modality])


def test_packing_keeps_every_modality() -> None:
    packed = run('PackFASInputs', 0)
    assert set(packed) == {'inputs', 'data_samples'} and set(packed['inputs']) == set(MODALITIES)
    assert packed['data_samples'].present.tolist() == [True, True, False]
