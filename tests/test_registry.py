"""Typed views, near matches, scopes and other toolkits' parts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS as ENGINE_MODELS
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from mmfas import registry
from mmfas.registry import BACKBONES, FUSION_NECKS, HEADS, HOOKS, LOSSES, MODELS, TRANSFORMS, TypedView

pytestmark = pytest.mark.engine

VIEWS = [BACKBONES, FUSION_NECKS, HEADS, LOSSES]


@pytest.fixture(params=['mmfas', 'mmpretrain'])
def scope(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test under a default scope, as Runner sets it."""
    with DefaultScope.overwrite_default_scope(request.param):
        yield request.param


def example(view: TypedView) -> type:
    """Any registered class of a view."""
    MODELS.import_from_location()
    return view.module_dict[next(iter(view))]


@pytest.mark.parametrize('view', VIEWS, ids=lambda view: view.kind)
def test_registering_the_wrong_kind_names_the_right_one(view: TypedView) -> None:
    for other in VIEWS:
        if other is view:
            continue
        subclass = type('Stray', (example(other),), {})
        with pytest.raises(TypeError, match=f'Stray is a {other.kind}, not a {view.kind}: .*`{other.key}='):
            view.register_module(module=subclass)
    assert 'Stray' not in MODELS.module_dict


def test_registering_something_else_names_the_base_class() -> None:
    with pytest.raises(TypeError, match='Linear is not a head: it must derive from mmfas.models.heads.base'):
        HEADS.register_module(module=nn.Linear)


@pytest.mark.parametrize('view', VIEWS, ids=lambda view: view.kind)
def test_building_the_wrong_kind_fails_before_anything_is_constructed(
    view: TypedView, scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = example(next(other for other in VIEWS if other is not view))

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError('it was constructed')

    monkeypatch.setattr(wrong, '__init__', refuse)
    with pytest.raises(TypeError, match=f'{wrong.__name__} is a .*, not a {view.kind}'):
        view.build({'type': wrong.__name__})


@pytest.mark.parametrize('view', VIEWS, ids=lambda view: view.kind)
def test_a_slip_suggests_the_right_name(view: TypedView, scope: str) -> None:
    name = example(view).__name__
    with pytest.raises(KeyError, match=f'did you mean .*{name}'):
        view.build({'type': name[:-1]})


def test_views_build_ours_under_any_scope(scope: str) -> None:
    assert type(LOSSES.build({'type': 'CrossEntropyLoss'})).__module__.startswith('mmfas.')
    assert DefaultScope.get_current_instance().scope_name == scope


def test_view_needs_a_type_and_returns_built_parts() -> None:
    loss = LOSSES.build({'type': 'CrossEntropyLoss'})
    assert LOSSES.build(loss) is loss
    with pytest.raises(KeyError, match=r"the config of a loss needs a `type`, but got keys \['weight'\]"):
        LOSSES.build({'weight': 1})


def test_view_lists_its_own_kind_only() -> None:
    assert example(FUSION_NECKS).__name__ in FUSION_NECKS
    assert example(HEADS).__name__ not in FUSION_NECKS
    assert len(FUSION_NECKS) == len(list(FUSION_NECKS)) > 0
    assert repr(FUSION_NECKS).startswith('TypedView(fusion neck: ')


def test_engine_parts_are_found_and_suggested() -> None:
    assert HOOKS.build({'type': 'IterTimerHook'}).__class__.__name__ == 'IterTimerHook'
    with pytest.raises(KeyError, match='did you mean CheckpointHook'):
        HOOKS.build({'type': 'CheckpointHok'})
    with pytest.raises(KeyError, match='did you mean .*LoadImageFromFile'):
        TRANSFORMS.build({'type': 'LoadImageFromFil'})


def test_other_toolkits_resolve_both_ways(scope: str) -> None:
    assert MODELS.get('mmpretrain.VisionTransformer').__module__.startswith('mmpretrain.')
    import mmpretrain.registry

    for theirs in (mmpretrain.registry.MODELS, ENGINE_MODELS):
        assert theirs.get('mmfas.ConcatNeck').__module__.startswith('mmfas.')
    with pytest.raises(KeyError, match='did you mean VisionTransformer'):
        MODELS.build({'type': 'mmpretrain.VisonTransformer'})


def test_the_import_error_behind_an_unknown_type_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / 'brokenkit'
    package.mkdir()
    (package / '__init__.py').touch()
    (package / 'registry.py').write_text('import a_module_that_is_missing\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        KeyError, match="importing it failed: No module named 'a_module_that_is_missing'"
    ) as caught:
        MODELS.build({'type': 'brokenkit.Net'})
    assert isinstance(caught.value.__cause__, ImportError)
    sys.modules.pop('brokenkit', None)


def test_unknown_scope_says_so() -> None:
    with pytest.raises(KeyError, match="No module named 'nokit'"):
        MODELS.build({'type': 'nokit.Net'})


def test_views_work_inside_a_runner(tmp_path: Path) -> None:
    class Probe(nn.Module):
        """Model whose construction builds a loss, as ours do."""

        def __init__(self) -> None:
            super().__init__()
            self.loss = LOSSES.build({'type': 'CrossEntropyLoss'})

    MODELS.register_module(name='RegistryProbe', module=Probe, force=True)
    try:
        cfg = Config(dict(model=dict(type='RegistryProbe'), work_dir=str(tmp_path), default_scope='mmfas'))
        cfg.experiment_name = f'registry_{tmp_path.name}'
        runner = Runner.from_cfg(cfg)
        assert type(runner.model.loss).__module__.startswith('mmfas.')
    finally:
        MODELS.module_dict.pop('RegistryProbe')


def test_every_registry_can_be_listed() -> None:
    registry.register_all_modules()
    assert len(registry.PART_REGISTRIES) == 16
    for kind in ('backbone', 'fusion neck', 'head', 'loss', 'dataset', 'transform', 'metric', 'hook'):
        assert len(registry.PART_REGISTRIES[kind].module_dict) > 0, kind
