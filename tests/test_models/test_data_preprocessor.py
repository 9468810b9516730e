"""The data preprocessor: formulas, masks, both collate functions, errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from torch import Tensor, nn

from mmfas.models.data_preprocessor import FASDataPreprocessor
from mmfas.registry import MODELS
from mmfas.structures import MODALITIES, FASDataSample

PRESENT = [[True, True, True], [True, False, True], [False, False, True]]


def packed(index: int, size: tuple[int, int] = (4, 5)) -> dict[str, Any]:
    """Return a packed sample with zeros for absent modalities."""
    generator = torch.Generator().manual_seed(index)
    inputs = {}
    for modality, is_there in zip(MODALITIES, PRESENT[index]):
        image = torch.randint(1, 256, (3, *size), generator=generator, dtype=torch.uint8)
        inputs[modality] = image if is_there else torch.zeros_like(image)
    sample = FASDataSample(metainfo={'sample_id': f'face{index}'})
    sample.present = torch.tensor(PRESENT[index])
    return {'inputs': inputs, 'data_samples': sample}


def batch() -> list[dict[str, Any]]:
    """Return three packed samples."""
    return [packed(index) for index in range(3)]


@pytest.mark.parametrize('collate', [pseudo_collate, default_collate])
@pytest.mark.parametrize('modalities', [MODALITIES, ('rgb', 'ir'), ('depth',)])
@pytest.mark.parametrize('fill', ['black', 'zero'])
def test_formula_and_mask(collate: Any, modalities: tuple[str, ...], fill: str) -> None:
    samples = batch()
    out = FASDataPreprocessor(modalities, fill=fill)(collate(samples))
    assert list(out['inputs']) == [*modalities, 'present']
    columns = [MODALITIES.index(m) for m in modalities]
    assert out['inputs']['present'].tolist() == [[row[c] for c in columns] for row in PRESENT]
    for modality in modalities:
        assert out['inputs'][modality].dtype == torch.float32
        for row, sample in enumerate(samples):
            expected = (sample['inputs'][modality].float() - 127.5) / 128
            if not PRESENT[row][MODALITIES.index(modality)] and fill == 'zero':
                expected = torch.zeros_like(expected)
            assert torch.equal(out['inputs'][modality][row], expected)
    assert list(out['data_samples']) == [sample['data_samples'] for sample in samples]


@pytest.mark.parametrize('fill', ['black', 'zero'])
def test_absent_image_is_filled_whatever_it_holds(fill: str) -> None:
    samples = batch()
    samples[1]['inputs']['depth'][:] = 200
    out = FASDataPreprocessor(fill=fill)(pseudo_collate(samples))['inputs']
    assert (out['depth'][1] == (-127.5 / 128 if fill == 'black' else 0.0)).all()


def test_constants_per_modality_and_channel() -> None:
    mean = {'rgb': (123.675, 116.28, 103.53), 'depth': 10.0, 'ir': 20.0}
    std = {'rgb': (58.395, 57.12, 57.375), 'depth': 2.0, 'ir': 4.0}
    out = FASDataPreprocessor(mean=mean, std=std)(pseudo_collate(batch()[:1]))['inputs']
    raw = packed(0)['inputs']
    rgb = (raw['rgb'].float() - torch.tensor(mean['rgb']).view(3, 1, 1)) / torch.tensor(std['rgb']).view(3, 1, 1)
    assert torch.equal(out['rgb'][0], rgb)
    assert torch.equal(out['depth'][0], (raw['depth'].float() - 10) / 2)
    assert torch.equal(out['ir'][0], (raw['ir'].float() - 20) / 4)


def test_follows_the_model_to_double() -> None:
    model = nn.Sequential(FASDataPreprocessor()).double()
    out = model[0](pseudo_collate(batch()))['inputs']
    assert out['rgb'].dtype == torch.float64 and out['present'].dtype == torch.bool
    raw = packed(0)['inputs']['rgb']
    assert torch.equal(out['rgb'][0], (raw.double() - 127.5) / 128)


def test_keeps_the_input_and_has_no_state() -> None:
    samples = batch()
    before = [{m: image.clone() for m, image in sample['inputs'].items()} for sample in samples]
    preprocessor = FASDataPreprocessor(fill='zero')
    preprocessor(pseudo_collate(samples))
    for sample, old in zip(samples, before):
        assert all(torch.equal(sample['inputs'][m], old[m]) for m in MODALITIES)
    assert not preprocessor.state_dict()


def test_without_data_samples_all_is_present() -> None:
    out = FASDataPreprocessor()({'inputs': pseudo_collate(batch())['inputs']})
    assert out['data_samples'] is None and bool(out['inputs']['present'].all())


def test_odd_sizes_name_the_samples() -> None:
    samples = [packed(0), packed(1, size=(6, 5))]
    message = r'5x4: rgb of face0, .*; 5x6: rgb of face1.*add ResizeModalities'
    with pytest.raises(ValueError, match=message):
        FASDataPreprocessor()(pseudo_collate(samples))
    stacked = default_collate(batch())
    stacked['inputs']['ir'] = stacked['inputs']['ir'][..., :3]
    with pytest.raises(ValueError, match='modalities of a batch must be of one size'):
        FASDataPreprocessor()(stacked)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'fill': 'noise'}, "fill must be 'black' or 'zero'"),
        ({'std': 0.0}, 'std must be positive'),
        ({'mean': {'rgb': 1.0}}, r"mean is given by modality but lacks \['depth', 'ir'\]"),
        ({'mean': (1.0, 2.0)}, 'one number or three per modality'),
        ({'modalities': ('ir', 'rgb')}, 'in this order'),
    ],
)
def test_bad_arguments(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FASDataPreprocessor(**kwargs)


def test_missing_key() -> None:
    data = pseudo_collate(batch())
    del data['inputs']['ir']
    with pytest.raises(KeyError, match='PackFASInputs packs'):
        FASDataPreprocessor()(data)


def test_built_by_the_registry() -> None:
    built = MODELS.build({'_scope_': 'mmfas', **FASDataPreprocessor.example_cfg()})
    assert isinstance(built, FASDataPreprocessor) and isinstance(built.mean, Tensor)


@pytest.mark.gpu
def test_moves_with_the_model() -> None:
    model = nn.Sequential(FASDataPreprocessor(non_blocking=True)).cuda()
    out = model[0](pseudo_collate(batch()))['inputs']
    expected = FASDataPreprocessor()(pseudo_collate(batch()))['inputs']
    for key, value in out.items():
        assert value.is_cuda
        assert torch.equal(value.cpu(), expected[key])
