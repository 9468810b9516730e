"""Heat maps of uncertainty, what they are drawn from, and the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch.utils.data import Dataset

from mmfas.analysis.uncertainty_maps import uncertainty_maps
from mmfas.apis.scoring import ScoreError, load_model
from mmfas.cli.vis.uncertainty import main
from mmfas.registry import BACKBONES, DATASETS, FUSION_NECKS
from mmfas.structures import MODALITIES, FASDataSample
from mmfas.visualization.uncertainty_plots import draw_uncertainty

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def _small_and_quiet(small_and_quiet: None) -> Iterator[None]:
    """Run on one thread with a quiet log."""
    yield


@DATASETS.register_module(force=True)
class UncertainPhotos(Dataset):
    """Three samples of random images; the second one has no ir."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(index)
        inputs = {m: torch.randint(0, 256, (3, 32, 32), generator=generator).byte() for m in MODALITIES}
        sample = FASDataSample(metainfo=dict(sample_id=f'W/photo_{index}.png'))
        sample.gt_label, sample.present = index % 2, torch.tensor([True, True, index != 1])
        return dict(inputs=inputs, data_samples=sample)


def config(neck: str = 'UAdapterNeck') -> Config:
    model = dict(
        type='MultiModalFAS',
        trunk=BACKBONES.get('MultiStreamViT').example_cfg(),
        neck=FUSION_NECKS.get(neck).example_cfg(),
        head=dict(type='LinearFASHead'),
    )
    sampler = dict(type='DefaultSampler', shuffle=False)
    loader = dict(batch_size=2, num_workers=0, dataset=dict(type='UncertainPhotos'), sampler=sampler)
    test = dict(test_dataloader=loader, test_evaluator=dict(type='FASMetric'), test_cfg={})
    return Config(dict(model=model, default_scope='mmfas', **test))


def test_maps_are_those_of_the_neck_and_of_each_sample_alone(tmp_path: Path) -> None:
    cfg = config()
    model = load_model(cfg, None)
    torch.save(model.state_dict(), tmp_path / 'epoch_1.pth')
    found = uncertainty_maps(cfg, str(tmp_path / 'epoch_1.pth'), max_samples=9)
    assert [maps.sample_id for maps in found] == [f'W/photo_{i}.png' for i in range(3)]
    for index, maps in enumerate(found):
        item = UncertainPhotos()[index]
        batch = dict(inputs={m: [v] for m, v in item['inputs'].items()}, data_samples=[item['data_samples']])
        inputs = model.data_preprocessor(batch, False)['inputs']
        with torch.no_grad():
            features = model.extract_feat(inputs)
            score = model(inputs).softmax(1)[0, 1]
        torch.testing.assert_close(torch.tensor(maps.patch_confidence), features.maps['confidence'][:, :, 0])
        torch.testing.assert_close(torch.tensor(maps.confidence), features.confidence[:, 0])
        assert maps.score == pytest.approx(float(score), abs=1e-6)
        assert (
            maps.patch_confidence.shape == (2, 3, 4, 4)
            and maps.patch_confidence.min() > 0
            and maps.patch_confidence.max() <= 1
        )
        assert maps.present.tolist() == [True, True, index != 1] and maps.label == index % 2
        assert (maps.pictures[1] == item['inputs']['depth'].permute(1, 2, 0).numpy()).all()


def test_figure_has_one_scale_and_no_map_of_an_absent_picture() -> None:
    pictures = np.zeros((3, 8, 12, 3), np.uint8)
    confidence = np.linspace(0.2, 0.9, 3 * 3 * 4).reshape(3, 3, 2, 2)
    figure = draw_uncertainty(
        pictures, MODALITIES, confidence, present=(True, False, True), blocks=(0, 2), title='a face'
    )
    *panels, bar = figure.axes
    assert len(panels) == 9 and bar.get_ylabel() == 'uncertainty 1 - U'
    titles = [axes.get_title() for axes in panels]
    assert titles[:3] == ['rgb', 'depth: absent', 'ir']
    assert titles[4] == titles[7] == '' and not panels[4].get_images() and not panels[7].get_images()
    assert titles[8] == f'block 2: mean {1 - confidence[2, 2].mean():.3f}'
    heats = {i: panels[i].get_images()[1] for i in (3, 5, 6, 8)}
    assert np.allclose(heats[6].get_array(), 1 - confidence[2, 0])
    shown = 1 - confidence[[0, 0, 2, 2], [0, 2, 0, 2]]
    assert {heat.get_clim() for heat in heats.values()} == {(shown.min(), shown.max())}


def test_command_writes_a_figure_of_every_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / 'config.py'
    config().dump(path)
    assert main([str(path), '--out-dir', str(tmp_path / 'out'), '--max-samples', '2', '--blocks', '1']) == 0
    names = sorted(file.name for file in (tmp_path / 'out').iterdir())
    assert names == ['000_W-photo-0.png.png', '001_W-photo-2.png.png']
    assert all((tmp_path / 'out' / name).stat().st_size > 5000 for name in names)
    assert capsys.readouterr().out.count('U rgb 0.') == 2
    assert main([str(path), '--out-dir', str(tmp_path), '--blocks', '2']) == 1
    assert '--blocks must lie in 0..1, got [2]' in capsys.readouterr().err


def test_models_without_uncertainty_are_refused() -> None:
    with pytest.raises(ScoreError, match='ConcatNeck estimates no uncertainty to draw; take UAdapterNeck'):
        uncertainty_maps(config('ConcatNeck'))
