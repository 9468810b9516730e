"""The model bases and the baseline configs: they load, follow the grammar of names and build."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config, ConfigDict

from mmfas.models import MultiModalFAS
from mmfas.registry import MODELS
from mmfas.structures import MODALITIES

CONFIGS = Path(__file__).parents[2] / 'configs'
BASES = sorted((CONFIGS / '_base_' / 'models').glob('*.py'))
LEAVES = sorted((CONFIGS / 'baselines').glob('*.py'))
NAME = re.compile(
    r'([a-z0-9-]+)_([a-z0-9-]+)_(\d+)xb(\d+)-(\d+)e_([a-z0-9]+)-([a-z0-9]+)(?:_((?:rgb|depth|ir)(?:-(?:depth|ir))*))?'
    r'(?:_pretrained-(?:frozen|finetuned))?'
)

pytestmark = pytest.mark.engine


def test_all_are_found() -> None:
    assert len(BASES) >= 3 and len(LEAVES) >= 10


def _build(cfg: ConfigDict) -> MultiModalFAS:
    """Build a model, with the twelve blocks of ViT-B and ViT-S made narrow, for time."""
    if cfg.trunk.get('cnn', {}).get('type') == 'mmpretrain.TIMMBackbone':
        pytest.importorskip('timm', reason="timm is missing: pip install 'mmfas[timm]'")
    if cfg.trunk.get('vit', {}).get('arch') in ('base', 'dinov2-small'):
        cfg.trunk.vit.arch = dict(embed_dims=48, num_layers=12, num_heads=12, feedforward_channels=64)
    return MODELS.build(cfg)


@pytest.mark.parametrize('path', BASES, ids=lambda p: p.stem)
def test_base_models_build(path: Path) -> None:
    if path.stem.startswith('flip_clip'):
        pytest.importorskip('open_clip', reason="open_clip is missing: pip install 'mmfas[clip]'")
    model = _build(Config.fromfile(path).model)
    assert isinstance(model, MultiModalFAS)
    if path.stem == 'mini_vit':
        assert 0.9e6 < sum(p.numel() for p in model.parameters()) < 1.3e6


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_baselines_keep_what_their_names_say(path: Path) -> None:
    match = NAME.fullmatch(path.stem)
    assert match, f'{path.stem} does not follow neck_trunk_NxbB-Ee_data-split[_modalities]'
    neck, _, _, batch, epochs, data, _, modalities = match.groups()
    cfg = Config.fromfile(path)
    assert cfg.train_dataloader.batch_size == int(batch) and cfg.train_cfg.max_epochs == int(epochs)
    assert data in str(cfg.train_dataloader.dataset.data_root)
    assert tuple(cfg.model.modalities) == (tuple(modalities.split('-')) if modalities else MODALITIES)
    model = _build(cfg.model)
    assert type(model.neck).__name__.lower() == neck.replace('-', '') + 'neck'
    assert model.data_preprocessor.modalities == model.modalities


def test_metafile_lists_every_config() -> None:
    meta = yaml.safe_load((CONFIGS / 'baselines' / 'metafile.yml').read_text())
    assert [m['Config'] for m in meta['Models']] == [f'configs/baselines/{p.name}' for p in LEAVES]
    assert {m['In Collection'] for m in meta['Models']} == {c['Name'] for c in meta['Collections']}
    for collection in meta['Collections']:
        assert (CONFIGS.parent / collection['Code']['URL']).is_file()
