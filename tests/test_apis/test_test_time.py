"""Test-time augmentation is the mean of views that are scored alone; mixed precision changes scores a little."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from random_photos import photo_config

from mmfas.apis.scoring import build_loader, load_model, prepare_scoring, score_loader
from mmfas.apis.test_time import use_views
from mmfas.apis.testing import test as run_test
from mmfas.evaluation import ScoreTable
from mmfas.utils.errors import InputError

pytestmark = pytest.mark.engine

PIPELINE = [
    dict(type='LoadMultiModalImages'),
    dict(type='ResizeModalities', scale=(32, 32)),
    dict(type='PackFASInputs'),
]
FLIP = dict(type='RandomFlipModalities', prob=1.0)


@pytest.fixture(autouse=True)
def _small_and_quiet(small_and_quiet: None) -> Iterator[None]:
    """Run on one thread with a quiet log."""
    yield


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six samples of noise on disk, with a dev and a test list, and the weights of a model."""
    root = tmp_path_factory.mktemp('views')
    rng = np.random.default_rng(0)
    for split in ('dev', 'test'):
        lines = ['sample_id,rgb,depth,ir,label']
        for index in range(6):
            names = [f'{split}{index}_{m}.png' for m in ('rgb', 'depth', 'ir')]
            for name in names:
                cv2.imwrite(str(root / name), rng.integers(0, 256, (40, 40, 3), np.uint8))
            lines.append(','.join([f'{split}{index}', *names, str(index % 2)]))
        (root / f'{split}.csv').write_text('\n'.join(lines))
    torch.manual_seed(3)
    model = load_model(config(root), None)
    torch.save(model.state_dict(), root / 'weights.pth')
    return root


def config(root: Path, *, collate: str = 'default_collate', before: list[dict[str, Any]] | None = None) -> Config:
    """Make a config whose dev and test pipelines may have a step before packing."""
    cfg = photo_config('ConcatNeck', 'LinearFASHead')
    for name in ('dev', 'test'):
        pipeline = [*PIPELINE[:-1], *(before or []), PIPELINE[-1]]
        dataset = dict(
            type='MultiModalFaceDataset', ann_file=f'{name}.csv', data_root=str(root), pipeline=pipeline
        )
        sampler = dict(type='DefaultSampler', shuffle=False)
        cfg['val_dataloader' if name == 'dev' else 'test_dataloader'] = dict(
            batch_size=4, num_workers=0, dataset=dataset, sampler=sampler, collate_fn=dict(type=collate)
        )
    return cfg


def scored(cfg: Config, folder: Path, **options: Any) -> ScoreTable:
    prepare_scoring(cfg)
    model = load_model(cfg, str(folder / 'weights.pth'))
    table = score_loader(model, build_loader(cfg.test_dataloader), **options)
    assert table is not None
    return table


@pytest.mark.parametrize('collate', ['default_collate', 'pseudo_collate'])
def test_scores_are_the_mean_of_views_scored_alone(folder: Path, tmp_path: Path, collate: str) -> None:
    cfg = config(folder, collate=collate)
    result = run_test(cfg, str(folder / 'weights.pth'), tmp_path, tta=True, plots=False)
    assert result is not None
    views = [scored(config(folder, before=before), folder).score for before in ([], [FLIP])]
    assert np.abs(views[0] - views[1]).max() > 1e-4
    np.testing.assert_allclose(result.tables['test'].score, np.mean(views, axis=0), atol=1e-7)
    assert result.dev is not None and len(result.dev) == 6
    assert '`True`' in (tmp_path / 'report.md').read_text() and '* tta' in (tmp_path / 'report.md').read_text()
    assert cfg.test_dataloader.dataset.pipeline[-1]['type'] == 'PackFASInputs'  # the caller's config is as it was


def test_the_views_of_a_config_are_taken(folder: Path, tmp_path: Path) -> None:
    cfg = config(folder)
    crops = [dict(type='CenterCropModalities', crop_size=32), dict(type='ResizeModalities', scale=32)]
    views = dict(type='TestTimeAug', transforms=[crops, [dict(type='PackFASInputs')]])
    cfg.tta_pipeline = [dict(type='LoadMultiModalImages'), views]
    cfg.tta_model = dict(type='AverageScoreTTA')
    result = run_test(cfg, str(folder / 'weights.pth'), tmp_path, tta=True, plots=False)
    assert result is not None
    alone = []
    for crop in crops:
        one = config(folder)
        one.test_dataloader.dataset.pipeline = [PIPELINE[0], crop, PIPELINE[-1]]
        alone.append(scored(one, folder).score)
    np.testing.assert_allclose(result.tables['test'].score, np.mean(alone, axis=0), atol=1e-7)


def test_pipelines_without_packing_are_refused(folder: Path) -> None:
    cfg = config(folder)
    cfg.test_dataloader.dataset.pipeline = PIPELINE[:-1]
    with pytest.raises(InputError, match='write the one with TestTimeAug into tta_pipeline'):
        use_views(cfg)
    with pytest.raises(InputError, match='extra: its data set has no pipeline'):
        use_views(Config(dict(extra_test_dataloaders=dict(extra=dict(dataset=dict(type='X'))))))


def test_mixed_precision_rounds(folder: Path) -> None:
    plain, mixed = (scored(config(folder), folder, amp=amp).score for amp in (False, True))
    assert 0 < np.abs(plain - mixed).max() < 0.02
    np.testing.assert_array_equal(plain, scored(config(folder), folder).score)
