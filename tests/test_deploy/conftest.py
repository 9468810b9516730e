"""What the tests of deployment share: a little rendered data, tiny models, and bundles of them."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from tiny_bundles import tiny_config, trained

from mmfas.deploy import export
from mmfas.deploy.bundle import Bundle
from mmfas.deploy.bundle_making import make_bundle
from mmfas.synthfas.files.writer import render_dataset
from mmfas.synthfas.plan.plan import Setting
from mmfas.utils.jobs import digest

#: What `exports_once` has traced and translated.
_PROGRAMS: dict[Any, Any] = {}
_GRAPHS: dict[Any, Any] = {}


@pytest.fixture(autouse=True)
def _small_and_quiet(small_and_quiet: None) -> Iterator[None]:
    """Run on one thread with a quiet log."""
    yield


@pytest.fixture(scope='session', autouse=True)
def _one_registry() -> Iterator[None]:
    """Read the 500 translations of the exporter once, not for every graph: that is a quarter of its time."""
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec('onnxscript') is not None:
            from torch.onnx._internal.exporter import _registration

            registry = _registration.ONNXRegistry
            patch.setattr(registry, 'from_torchlib', staticmethod(lru_cache(registry.from_torchlib)))
        yield


@pytest.fixture(scope='session', autouse=True)
def _rules_where_they_begin() -> Iterator[None]:
    """Try a rule of the optimiser on nodes whose operator is its own only.

    A rule with several outputs lists all nodes of the graph before it looks at the node that it is tried on, and
    every rule is tried on every node.
    """
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec('onnxscript') is not None:
            from onnxscript.rewriter import _basics, _matcher

            match = _matcher.SimplePatternMatcher.match

            def match_here(self: Any, model: Any, graph: Any, node: Any, **options: Any) -> Any:
                begins = self.pattern.output_nodes[0].op_identifier()
                if begins is not None and begins != node.op_identifier():
                    return _basics.MatchResult().fail('another operator')
                return match(self, model, graph, node, **options)

            patch.setattr(_matcher.SimplePatternMatcher, 'match', match_here)
        yield


@pytest.fixture(scope='module')
def exports_once() -> Iterator[None]:
    """Trace and translate a model once, for tests of what is done with the graph: it takes seconds.

    The graph follows from the model, the size of its pictures and the version of the operators.
    """
    trace, translate = export.export_program, export.to_onnx

    def export_program(module: Any, size: tuple[int, int]) -> Any:
        weights = {name: value.numpy().tobytes() for name, value in module.state_dict().items()}
        key = repr(module), module.input_names, size, digest(weights)
        if key not in _PROGRAMS:
            _PROGRAMS[key] = trace(module, size)
        return _PROGRAMS[key]

    def to_onnx(program: Any, input_names: tuple[str, ...], *, opset: int = export.OPSET) -> Any:
        key = id(program), input_names, opset
        if key not in _GRAPHS:
            _GRAPHS[key] = translate(program, input_names, opset=opset)
        return copy.deepcopy(_GRAPHS[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, 'export_program', export_program)
        patch.setattr(export, 'to_onnx', to_onnx)
        yield


@pytest.fixture(scope='session')
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of SynthFAS with the val list of C and the test list of W, 48 px."""
    root = tmp_path_factory.mktemp('synthfas')
    render_dataset(root, Setting('tiny'), domains=('C',), splits=('val',), num_processes=1)
    render_dataset(root, Setting('tiny'), domains=('W',), splits=('test',), num_processes=1)
    return root


@pytest.fixture(scope='session')
def bundle(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Bundle of a tiny model whose depth and ir may be absent."""
    cfg = tiny_config(faces)
    checkpoint, scores = trained(cfg, tmp_path_factory.mktemp('tiny'))
    return make_bundle(cfg, checkpoint, dev_scores=scores, optional=('depth', 'ir'), licence='CC0-1.0')


@pytest.fixture(scope='session')
def unsure_bundle(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Bundle of a tiny model that estimates its uncertainty, with a band in which nothing is decided."""
    cfg = tiny_config(faces, 'UAdapterNeck')
    checkpoint, scores = trained(cfg, tmp_path_factory.mktemp('unsure'))
    return make_bundle(cfg, checkpoint, dev_scores=scores, max_apcer=0.0, optional=('depth', 'ir'))
