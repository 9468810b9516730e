"""What a model pretrains on: images, their place and masks, and nothing that tells what is presented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mmfas.datasets.unlabelled import UnlabelledFaceDataset
from mmfas.registry import DATASETS, TRANSFORMS

pytestmark = pytest.mark.engine
STEPS = [dict(type='LoadMultiModalImages'), dict(type='DrawPatchMasks', patch_size=8), dict(type='PackFASInputs')]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ('a', 'b'):
        for modality in ('rgb', 'depth', 'ir'):
            cv2.imwrite(str(tmp_path / f'{name}-{modality}.png'), np.full((16, 24, 3), 90, np.uint8))
    lines = [
        'sample_id,rgb,depth,ir,domain',
        *(f'{n},{n}-rgb.png,{n}-depth.png,{n}-ir.png,site0001' for n in 'ab'),
    ]
    (tmp_path / 'list.csv').write_text('\n'.join(lines))
    return tmp_path


def test_a_sample_has_no_label_and_nothing_that_gives_it_away(root: Path) -> None:
    dataset = DATASETS.build(
        dict(type='UnlabelledFaceDataset', ann_file='list.csv', data_root=str(root), pipeline=STEPS)
    )
    assert isinstance(dataset, UnlabelledFaceDataset) and len(dataset) == 2
    sample = dataset[1]['data_samples']
    assert set(sample.all_keys()) == {
        *('sample_id', 'domain', 'img_paths', 'source_line', 'present', 'patch_mask', 'hidden')
    }
    assert sample.get('gt_label') is None and sample.sample_id == 'b' and sample.patch_mask.shape == (3, 2, 3)
    with pytest.raises(ValueError, match='have no classes to balance; use DefaultSampler'):
        dataset.group_keys()


@pytest.mark.parametrize('column', ['label', 'pai', 'subject', 'video'])
def test_a_list_that_says_more_is_refused(root: Path, column: str) -> None:
    lines = (root / 'list.csv').read_text().splitlines()
    (root / 'list.csv').write_text('\n'.join([f'{lines[0]},{column}', *(f'{line},1' for line in lines[1:])]))
    with pytest.raises(ValueError, match=rf"list.csv:1: unknown column '{column}'; known are sample_id, rgb"):
        UnlabelledFaceDataset('list.csv', str(root))


def test_masks_follow_seed_epoch_and_index(root: Path) -> None:
    dataset = UnlabelledFaceDataset('list.csv', str(root), pipeline=STEPS)

    def masks(index: int, epoch: int) -> tuple[Any, Any]:
        dataset.set_epoch(epoch, 7)
        sample = dataset[index]['data_samples']
        return sample.patch_mask.tolist(), sample.hidden.tolist()

    assert masks(0, 0) == masks(0, 0)
    assert len({str(masks(index, epoch)) for index in range(2) for epoch in range(3)}) == 6


@pytest.mark.parametrize(('ratio', 'hide'), [(0.5, 0.5), (0.0, 1.0), (0.8, 0.0), (1.0, 1.0)])
def test_fractions_of_masked_patches_and_hidden_modalities(ratio: float, hide: float) -> None:
    step = TRANSFORMS.build(dict(type='DrawPatchMasks', patch_size=8, ratio=ratio, hide_prob=hide))
    image, there = np.zeros((32, 32, 3), np.uint8), dict(rgb=True, depth=False, ir=True)
    drawn = [step(dict(rgb=image, depth=image, ir=image, present=there)) for _ in range(200)]
    assert {int(mask.sum()) for results in drawn for mask in results['patch_mask']} == {round(16 * ratio)}
    hidden = np.array([results['hidden'] for results in drawn])
    assert hidden.sum(1).max() <= 1 and not hidden[:, 1].any()
    assert abs(hidden.any(1).mean() - hide) < 0.12
    alone = step(dict(rgb=image, depth=image, ir=image, present=dict(rgb=True, depth=False, ir=False)))
    assert not alone['hidden'].any()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(ratio=1.2), r'ratio must lie in 0\.\.1'),
        (dict(hide_prob=-0.1), 'hide_prob must lie'),
        (dict(patch_size=0), 'patch_size must be at least 1'),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TRANSFORMS.build(dict(type='DrawPatchMasks', **options))


def test_patches_that_do_not_fill_the_image_are_refused(root: Path) -> None:
    steps = [STEPS[0], dict(type='DrawPatchMasks', patch_size=16), STEPS[2]]
    with pytest.raises(ValueError, match=r'list.csv:2: patches of 16 pixels do not fill images of 24x16'):
        _ = UnlabelledFaceDataset('list.csv', str(root), pipeline=steps)[0]
