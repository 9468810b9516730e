"""Third parties add parts by `custom_imports`, by scope and by entry point."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS as ENGINE_MODELS

from mmfas.config.check import check_config
from mmfas.registry import LOSSES, MODELS, load_plugins

pytestmark = pytest.mark.engine

LOSS = '''
from mmfas.models.losses.classification import CrossEntropyLoss
{imports}

@{registry}.register_module()
class {name}(CrossEntropyLoss):
    """A loss of a third party."""
'''
REGISTRY = """
from mmengine.registry import MODELS as ENGINE_MODELS
from mmengine.registry import Registry

MODELS = Registry('model', parent=ENGINE_MODELS, scope='scopekit', locations=['scopekit.losses'])
"""
NAMES = ('custom_losses', 'scopekit', 'pointkit')


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the Python path; what plugins in it registered is forgotten afterwards."""
    MODELS.import_from_location()
    monkeypatch.syspath_prepend(tmp_path)
    ours, views = dict(MODELS.module_dict), dict(LOSSES.module_dict)
    yield tmp_path
    MODELS.module_dict.clear()
    MODELS.module_dict.update(ours)
    LOSSES.module_dict.clear()
    LOSSES.module_dict.update(views)
    ENGINE_MODELS.children.pop('scopekit', None)
    for name in [name for name in sys.modules if name.partition('.')[0] in NAMES]:
        del sys.modules[name]


def loss_code(name: str, *, registry: str = 'LOSSES', imports: str = 'from mmfas.registry import LOSSES') -> str:
    """Source of a module that registers one loss."""
    return LOSS.format(name=name, registry=registry, imports=imports)


def add_entry_point(site: Path, target: str) -> None:
    """Write the metadata of an installed distribution with one plugin."""
    info = site / 'pointkit-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: pointkit\nVersion: 1.0\n')
    (info / 'entry_points.txt').write_text(f'[mmfas.plugins]\npointkit = {target}\n')
    importlib.invalidate_caches()


def test_custom_imports(site: Path) -> None:
    (site / 'custom_losses.py').write_text(loss_code('CustomLoss'))
    config = site / 'config.py'
    config.write_text(
        "custom_imports = dict(imports=['custom_losses'], allow_failed_imports=False)\nmodel = dict()\n"
    )
    assert 'CustomLoss' not in LOSSES
    Config.fromfile(config)
    assert type(LOSSES.build({'type': 'CustomLoss'})).__name__ == 'CustomLoss'


def test_scope(site: Path) -> None:
    package = site / 'scopekit'
    package.mkdir()
    (package / '__init__.py').touch()
    (package / 'registry.py').write_text(REGISTRY)
    imports = 'from scopekit.registry import MODELS'
    (package / 'losses.py').write_text(loss_code('ScopedLoss', registry='MODELS', imports=imports))
    loss = LOSSES.build({'type': 'scopekit.ScopedLoss'})
    assert type(loss).__module__ == 'scopekit.losses'
    with pytest.raises(KeyError, match='did you mean ScopedLoss'):
        LOSSES.build({'type': 'scopekit.ScopdLoss'})


def test_entry_point(site: Path) -> None:
    (site / 'pointkit.py').write_text(loss_code('PointLoss'))
    add_entry_point(site, 'pointkit')
    assert load_plugins() == ['pointkit']
    assert 'PointLoss' in LOSSES


def test_the_check_knows_plugins(site: Path) -> None:
    (site / 'pointkit.py').write_text(loss_code('PointLoss'))
    add_entry_point(site, 'pointkit')
    vit = dict(type='mmpretrain.VisionTransformer', img_size=32)
    model = dict(
        type='MultiModalFAS',
        trunk=dict(type='MultiStreamViT', vit=vit),
        neck=dict(type='ConcatNeck'),
        head=dict(type='LinearFASHead', loss=dict(type='PointLoss')),
    )
    assert check_config({'model': model}) == []


def test_a_broken_plugin_is_named(site: Path) -> None:
    add_entry_point(site, 'pointkit_that_is_missing:thing')
    with pytest.raises(ImportError, match=r"the plugin 'pointkit' \(pointkit_that_is_missing:thing\) cannot be"):
        load_plugins()
